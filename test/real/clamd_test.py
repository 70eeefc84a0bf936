#!/usr/bin/python3
"""clamd itself, with signatures of its own.

    clamd_test.py PROGRAM [unittest arguments, as: Clamd.test_name]
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import scanners                         # noqa: E402
from scanners import CLEAN, FAILED, FOUND  # noqa: E402

PROGRAM = lab.program()
UNSCANNABLE = "554 5.7.1 Message cannot be scanned for viruses:"


def locked_zip():
    """A zip whose only file is said to be encrypted."""
    raw = bytearray(lab.zip_of("a.txt", b"x" * 100))
    raw[6] |= 1
    raw[raw.index(b"PK\1\2") + 8] |= 1
    return bytes(raw)


class Clamd(scanners.Case, unittest.TestCase):
    def setUp(self):
        self.clamd = scanners.Clamd()
        self.addCleanup(self.clamd.stop)

    def by(self, *servers, **options):
        return self.gateway(PROGRAM, antivirus_type="clamd", on_unscannable="refuse",
                            antivirus_path=scanners.listed(*servers), **options)

    def test_verdicts(self):
        """By socket and by address: clean, infected, too big for us, for clamd, unscannable."""
        big = lab.mail(*lab.base64_lines(lab.random_bytes(9_000_000)), subject="big")
        huge = lab.mail(*lab.base64_lines(lab.random_bytes(20_000_000)), subject="huge")
        for server in (self.clamd.socket, f"127.0.0.1:{self.clamd.port}"):
            gateway = self.by(server, scan_max_size="50M")
            self.assert_delivered(gateway, CLEAN)
            self.assert_delivered(gateway, big)
            self.assert_refused(gateway, lab.infected_mail(), FOUND)
            self.assert_refused(gateway, lab.mail(lab.EICAR), FOUND)
            self.assert_refused(gateway, huge, f"{UNSCANNABLE} too big (StreamMaxLength)")
            self.assert_refused(gateway, lab.mail_with(locked_zip()),
                                f"{UNSCANNABLE} encrypted")
            small = self.by(server, scan_max_size=4096)
            self.assert_refused(small, lab.mail(b"x" * 5000), f"{UNSCANNABLE} too big")
            self.assertFalse(gateway.logged("^trouble"))

    def test_two(self):
        second = scanners.Clamd()
        self.addCleanup(second.stop)
        gateway = self.by(self.clamd.socket, second.socket)
        self.check_stand_in(gateway, self.clamd, second, lab.infected_mail(), FOUND)
        self.check_back(gateway, self.clamd)

    def test_killed_in_the_middle(self):
        big = lab.mail(*lab.base64_lines(lab.random_bytes(9_000_000)), subject="big")
        self.check_killed(self.by(self.clamd.socket), self.clamd, big)

    def test_hangs(self):
        gateway = self.by(self.clamd.socket, timeout_scanner=1)
        self.check_given_up(gateway, self.clamd)
        self.assertTrue(gateway.logged("^trouble .*scanner=clamd .*no answer in time"))

    def test_reload(self):
        """Signatures that change meanwhile: no message is lost, and then they count."""
        gateway = self.by(self.clamd.socket)
        other = lab.mail(b"SOMETHING-THAT-WAS-HARMLESS-SO-FAR")
        self.assert_delivered(gateway, other)
        self.clamd.add_signature("Other", b"SOMETHING-THAT-WAS-HARMLESS")
        self.assertEqual(self.clamd.ask(b"RELOAD"), b"RELOADING\0")
        for _ in range(20):
            self.assert_refused(gateway, lab.infected_mail(), FOUND)
        self.assertTrue(lab.wait_until(
            lambda: self.submit(gateway, other) == "550 5.7.1 Virus found: Other.UNOFFICIAL", 20))

    def test_beside_libclamav(self):
        """Any finding counts; one that fails is another matter than both."""
        self.clamd.add_signature("Other", b"KNOWN-TO-CLAMD-ALONE")
        self.clamd.ask(b"RELOAD")
        both = {"antivirus_type": "{libclamav, clamd}",
                "antivirus_path": f'{{"{self.clamd.socket}"}}'}
        strict = self.gateway(PROGRAM, **both)
        mild = self.gateway(PROGRAM, on_engine_failed="pass", **both)
        other = lab.mail(b"KNOWN-TO-CLAMD-ALONE")
        self.assertTrue(lab.wait_until(lambda: "Other" in self.submit(strict, other), 20))
        self.assert_delivered(strict, CLEAN)
        self.assertIn("Virus found: Eicar", self.submit(strict, lab.infected_mail()))
        self.clamd.kill()
        self.assert_refused(strict, CLEAN, FAILED)
        self.assertTrue(strict.logged("^found .*finding=engine-failed .*clamd"))
        self.assert_delivered(mild, CLEAN)
        self.assertIn("Virus found: Eicar", self.submit(mild, lab.infected_mail()))


if __name__ == "__main__":
    lab.need_programs("clamd")
    lab.main()
