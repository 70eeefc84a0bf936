#!/usr/bin/python3
"""Virus scanners alone and together: the same mails, the same outcome.

    engines_test.py PROGRAM [unittest arguments, as: Engines.test_name]
"""
import pathlib
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import scanners                         # noqa: E402

PROGRAM = lab.program()
TAKEN = "250 2.0.0 Taken"
FOUND = "550 5.7.1 Virus found: Eicar-Test-Signature.UNOFFICIAL"
FAILED = "451 4.3.0 Message could not be checked for viruses, local error"
CLEAN = lab.mail(b"..dots", b".", b"hello", b"\xff\0 eight bits", subject="clean")
LARGE = lab.mail(*lab.base64_lines(lab.random_bytes(800_000)), subject="large")
SETS = ("libclamav", "clamd", "icap", "{libclamav, clamd}", "{libclamav, icap}", "{clamd, icap}",
        "{libclamav, clamd, icap}")


class Engines(scanners.Case, unittest.TestCase):
    def setUp(self):
        self.clamd = scanners.Clamd()
        self.addCleanup(self.clamd.stop)
        self.icap = scanners.Icap(clamd=self.clamd)
        self.addCleanup(self.icap.stop)
        self.options = {"antivirus_path": f'{{"{self.clamd.socket}"}}',
                        "icap_url": f'{{"{self.icap.url}/virus_scan"}}', "scan_workers": 1}

    def pipelined(self, gateway, message):
        """MAIL, RCPT and DATA in one write, and then the reply to MESSAGE."""
        with lab.Client(("127.0.0.1", gateway.port), 60) as client:
            client.hello()
            client.send(b"MAIL FROM:<ann@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")
            for code in ("250", "250", "354"):
                self.assertEqual(client.reply()[:3], code)
            client.send(lab.dotted(message))
            return client.reply().rstrip("\r\n")

    def check(self, gateway, way):
        for mail, reply in ((CLEAN, TAKEN), (lab.mail(lab.EICAR), FOUND), (LARGE, TAKEN),
                            (lab.infected_mail(), FOUND)):
            before = len(self.sink.messages)
            self.assertEqual(way(gateway, mail), reply)
            self.assertEqual(self.sink.messages[before:], [mail] if reply == TAKEN else [])

    def test_matrix(self):
        for chosen in SETS:
            gateway = self.gateway(PROGRAM, antivirus_type=chosen, **self.options)
            for way in (self.submit, self.pipelined):
                with self.subTest(chosen=chosen, way=way.__name__):
                    self.check(gateway, way)
            self.assertFalse(gateway.logged("^trouble"))

    def test_reload(self):
        """Other scanners, without a restart."""
        gateway = self.gateway(PROGRAM, antivirus_type="off", **self.options)
        conf = pathlib.Path(gateway.directory, "conf")
        off = conf.read_text("ascii")
        for chosen in ("clamd", "icap"):
            conf.write_text(off.replace("antivirus_type = off", f"antivirus_type = {chosen}"),
                            "ascii")
            gateway.process.send_signal(signal.SIGHUP)
            self.assertTrue(lab.wait_until(
                lambda: self.submit(gateway, lab.infected_mail()) == FOUND
                and gateway.logged(f"^found .*by={chosen}"), 10))
            self.assert_delivered(gateway, CLEAN)

    def test_stop(self):
        """Both hang, and the daemon is to end: it does, and has delivered nothing."""
        gateway = self.new_gateway(PROGRAM, antivirus_type="{clamd, icap}", **self.options)
        self.clamd.signal(signal.SIGSTOP)
        before, replies = len(self.sink.messages), []

        def send():
            replies.append(self.submit(gateway, LARGE))
        threads = [threading.Thread(target=send) for _ in range(5)]
        for thread in threads:
            thread.start()
        self.assertTrue(lab.wait_until(lambda: len(gateway.logged("judging")) >= 5, 20))
        gateway.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        gateway.stop()                  # the second one: at once
        for thread in threads:
            thread.join()
        self.assertEqual(len(self.sink.messages), before)
        self.assertEqual({reply[:3] for reply in replies} - {"421", "451", ""}, set())


if __name__ == "__main__":
    lab.need_programs("clamd", "c-icap")
    lab.main()
