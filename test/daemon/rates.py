#!/usr/bin/python3
"""Rate limits: what is counted outlives the process, and -L shows it.

    rates.py PROGRAM [unittest arguments]
"""
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import subprocess
import time
import unittest

from gated import IS_SHADOWED, PROGRAM, Case, Client, as_root, main, wait_until
import lab

WHO = "127.0.0.1"
REFUSED = r"^421 gate\.example You connect too often"


class Rates(Case):
    def another(self, **options):
        gated = super().another(**options)
        self.rates = gated.directory / "rates"
        gated.configure(**{"ratelimit_period": 3600, "ratelimit_path": f'"{self.rates}"',
                           "antivirus_type": "off", **options})
        return gated

    def call(self, gated=None):
        client = super().call(gated)
        self.clients = [*getattr(self, "clients", []), client]
        return client

    def stop(self):
        """All go home first."""
        for client in getattr(self, "clients", []):
            client.__exit__()
        self.clients = []
        self.gated.stop()

    def look(self, address=WHO, gated=None):
        """What -L says: the exit code, the counts by name, and all its words."""
        gated = gated or self.gated
        done = subprocess.run(
            [PROGRAM, "-L", address, gated.file], env=gated.environment(), timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        counts = {name: (int(count), limit) for name, count, limit
                  in re.findall(r"(?m)^([a-z_]+) +(\d+) +(\d+|-)$", done.stdout)}
        return done.returncode, counts, done.stdout + done.stderr

    def counts(self, **expected):
        """-L will say so, a second or two from now."""
        def agree():
            counts = self.look()[1]
            return all(name in counts and counts[name][0] == count
                       for name, count in expected.items())
        self.assertTrue(wait_until(agree, 10), self.look()[2] + self.gated.log())

    def send(self, times=1):
        client = self.begin()
        for _ in range(times):
            self.assertRegex(client.submit(lab.mail(b"hello"))[-1], "^250")
        return client

    def greeting(self):
        return self.call().reply()


class Kept(Rates):
    def test_restart(self):
        self.gated.configure(ratelimit_connections=3, ratelimit_recipients=100)
        self.gated.start()
        self.send(2).__exit__()
        self.stop()
        code, counts, words = self.look()       # nobody runs
        self.assertEqual(code, 0, words)
        self.assertEqual(counts["connections"], (1, "3"))
        self.assertEqual(counts["messages"], (2, "-"))
        self.assertEqual(counts["recipients"], (2, "100"))
        size = 2 * len(lab.mail(b"hello"))
        self.assertEqual(counts["bytes"], (size, "-"))
        self.assertRegex(words, rf"^{WHO}, last seen \d+ s ago\nin 3600 s ")
        self.gated.start()
        self.assertRegex(self.greeting(), "^220")
        self.assertRegex(self.greeting(), "^220")
        self.assertRegex(self.greeting(), REFUSED)
        self.counts(connections=3, messages=2)
        state = self.gated.write_state()
        self.assertEqual((state["rate_clients"], state["refused_rate"]), ("1", "1"))
        self.stop()

    def test_killed(self):
        """What is older than a second or two is on disk."""
        self.gated.start()
        self.send(3)
        self.counts(messages=3)
        os.kill(self.gated.pid, signal.SIGKILL)
        self.gated.process.wait()
        self.gated.pidfile.unlink()
        self.gated.process = None
        self.assertEqual(self.look()[1]["messages"], (3, "-"))
        self.gated.start()
        self.send(1)
        self.counts(messages=4)
        self.stop()

    def test_reload(self):
        """Limits come and go; counts stay, unless it is another generation."""
        self.gated.start()
        self.send(2)
        self.gated.reload(ratelimit_messages=2)
        self.assertRegex(self.begin().ask("MAIL FROM:<a@b.example>"), "^450 ")
        self.gated.reload(ratelimit_messages=3)
        self.send(1)
        self.assertRegex(self.begin().ask("MAIL FROM:<a@b.example>"), "^450 ")
        self.counts(messages=3)
        self.gated.reload(ratelimit_generation=2)
        self.assertIn("nothing has been counted", self.look()[2])
        self.send(3)
        self.counts(messages=3)
        self.gated.reload(ratelimit_messages=0)
        self.send(3)
        self.stop()
        self.assertEqual(self.look()[1]["messages"], (6, "-"))

    def test_period_needs_restart(self):
        self.gated.configure(ratelimit_period=0, ratelimit_connections=1)
        self.gated.start()
        self.gated.reload(ratelimit_period=60)
        self.assertTrue(self.gated.logged("takes effect at a restart only.*ratelimit_period"))
        for _ in range(3):
            self.assertRegex(self.greeting(), "^220")
        self.stop()
        self.assertFalse(self.rates.exists())

    def test_upgrade_at_once(self):
        """What was counted in the second before counts as well."""
        self.gated.program = str(shutil.copy(PROGRAM, self.gated.directory / "smtp-gated"))
        self.gated.configure(ratelimit_messages=3)
        self.gated.start()
        old = self.gated.pid
        self.send(3).__exit__()
        self.gated.signal(signal.SIGUSR2)
        self.assertEqual(self.gated.process.wait(60), 0)
        self.assertTrue(wait_until(
            lambda: self.gated.pidfile.read_text().strip() not in ("", str(old))))
        self.gated.process, self.gated.pid = None, int(self.gated.pidfile.read_text())
        with Client(self.gated) as client:
            client.hello()
            self.assertRegex(client.ask("MAIL FROM:<a@client.example>"), "^450 ")
        self.stop()

    def test_upgrade(self):
        """Two processes at one time: what either counts counts for both."""
        self.gated.program = str(shutil.copy(PROGRAM, self.gated.directory / "smtp-gated"))
        self.gated.start()
        sitting = self.send(1)
        old = self.gated.pid
        self.gated.signal(signal.SIGUSR2)
        self.gated.wait_for_log("another process serves from now on")
        self.assertTrue(wait_until(
            lambda: self.gated.pidfile.read_text().strip() not in ("", str(old))))
        new = int(self.gated.pidfile.read_text())
        self.send(2)                            # the new one
        for _ in range(4):                      # the old one
            self.assertRegex(sitting.submit(lab.mail(b"hello"))[-1], "^250")
        self.counts(messages=7)
        sitting.__exit__()
        self.assertEqual(self.gated.process.wait(60), 0)
        self.gated.process, self.gated.pid = None, new
        self.send(1)
        self.counts(messages=8, connections=3)
        self.stop()

    def test_damaged(self):
        self.gated.start()
        self.send(2)
        self.stop()
        data = self.rates / "data.mdb"
        size = data.stat().st_size
        with open(data, "r+b") as file:
            file.seek(8192)
            file.write(random.Random(1).randbytes(size - 8192))
        self.assertNotEqual(self.look()[0], 0)
        self.gated.start()
        self.assertTrue(self.gated.logged("counts of clients are damaged.*damaged.mdb"))
        self.assertEqual((self.rates / "damaged.mdb").stat().st_size, size)
        self.send(1)
        self.counts(messages=1)
        self.stop()

    def test_path_that_cannot_be(self):
        self.rates.touch()
        self.assertRegex(self.gated.refused(), f'ratelimit_path = "{self.rates}": ')

    def test_nothing_for_children(self):
        """Programs that it starts do not get the file."""
        self.gated.start()
        self.send(1)
        here = pathlib.Path(f"/proc/{self.gated.pid}")
        ours = [one.name for one in (here / "fd").iterdir()
                if os.readlink(one).startswith(str(self.rates))]
        self.assertGreaterEqual(len(ours), 2)
        for one in ours:
            flags = re.search(r"flags:\s+(\d+)", (here / "fdinfo" / one).read_text())[1]
            self.assertTrue(int(flags, 8) & os.O_CLOEXEC,
                            os.readlink(here / "fd" / one))
        self.stop()

    @unittest.skipIf(IS_SHADOWED, "ThreadSanitizer has a thread that wakes up")
    def test_quiet(self):
        """Nothing happens while nobody comes."""
        self.gated.start()
        self.send(1)
        self.counts(messages=1)
        time.sleep(1.5)

        def switches():
            tasks = pathlib.Path(f"/proc/{self.gated.pid}/task").iterdir()
            return sum(int(n) for task in tasks for n in re.findall(
                r"voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text()))
        before = switches()
        time.sleep(2)
        self.assertLessEqual(switches() - before, 2)
        self.stop()


class Shown(Rates):
    def test_nobody(self):
        code, _, words = self.look("192.0.2.7")
        self.assertEqual((code, words), (0, "192.0.2.7: nothing has been counted\n"))
        code, _, words = self.look("2001:db8::7")
        self.assertEqual((code, words), (0, "2001:db8::/64: nothing has been counted\n"))
        self.assertFalse(self.rates.exists())

    def test_misused(self):
        self.assertEqual(self.look("nobody")[0], 2)
        self.gated.configure(ratelimit_period=0)
        code, _, words = self.look()
        self.assertEqual(code, 1)
        self.assertIn("ratelimit_period is 0 in ", words)

    def test_policy(self):
        """Limits of the policy, counts of the client."""
        self.gated.configure(
            ratelimit_connections=1, proxy_protocol_from="{127.0.0.0/8}",
            sections='policy "ours" {\n\tclients = {192.0.2.2}\n'
                     "\tratelimit_connections = 2\n}\n")
        self.gated.start()

        def comes(host):
            client = self.call()
            client.send(f"PROXY TCP4 {host} 192.0.2.25 40000 25\r\n".encode())
            return client.reply()
        self.assertRegex(comes("192.0.2.1"), "^220")
        self.assertRegex(comes("192.0.2.1"), REFUSED)
        for _ in range(2):
            self.assertRegex(comes("192.0.2.2"), "^220")
        self.assertRegex(comes("192.0.2.2"), REFUSED)
        self.stop()
        self.assertEqual(self.look("192.0.2.1")[1]["connections"], (1, "1"))
        words = self.look("192.0.2.2")
        self.assertEqual(words[1]["connections"], (2, "2"))
        self.assertIn("192.0.2.2, policy ours, last seen", words[2])

    def test_expired(self):
        self.gated.configure(ratelimit_period=4)
        self.gated.start()
        self.send(1)
        self.counts(messages=1)
        self.assertTrue(wait_until(
            lambda: "nothing has been counted" in self.look()[2], 10), self.look()[2])
        self.assertEqual(self.gated.write_state()["rate_clients"], "0")
        self.stop()


@as_root
class Users(Rates):
    USER = pwd.getpwnam("backup")

    def setUp(self):
        super().setUp()
        self.gated.configure(allow_root=None, set_user='"backup"')

    def test_set_user(self):
        self.gated.start()
        self.send(2)
        self.counts(messages=2)
        for name in (self.rates, self.rates / "data.mdb", self.rates / "lock.mdb"):
            self.assertEqual(name.stat().st_uid, self.USER.pw_uid)
            self.assertEqual(name.stat().st_mode & 0o007, 0)
        self.stop()
        (self.rates / "lock.mdb").unlink()
        self.counts(messages=2)                 # by root
        self.gated.start()
        self.send(1)
        self.counts(messages=3)
        self.stop()

    def test_chroot(self):
        jail = self.gated.directory / "jail"
        for name in ("run", "spool"):
            (jail / name).mkdir(parents=True)
            (jail / name).chmod(0o1777)
        self.gated.configure(chroot_path=f'"{jail}"', statefile='"/run/state"',
                             spool_path='"/spool"', ratelimit_path='"/in/rates"')
        environment = self.gated.environment()
        environment["ASAN_OPTIONS"] += ":detect_leaks=0"        # that needs a /proc
        self.gated.environment = lambda: environment
        self.gated.start()
        self.send(2)
        self.counts(messages=2)
        self.assertTrue((jail / "in" / "rates" / "data.mdb").exists())
        self.assertFalse(os.path.lexists("/in"))
        self.stop()

    def test_not_writable(self):
        self.rates.mkdir(0o755)
        self.assertRegex(self.gated.refused(), "ratelimit_path = .*: cannot open data.mdb in "
                                               "it: Permission denied; it must be writable")

    def test_root_is_not_led_astray(self):
        """Whoever is the daemon's user by now does not choose what root writes to."""
        self.gated.start()
        self.send(1)
        self.stop()
        secret = self.gated.directory / "secret"
        secret.write_text("root's own")
        secret.chmod(0o600)
        lock = self.rates / "lock.mdb"
        lock.unlink()
        lock.symlink_to(secret)
        code, _, words = self.look()
        self.assertEqual(code, 1, words)
        self.assertIn("Permission denied", words)
        self.assertEqual(secret.read_text(), "root's own")


if __name__ == "__main__":
    main()
