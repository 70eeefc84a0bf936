#!/usr/bin/python3
"""c-icap, which asks clamd, or sends back what it gets.

    icap_test.py PROGRAM [unittest arguments, as: Icap.test_name]
"""
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import scanners                         # noqa: E402
from scanners import CLEAN, FAILED, FOUND  # noqa: E402

PROGRAM = lab.program()
BIG = lab.mail(*lab.base64_lines(lab.random_bytes(2_500_000)), subject="big")


class Icap(scanners.Case, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.clamd = scanners.Clamd()
        cls.addClassCleanup(cls.clamd.stop)

    def setUp(self):
        self.icap = self.service()

    def service(self, **options):
        icap = scanners.Icap(clamd=self.clamd, **options)
        self.addCleanup(icap.stop)
        return icap

    def by(self, *urls, **options):
        return self.gateway(PROGRAM, antivirus_type="icap", icap_url=scanners.listed(*urls),
                            on_unscannable="refuse", **options)

    def test_virus_scan(self):
        """With previews of several sizes: small, big, infected in front and at the end.  In
        big ones it cannot say what it has found, for it has sent some of them back by then."""
        for preview in (0, 1024, 65536):
            gateway = self.by(self.service(preview=preview).url + "/virus_scan")
            self.assert_delivered(gateway, CLEAN)
            self.assert_delivered(gateway, BIG)
            self.assert_refused(gateway, lab.infected_mail(), FOUND)
            self.assert_refused(gateway, lab.mail(lab.EICAR), FOUND)
            self.assert_refused(gateway, lab.mail(b"x" * 5000, lab.EICAR), FOUND)
            reply = self.submit(gateway, BIG + lab.EICAR + b"\r\n")
            self.assertIn(reply, (FOUND, "550 5.7.1 Virus found: replaced by ICAP"))
            self.assertFalse(gateway.logged("^trouble"))

    def test_echo(self):
        """The message itself, sent back, is clean: with 204, or with all of it."""
        gateway = self.by(self.icap.url + "/echo")
        for _ in range(3):
            self.assert_delivered(gateway, CLEAN)
            self.assert_delivered(gateway, BIG)
            self.assert_delivered(gateway, lab.infected_mail())
        self.assertTrue(lab.wait_until(lambda: "200" in self.icap.asked("RESPMOD"), 10))

    def test_asked_once(self):
        """What it can is asked once, and again when it may have changed."""
        gateway = self.by(self.icap.url + "/virus_scan")
        for _ in range(5):
            self.assert_delivered(gateway, CLEAN)
        self.assertTrue(lab.wait_until(lambda: len(self.icap.asked("RESPMOD")) == 5, 10))
        self.assertEqual(self.icap.asked("OPTIONS"), ["200"])

    def test_no_such_service(self):
        gateway = self.by(self.icap.url + "/nothing")
        for _ in range(3):
            self.assert_refused(gateway, CLEAN, FAILED)
        self.assertTrue(gateway.logged("^trouble .*icap_url=.*404.*is that service there"))
        both = self.by(self.icap.url + "/nothing", self.icap.url + "/virus_scan")
        self.assert_delivered(both, CLEAN)
        self.assert_refused(both, lab.infected_mail(), FOUND)

    def test_two(self):
        second = self.service()
        gateway = self.by(self.icap.url + "/virus_scan", second.url + "/virus_scan")
        self.check_stand_in(gateway, self.icap, second, lab.infected_mail(), FOUND)
        self.check_back(gateway, self.icap)

    def test_its_scanner_is_gone(self):
        """c-icap answers, but clamd behind it does not: that is not clean."""
        clamd = scanners.Clamd()
        self.addCleanup(clamd.stop)
        icap = scanners.Icap(clamd=clamd)
        self.addCleanup(icap.stop)
        gateway = self.by(icap.url + "/virus_scan")
        self.assert_delivered(gateway, CLEAN)
        clamd.signal(signal.SIGKILL)
        clamd.process.wait()
        self.assert_refused(gateway, lab.infected_mail(), FAILED)


if __name__ == "__main__":
    lab.need_programs("c-icap", "clamd")
    lab.main()
