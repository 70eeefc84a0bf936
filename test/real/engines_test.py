#!/usr/bin/python3
"""Virus scanners that change, and that hang when the daemon is to end.

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
from scanners import CLEAN, FOUND       # noqa: E402

PROGRAM = lab.program()
LARGE = lab.mail(*lab.base64_lines(lab.random_bytes(800_000)), subject="large")


class Engines(scanners.Case, unittest.TestCase):
    def setUp(self):
        self.clamd = scanners.Clamd()
        self.addCleanup(self.clamd.stop)
        self.icap = scanners.Icap(clamd=self.clamd)
        self.addCleanup(self.icap.stop)
        self.options = {"antivirus_path": f'{{"{self.clamd.socket}"}}',
                        "icap_url": f'{{"{self.icap.url}/virus_scan"}}', "scan_workers": 1}

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
