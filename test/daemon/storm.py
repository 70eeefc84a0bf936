#!/usr/bin/python3
"""A thousand reloads while two thousand mails pass: nothing is lost, nothing grows.

    storm.py PROGRAM [unittest arguments]
"""
import re
import signal
import threading
import time

from gated import Case, Client, IS_ROOT, IS_SHADOWED, is_gone, main, wait_until
import lab

MAILS, RELOADS, CLIENTS = 2000, 1000, 16
INFECTED = 10               # every so manyth
MAY_GROW = 48               # MB; a lost snapshot of 10 kB each time would be 10, with
                            # ASan's keeping of what is freed far more: see start()


class Storm(Case):
    def start(self):
        """ASan keeps what was freed, up to a quarter of a gigabyte; not here."""
        environment = self.gated.environment()
        environment["ASAN_OPTIONS"] += ":quarantine_size_mb=1"
        self.gated.environment = lambda: environment
        self.gated.start()

    def deliver(self, numbers):
        """A session for each two mails; what the client was told of each."""
        while numbers:
            with Client(self.gated) as client:
                client.hello()
                for number in (numbers.pop() for _ in range(min(2, len(numbers)))):
                    self.deliver_one(client, number)
                client.ask("QUIT")

    def deliver_one(self, client, number):
        subject = f"number {number}"
        if number % INFECTED != 0:
            body = [b"x" * 70] * (number % 200)         # some in memory, some in files
            self.told[number] = client.submit(lab.mail(*body, subject=subject))[-1]
            return
        with Client(self.gated) as other:               # its session ends with it
            other.hello()
            self.told[number] = other.submit(lab.mail(lab.EICAR, subject=subject))[-1]
            other.ask("QUIT")

    def worker(self, numbers):
        try:
            self.deliver(numbers)
        except Exception as error:                      # pylint: disable=broad-except
            self.failed.append(repr(error))

    def lines(self):
        """What the log says anew, of it what tells of reloads."""
        return len(re.findall(r'(?m)^config text="read again"', self.tail.read()))

    def storm(self, more):
        """HUP after HUP, each when the one before was heard."""
        while self.reloads < RELOADS:
            self.gated.configure(timeout_idle=200 + self.reloads % 50)
            self.gated.signal(signal.SIGHUP)
            more()
            wanted = self.reloads + 1
            while self.reloads < wanted:
                self.reloads += self.lines()
                self.assertLess(time.monotonic(), self.deadline, f"{self.reloads} reloads")
                if is_gone(self.gated.pid):
                    self.gated.check_reports()
                    self.fail("it died: " + self.gated.log()[-2000:])
                time.sleep(0.0005)

    def run_storm(self, more):
        self.start()
        self.serves()
        descriptors, memory = IS_ROOT and self.gated.descriptors(), self.gated.memory()
        self.told, self.failed, self.reloads = {}, [], 0
        self.deadline = time.monotonic() + 200
        with open(self.gated.log_file, encoding="ascii", errors="replace") as self.tail:
            self.lines()
            threads = [threading.Thread(target=self.worker, daemon=True, args=(
                list(range(first, MAILS, CLIENTS)),)) for first in range(CLIENTS)]
            for thread in threads:
                thread.start()
            self.storm(more)
            for thread in threads:
                thread.join(self.deadline - time.monotonic())
        self.check_mails()
        if IS_ROOT:                     # others may not look
            self.assertTrue(wait_until(lambda: self.gated.descriptors() <= descriptors),
                            "descriptors are left open: " + "\n".join(self.gated.open_files()))
        if not IS_SHADOWED:
            self.assertLess(self.gated.memory() - memory, MAY_GROW)
        self.assertGreaterEqual(int(self.gated.write_state()["reloads"]), RELOADS)
        self.gated.stop()

    def check_mails(self):
        self.assertEqual(self.failed, [])
        self.assertEqual(sorted(self.told), list(range(MAILS)))
        for number, reply in self.told.items():
            self.assertRegex(reply, f"^550 .*{lab.EICAR_NAME}" if number % INFECTED == 0
                             else "^250 taken")
        came = [int(re.search(rb"number (\d+)", mail).group(1))
                for mail in self.sink.complete[1:]]
        self.assertEqual(sorted(came), [n for n in range(MAILS) if n % INFECTED])

    def test_hup(self):
        self.run_storm(lambda: None)


class Mixed(Storm):
    """With USR1 in between, and files that are wrong."""

    def storm(self, more):
        def disturb():
            if self.reloads % 10 == 0:
                wrong = self.gated.file.with_name("conf.wrong")
                wrong.write_text("prot = 25\n")
                wrong.replace(self.gated.file)  # an empty one, for a moment, would be right
                self.gated.signal(signal.SIGHUP)
                self.gated.configure()
                self.gated.signal(signal.SIGHUP)
            self.gated.signal(signal.SIGUSR1)
        super().storm(disturb)


if __name__ == "__main__":
    main()
