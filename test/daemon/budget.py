#!/usr/bin/python3
"""Hundreds of large messages at once, on a budget, with honest clients beside them.

    budget.py PROGRAM [unittest arguments]		1 MB each, on 8.5 (sanitized: half)
    budget.py PROGRAM --whole				200 messages of 30 MB on 256 MB
"""
import pathlib
import statistics
import sys
import unittest
import zlib

from gated import Case, IS_SHADOWED, PROGRAM, main, wait_until
import flood
import lab

MB = 1 << 20
WHOLE = "--whole" in sys.argv
if WHOLE:
    sys.argv.remove("--whole")
IS_SANITIZED = IS_SHADOWED or b"__asan_init" in pathlib.Path(PROGRAM).read_bytes()
COUNT = 200
SIZE = 30 * MB if WHOLE else MB // 2 if IS_SANITIZED else MB       # of a message
BUDGET = 256 * MB * SIZE // (30 * MB)
IN_MEMORY = BUDGET // 4
HELD, HELD_SIZE = 40, 8 * MB            # more than the kernel's buffers take
HELD_BUDGET = 4 * MB                    # and less than 40 times relay_buffer
OF_SESSION = 50 << 10                   # what the manual grants each, budget or not
OF_SCAN = 4 * SIZE                      # and libclamav
WORKERS = 2
HOSTILE = ["127.0.0.66", "127.0.0.67"]
HONEST = ["127.0.0.7", "127.0.0.8"]
INFECTED = 20                           # one of so many messages
ALONE_SECONDS = 5 if WHOLE else 1
PAUSE = 1 if WHOLE else 0.25            # between samples
SECONDS = 1800 if WHOLE else 120


class Budget(Case):
    def setUp(self):
        super().setUp()
        self.server = flood.Server()
        self.addCleanup(self.server.close)

    def configure(self, **options):
        self.gated.extra_environment["ASAN_OPTIONS"] = "quarantine_size_mb=1"
        self.gated.configure(**{
            "fixed_server_port": self.server.port, "max_connections": 500,
            "nat_header_type": "none", "scan_workers": WORKERS, "memory_budget": BUDGET,
            "spool_memory_each": 262144, "spool_memory_all": IN_MEMORY,
            "timeout_judging": 540, "scan_max_size": SIZE + MB, **options})
        self.gated.start()

    def address(self):
        return ("127.0.0.1", self.gated.port)

    @staticmethod
    def messages(count=COUNT, size=SIZE):
        """(name, source, text) of each, and what the server is to see of them."""
        texts = [flood.body(size, False), flood.body(size, True)]
        messages, right = [], {}
        for number in range(count):
            infected = number % INFECTED == INFECTED - 1
            name = f"{'infected' if infected else 'large'}-{number}"
            messages.append((name, HOSTILE[number % len(HOSTILE)], texts[infected]))
            whole = zlib.crc32(texts[infected], zlib.crc32(flood.head(name)))
            right[name] = (len(flood.head(name)) + len(texts[infected]), whole)
        return messages, right

    def honest(self, title):
        return [flood.Honest(title, self.address(), source) for source in HONEST]

    def alone(self):
        """What honest clients wait with nobody beside them."""
        clients = self.honest("alone")
        self.gated.wait_for_log("^delivered", 1)
        wait_until(lambda: False, ALONE_SECONDS)
        return {name: found for one in clients for name, found in one.results().items()}

    def besiege(self):
        """All at once: replies to the large ones and to the small ones, and the samples."""
        messages, right = self.messages()
        samples = flood.Samples(self.gated, PAUSE)
        clients = self.honest("beside")
        load = flood.Flood(self.address(), messages)
        self.assertTrue(wait_until(load.is_over, SECONDS), "it does not end")
        large = load.results()
        small = {name: found for one in clients for name, found in one.results().items()}
        samples.end()
        return large, small, right, samples

    def check_truth(self, large, small, right):
        """Nothing is lost, nothing acknowledged that was not delivered as it was sent."""
        complete = self.server.seen()[0]
        replies = {name: found[0] for name, found in {**large, **small}.items()}
        self.assertEqual(len(large), COUNT, "a client got no reply")
        for name, reply in replies.items():
            self.assertRegex(reply, "^(250 taken|550 |4[0-9][0-9] )", name)
            self.assertEqual(len(complete.get(name, [])), reply.startswith("250"), name)
            if name.startswith("infected"):
                self.assertRegex(reply, f"^(550 .*{lab.EICAR_NAME}|4)")
            else:
                self.assertRegex(reply, "^[24]", name)
            if name in right and reply.startswith("250"):
                self.assertEqual(complete[name], [right[name]], name)
        return replies

    def report(self, alone, large, small, samples):
        def line(title, found, which):
            times = sorted(one[which] for one in found.values())
            print(f"{title}: {len(times)} mails, median {statistics.median(times) * 1000:.0f} "
                  f"ms, 9 of 10 within {times[len(times) * 9 // 10] * 1000:.0f}, "
                  f"longest {times[-1] * 1000:.0f}")
        print()
        print(samples.table())
        seconds = max(found[1] for found in large.values())
        codes = [found[0][:3] for found in large.values()]
        print(f"large: {COUNT} of {SIZE / MB:.1f} MB in {seconds:.1f} s, "
              f"{COUNT * SIZE / MB / seconds:.0f} MB/s,",
              ", ".join(f"{code}: {codes.count(code)}" for code in sorted(set(codes))))
        line("honest alone, whole session", alone, 1)
        line("honest beside, whole session", small, 1)
        line("honest alone, from the dot on", alone, 2)
        line("honest beside, from the dot on", small, 2)

    def check_memory(self, before, samples, budget=BUDGET, count=COUNT, scans=WORKERS):
        """Our own count, and, where nothing else is in the way, the system's."""
        most = (budget + count * OF_SESSION) / MB
        for row in samples.rows:
            self.assertLess(row["buffers"] + row["spool_memory"], most)
            self.assertLessEqual(row["spool_memory"], IN_MEMORY / MB + 0.1)
        if not IS_SANITIZED:
            grown = samples.rows[-1]["most"] - before
            self.assertLess(grown, (budget * 1.5 + count * OF_SESSION + scans * OF_SCAN) / MB
                            + 5)

    def check_honest(self, small, siege):
        """Not one of them waited until the others were through."""
        self.assertGreater(len(small), 2 * len(HONEST))
        for name, (reply, whole, _) in small.items():
            self.assertRegex(reply, "^250", name)
            self.assertLess(whole, max(siege / 3, 5), name)

    def hold_out(self, **options):
        self.configure(**options)
        alone = self.alone()
        before = self.gated.memory()
        large, small, right, samples = self.besiege()
        self.report(alone, large, small, samples)
        print(f"memory: {before:.0f} MB before, {samples.rows[-1]['most']:.0f} MB at most")
        self.check_truth(large, small, right)
        self.check_memory(before, samples)
        self.check_honest(small, max(found[1] for found in large.values()))
        return samples

    def test_messages_in_files(self):
        samples = self.hold_out()
        self.assertGreater(samples.most("spool_disk"), 10 * SIZE / MB)
        self.gated.stop()

    def test_messages_that_wait(self):
        limit = 16 * SIZE
        samples = self.hold_out(spool_disk_all=limit)
        self.assertLess(samples.most("spool_disk"), (limit + SIZE + 65536) / MB)
        self.assertGreater(int(self.gated.write_state()["spool_waits"]), COUNT // 2)
        self.gated.stop()

    def test_servers_that_take_nothing(self):
        """What waits for them is bounded, all together; then they do, and all is well."""
        self.server = flood.Server(is_held=True)
        self.addCleanup(self.server.close)
        self.configure(antivirus_type="off", memory_budget=HELD_BUDGET)
        before = self.gated.memory()
        messages, right = self.messages(HELD, HELD_SIZE)
        samples = flood.Samples(self.gated, 0.1)
        load = flood.Flood(self.address(), messages)
        self.assertTrue(wait_until(lambda: self.server.seen()[2] == HELD))
        enough = HELD_BUDGET / 2 / MB
        self.assertTrue(wait_until(lambda: samples.rows and samples.most("buffers") > enough))
        seen = len(samples.rows)
        self.assertTrue(wait_until(lambda: len(samples.rows) > seen + 10))
        self.server.take()
        self.assertTrue(wait_until(load.is_over, SECONDS))
        samples.end()
        print()
        print(samples.table())
        self.check_memory(before, samples, HELD_BUDGET, HELD, 0)
        complete = self.server.seen()[0]
        for name, (reply, _) in load.results().items():
            self.assertRegex(reply, "^250 taken", name)
            self.assertEqual(complete[name], [right[name]], name)
        self.gated.stop()


if __name__ == "__main__":
    main(seconds=SECONDS)
