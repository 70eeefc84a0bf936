#!/usr/bin/python3
"""Several gateways that share locks and counts through a real server of Redis.

    state.py PROGRAM [unittest arguments]
"""
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import time
import unittest

from gated import PATIENCE, Case, Client, as_root, main, wait_until
import lab
from redisd import Babbler, Redis

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "real"))
from unbound import Names               # noqa: E402

LOCKED = r"\A554 gate\.example You are locked out"
LOST = 'text="the state server cannot be used'
BACK = 'text="the state server can be used again'
REFUSED = 'text="the state server refuses what it is told'
STILL_LOST = 'text="the state server still cannot be used'
EMPTIED = 'text="the state server has lost what it had: all is told again"'
TAKEN = 'text="the state server takes what it is told again'
ODD = 'text="the state server has what no gateway has put there'
LIMIT = 6
A_SECOND = 1.1             # a gateway asks again for a client that comes later than that
KEY = "smtp-gated:rate:0:127.0.0.1"


def messages_in(value):
    """Of a gateway's record: numbers of seven bits a byte, see statecode.c."""
    numbers, number, shift = [], 0, 0
    for byte in value[1:]:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number = shift = 0
    counts = iter(numbers[3:])
    slots = [next(counts) if numbers[2] >> bit & 1 else 0 for bit in range(35)]
    return sum(slots[1::7])


class Shared(Case):
    """Two gateways, with directories of their own, and one server."""

    def setUp(self):
        self.redis = Redis(*self.settings)
        self.addCleanup(self.redis.stop)
        super().setUp()
        self.other = self.another()

    settings = ()

    def another(self, **options):
        gated = super().another()
        self.set_up(gated, **options)
        return gated

    def set_up(self, gated, **options):
        rates = gated.directory / "rates"
        gated.configure(**{
            "antivirus_type": "off", "ratelimit_period": 3600, "ratelimit_path": f'"{rates}"',
            "ratelimit_messages": LIMIT, "lock_duration": 3600, "timeout_state": 5,
            "state_server": f'"redis://127.0.0.1:{self.redis.port}"', **options})

    def start(self):
        for gated in (self.gated, self.other):
            gated.start()
            gated.wait_for_log(r"^shared .*gateway=[0-9a-f]{16}")

    def stop(self):
        for gated in (self.gated, self.other):
            gated.stop()

    # -- counts

    def sends(self, gated, count=1, source=None):
        """How many of so many mails it lets pass."""
        client = Client(gated, None, source)
        client.hello()
        lab.rest(0.1)                           # as long as it takes from farther away
        taken = [client.submit(lab.mail(b"at noon"))[-1].startswith("250") for _ in range(count)]
        client.__exit__()
        return sum(taken)

    def counted(self):
        """The messages that the server has of each gateway."""
        return sorted(messages_in(value) for value in self.redis.ask("HVALS", KEY))

    def settle(self, *counts):
        """The server will have these of them."""
        if not wait_until(lambda: self.counted() == sorted(counts), 5):
            raise AssertionError(f"{self.counted()}, not {counts}\n{self.gated.log()}"
                                 f"\n{self.other.log()}")

    # -- locks

    @staticmethod
    def locks(gated):
        return sorted(name for name in os.listdir(gated.directory / "lock"))

    def touch(self, gated, name, age=0):
        """It comes with its age: one that gets older afterwards is no news."""
        beside = gated.directory / "a-lock"
        beside.touch()
        os.utime(beside, (time.time() - age,) * 2)
        beside.rename(gated.directory / "lock" / name)

    def wait_for_locks(self, gated, *names):
        if not wait_until(lambda: self.locks(gated) == sorted(names), 10):
            raise AssertionError(f"{self.locks(gated)} instead of {names}\n{gated.log()}")

    def unlock(self, gated, name):
        subprocess.run([gated.program, "--unlock", name, gated.file], check=True,
                       env=gated.environment(), stdout=subprocess.DEVNULL, timeout=PATIENCE)

    def greeting(self, gated):
        with Client(gated) as client:
            return client.reply()


class Sharing(Shared):
    def test_counts(self):
        """What a client did on one gateway counts on the other, a second later; and its
        first words are enough to ask for it."""
        self.start()
        self.assertEqual(self.sends(self.gated, 4), 4)
        self.settle(4)
        self.assertEqual(self.sends(self.other, 4), 2)
        self.settle(4, 2)
        lab.rest(A_SECOND)
        self.assertEqual(self.sends(self.gated, 1), 0)
        life = self.redis.ask("PTTL", KEY)
        self.assertTrue(3600000 < life <= 4500000, life)
        shown = subprocess.run([self.gated.program, "-L", "127.0.0.1", self.gated.file],
                               check=True, env=self.gated.environment(), text=True,
                               capture_output=True, timeout=PATIENCE).stdout
        self.assertRegex(shown, r"(?m)^messages +4 +6$")
        self.assertIn("By this gateway: what others of state_server have counted is not shown",
                      shown)
        state = self.gated.write_state()
        self.assertEqual(state["state_connected"], "1")
        self.assertGreater(int(state["state_counts_heard"]), 0)
        self.stop()

    def test_restart(self):
        """A gateway that starts again does not count twice what it has told before, nor
        does one that replaces itself."""
        self.start()
        self.assertEqual(self.sends(self.gated, 2), 2)
        self.gated.stop()
        self.settle(2)
        self.gated.start()
        self.gated.wait_for_log("^shared .*gateway=", 2)
        self.assertEqual(self.sends(self.gated, 1), 1)
        self.settle(3)
        old = self.gated.pid
        os.kill(old, signal.SIGUSR2)
        self.gated.wait_for_log("^shared .*gateway=", 3)
        self.gated.process.wait(PATIENCE)
        self.gated.process, self.gated.pid = None, int(self.gated.pidfile.read_text())
        self.assertNotEqual(self.gated.pid, old)
        self.assertEqual(self.sends(self.gated, 1), 1)
        self.settle(4)
        self.assertEqual(self.sends(self.other, 4), 2)
        self.stop()

    def test_copy(self):
        """A gateway with a copy of another one's directory gets a name of its own."""
        self.start()
        self.other.stop()
        (self.other.directory / "rates" / "gateway").write_bytes(
            (self.gated.directory / "rates" / "gateway").read_bytes())
        self.other.start()
        self.gated.wait_for_log('text="another gateway has the name of this one')
        self.assertEqual(self.sends(self.gated, 2), 2)
        self.settle(2)
        self.assertEqual(self.sends(self.other, 2), 2)
        self.settle(2, 2)
        lab.rest(A_SECOND)
        self.assertEqual(self.sends(self.gated, 4), 2)
        self.stop()

    def test_locks(self):
        """Made by a daemon, by hand, touched, removed: it is so everywhere; but who is never
        locked by one is never locked there."""
        self.start()
        self.touch(self.gated, "127.0.0.1", age=100)
        self.wait_for_locks(self.other, "127.0.0.1")
        self.assertRegex(self.greeting(self.other), LOCKED)
        here, there = ((gated.directory / "lock" / "127.0.0.1").stat().st_mtime
                       for gated in (self.gated, self.other))
        self.assertAlmostEqual(here, there, delta=0.01)
        self.touch(self.other, "127.0.0.1", age=10)
        self.assertTrue(wait_until(
            lambda: time.time() - (self.gated.directory / "lock" / "127.0.0.1").stat().st_mtime
            < 30, 10), self.gated.log())
        self.unlock(self.other, "127.0.0.1")
        self.wait_for_locks(self.gated)
        self.other.wait_for_log("^lock result=elsewhere client=127.0.0.1 file=127.0.0.1")
        self.gated.wait_for_log("^lock result=removed client=127.0.0.1 file=127.0.0.1")
        self.assertRegex(self.greeting(self.gated), "^220")
        self.touch(self.gated, "127.0.0.1")
        self.wait_for_locks(self.other, "127.0.0.1")
        for name in ("2001:db8:1::_64-we%20ird", "192.0.2.1-%2E%2E%2Fx", "no lock", "10.0.0.1"):
            self.touch(self.gated, name)
        self.wait_for_locks(self.other, "127.0.0.1", "2001:db8:1::_64-we%20ird", "10.0.0.1")
        self.stop()

    def test_expiry(self):
        """A lock whose time is over has not been removed by anybody."""
        for gated in (self.gated, self.other):
            gated.configure(lock_duration=2)
        self.start()
        self.touch(self.gated, "10.0.0.1")
        self.wait_for_locks(self.other, "10.0.0.1")
        for gated in (self.gated, self.other):
            self.wait_for_locks(gated)
            self.assertFalse(gated.logged("^lock result=removed"))
        self.assertRegex(self.redis.ask("HGET", "smtp-gated:locks", "10.0.0.1"), rb"^\d+ \+ ")
        self.stop()

    def test_lock_by_daemon(self):
        """With its reason."""
        for gated in (self.gated, self.other):
            gated.configure(antivirus_type="libclamav")
        self.start()
        with Client(self.gated) as client:
            client.hello()
            self.assertRegex(client.submit(lab.mail(lab.EICAR))[-1], "^550")
        self.wait_for_locks(self.other, "127.0.0.1")
        here, there = ((gated.directory / "lock" / "127.0.0.1").read_text()
                       for gated in (self.gated, self.other))
        self.assertIn(f"virus {lab.EICAR_NAME}", here)
        self.assertEqual(here, there)
        self.assertRegex(self.greeting(self.other), LOCKED)
        self.stop()

    @as_root
    def test_never(self):
        """A file of another user wins, on the gateway that has it."""
        self.start()
        never = self.other.directory / "lock" / "127.0.0.1"
        never.touch()
        os.chown(never, pwd.getpwnam("backup").pw_uid, -1)
        self.touch(self.gated, "127.0.0.1")
        self.touch(self.gated, "127.0.0.9")
        self.wait_for_locks(self.other, "127.0.0.1", "127.0.0.9")
        self.assertRegex(self.greeting(self.other), "^220")
        self.assertRegex(self.greeting(self.gated), LOCKED)
        done = subprocess.run([self.other.program, "--unlock", "127.0.0.1", self.other.file],
                              check=False, env=self.other.environment(), capture_output=True,
                              text=True, timeout=PATIENCE)
        self.assertIn("if another gateway of state_server has it locked, unlock it there",
                      done.stderr)
        never.unlink()
        self.touch(self.other, "127.0.0.8")
        self.wait_for_locks(self.gated, "127.0.0.1", "127.0.0.8", "127.0.0.9")
        self.stop()

    @as_root
    def test_privileges(self):
        """As a user without rights, by a socket and with a password from a file; and as a
        user of the server's that may do no more than the manual says."""
        self.redis.ask("CONFIG", "SET", "requirepass", "not to be guessed%")
        self.redis.password = "not to be guessed%"
        secret = self.gated.directory / "etc" / "password"
        secret.write_text("not to be guessed%\n")
        secret.chmod(0o600)
        self.gated.configure(
            state_server=f'"unix://default@{self.redis.path}?db=3"', set_user="backup",
            state_password_file=f'"{secret}"', state_prefix="ours", allow_root="no")
        self.redis.ask("ACL", "SETUSER", "gated", "on", ">and %this", "~ours:*", "&ours:*",
                       "+@read", "+@write", "+@transaction", "+@pubsub", "+@scripting",
                       "+@connection", "-@dangerous")
        self.other.configure(
            state_server=f'"redis://gated:and%20%25this@localhost:{self.redis.port}/3"',
            state_prefix="ours")
        self.start()
        self.gated.wait_for_log("set_user cannot read state_password_file: --upgrade will fail")
        self.touch(self.other, "10.1.1.1")
        self.wait_for_locks(self.gated, "10.1.1.1")
        self.assertEqual(self.sends(self.other, 1), 1)
        lab.rest(A_SECOND)
        state = self.other.write_state()
        self.assertGreater(int(state["state_counts_told"]), 0)
        self.assertEqual((state["state_refused"], state["state_odd"]), ("0", "0"))
        self.assertEqual(self.redis.ask("EXISTS", "ours:locks"), 0)     # in database 0
        self.assertIn(b"keys=3,", self.redis.ask("INFO", "keyspace"))   # locks, life, a client
        self.stop()


    @unittest.skipUnless(shutil.which("unbound"), "no unbound")
    def test_name(self):
        """Of the server, from DNS; one that DNS does not have is trouble like others."""
        names = Names("127.0.0.1", [f"redis.test. 60 A {host}" for host in
                                    ("127.0.0.1", "127.0.0.77")])
        self.addCleanup(names.stop)
        for gated, host in ((self.gated, "redis.test"), (self.other, "nobody.test")):
            gated.configure(resolver='{"127.0.0.1"}', resolver_port=names.port,
                            state_server=f'"redis://{host}:{self.redis.port}"')
            gated.start()
        self.gated.wait_for_log("^shared ")     # it may have tried the other address first
        self.other.wait_for_log(LOST)
        self.assertIn("DNS has no address of that name", self.other.logged(LOST)[0])
        self.stop()


    def test_tls(self):
        """If this program has it: to a server with the right certificate, and no other."""
        self.gated.configure(state_server=f'"rediss://127.0.0.1:{self.redis.port}"')
        if b"redisInitiateSSL" not in pathlib.Path(self.gated.program).read_bytes():
            self.assertIn("needs TLS, which this program was built without",
                          self.gated.refused())
            return
        for count, (name, words) in enumerate((("IP:127.0.0.9", "IP address mismatch"),
                                               ("IP:127.0.0.1", None)), 1):
            authority = self.redis.speak_tls(name)
            self.gated.configure(
                state_server=f'"rediss://127.0.0.1:{self.redis.tls_port}"',
                state_ca_file=f'"{authority}"' if words else None)
            self.gated.start()
            self.gated.wait_for_log(LOST, count)
            self.assertIn(words or "self-signed certificate", self.gated.logged(LOST)[-1])
            self.gated.stop()
        self.other.configure(state_server=f'"rediss://127.0.0.1:{self.redis.tls_port}"',
                             state_ca_file=f'"{authority}"')
        self.gated.configure(state_server=f'"redis://127.0.0.1:{self.redis.port}"')
        self.start()
        names = [f"10.{number // 250}.2.{number % 250}" for number in range(2000)]
        for name in names:
            self.touch(self.gated, name)
        self.wait_for_locks(self.other, *names)
        self.redis.stall(3)
        self.other.wait_for_log(LOST)
        self.other.wait_for_log(BACK)
        self.stop()


class Outages(Shared):
    def outage(self):
        """Both go on, and say so once."""
        for gated in (self.gated, self.other):
            gated.wait_for_log(LOST)
            self.assertEqual(gated.write_state()["state_connected"], "0")

    def is_over(self, count=1):
        for gated in (self.gated, self.other):
            gated.wait_for_log(BACK, count)
            self.assertEqual(len(gated.logged(LOST)), count)

    def through(self, restart):
        self.start()
        for name in ("10.0.0.1", "10.0.0.2"):
            self.touch(self.gated, name)
        self.wait_for_locks(self.other, "10.0.0.1", "10.0.0.2")
        self.assertEqual(self.sends(self.gated, 1), 1)
        self.assertEqual(self.sends(self.other, 1), 1)
        self.settle(1, 1)
        self.redis.kill()
        self.outage()
        self.assertEqual(self.sends(self.gated, 2), 2)
        self.assertEqual(self.sends(self.other, 1), 1)
        self.touch(self.gated, "10.0.0.3")
        self.touch(self.other, "10.0.0.4")
        self.unlock(self.other, "10.0.0.1")
        restart()
        self.is_over()
        for gated in (self.gated, self.other):
            self.wait_for_locks(gated, "10.0.0.2", "10.0.0.3", "10.0.0.4")
        self.settle(3, 2)
        lab.rest(A_SECOND)
        self.assertEqual(self.sends(self.other, 3), 1)
        self.settle(3, 3)
        lab.rest(A_SECOND)
        self.assertEqual(self.sends(self.gated, 1), 0)
        self.stop()

    def test_without_data(self):
        """Nothing that was counted is lost, no lock is, and what was unlocked meanwhile is
        not locked again."""
        self.through(self.redis.start)

    def test_with_data(self):
        self.redis.stop()
        self.redis = Redis("--appendonly", "yes", "--appendfsync", "always")
        self.addCleanup(self.redis.stop)
        for gated in (self.gated, self.other):
            gated.configure(state_server=f'"redis://127.0.0.1:{self.redis.port}"')
        self.through(self.redis.start)

    def test_stall(self):
        """Who answers nothing keeps nobody waiting, and is left."""
        for gated in (self.gated, self.other):
            gated.configure(timeout_state=1)
        self.start()
        self.redis.stall(3)
        slowest = 0
        for _ in range(20):
            watch = lab.Stopwatch()
            with Client(self.gated) as client:
                self.assertRegex(client.hello(), "^250")
            slowest = max(slowest, watch.here())
            time.sleep(0.05)
        self.assertLess(slowest, 0.5)
        self.outage()
        self.assertIn("no answer for 1 s (timeout_state)", self.gated.logged(LOST)[0])
        self.is_over()
        self.stop()

    def test_absent(self):
        """From the start; it is said once, however long it takes."""
        self.redis.kill()
        for gated in (self.gated, self.other):
            gated.start()
            gated.wait_for_log(LOST)
        self.assertIn("Connection refused", self.gated.logged(LOST)[0])
        self.touch(self.gated, "10.0.0.1")
        time.sleep(2)
        self.redis.start()
        self.is_over()
        self.wait_for_locks(self.other, "10.0.0.1")
        self.stop()

    def test_emptied(self):
        """Under gateways that stay connected: it gets all of it again; and so does a key that
        somebody has put there, once that is gone."""
        self.start()
        self.touch(self.gated, "10.0.0.1")
        self.wait_for_locks(self.other, "10.0.0.1")
        self.assertEqual(self.sends(self.gated, 2), 2)
        self.assertEqual(self.sends(self.other, 1), 1)
        self.settle(2, 1)
        for count, command in enumerate(("FLUSHALL", "FLUSHDB"), 1):
            self.redis.ask(command)
            self.settle(2, 1)
            self.assertTrue(wait_until(
                lambda: self.redis.ask("HEXISTS", "smtp-gated:locks", "10.0.0.1"), 5))
            for gated in (self.gated, self.other):
                gated.wait_for_log(EMPTIED, count)
        time.sleep(2 * A_SECOND)
        self.assertEqual([len(gated.logged(EMPTIED)) for gated in (self.gated, self.other)],
                         [2, 2])
        third = self.another()
        third.start()
        self.wait_for_locks(third, "10.0.0.1")
        self.assertEqual(self.sends(third, 4), 3)
        third.stop()
        self.redis.ask("DEL", "smtp-gated:locks")
        self.redis.ask("SET", "smtp-gated:locks", "no hash")
        self.touch(self.gated, "10.0.0.2")
        self.gated.wait_for_log(ODD)
        self.redis.ask("DEL", "smtp-gated:locks")
        if not wait_until(lambda: "10.0.0.2" in self.locks(self.other), 15):
            raise AssertionError(self.gated.log())
        self.assertTrue(self.redis.ask("HEXISTS", "smtp-gated:locks", "10.0.0.1"))
        self.assertFalse(self.gated.logged(LOST))
        self.stop()

    def test_refusals(self):
        """A replica, one that is full, one that cannot save: read, and told again later."""
        self.start()
        for number, (break_it, mend_it, word) in enumerate((
                (lambda: self.redis.ask("CONFIG", "SET", "maxmemory", 1),
                 lambda: self.redis.ask("CONFIG", "SET", "maxmemory", 0), "OOM"),
                (lambda: self.redis.ask("REPLICAOF", "127.0.0.1", 1),
                 lambda: self.redis.ask("REPLICAOF", "NO", "ONE"), "READONLY"),
                (self.redis.fail_to_save,
                 lambda: self.redis.ask("CONFIG", "SET", "stop-writes-on-bgsave-error", "no"),
                 "MISCONF")), 1):
            with self.subTest(word):
                break_it()
                self.touch(self.gated, f"10.0.0.{number}")
                self.assertEqual(self.sends(self.gated, 1), 1)
                self.gated.wait_for_log(REFUSED, number)
                self.assertIn(f'why="{word} ', self.gated.logged(REFUSED)[-1])
                mend_it()
                self.touch(self.gated, f"10.0.1.{number}")
                self.gated.wait_for_log(TAKEN, number)
        self.assertEqual(len(self.gated.logged(REFUSED)), 3, self.gated.log())
        self.assertFalse(self.gated.logged(LOST))
        for number in (1, 2, 3):
            self.assertTrue(wait_until(lambda: f"10.0.0.{number}" in self.locks(self.other), 15))
        self.stop()

    def test_another_password(self):
        """The reason why it stays away is said, too, and each but once."""
        self.start()
        self.redis.kill()
        self.gated.wait_for_log(STILL_LOST + '.*why="Connection refused')
        self.redis.settings = ("--requirepass", "another")
        self.redis.password = "another"
        self.redis.start()
        self.gated.wait_for_log(STILL_LOST + '.*why="NOAUTH .*see state_password_file')
        time.sleep(2)
        self.assertEqual(len(self.gated.logged(LOST)), 1)
        self.assertEqual(len(self.gated.logged(STILL_LOST)), 2, self.gated.log())
        self.stop()

    def test_wrong_password(self):
        """Said with where to mend it."""
        self.redis.ask("CONFIG", "SET", "requirepass", "right")
        self.redis.password = "right"
        self.gated.configure(
            state_server=f'"redis://:wrong@127.0.0.1:{self.redis.port}"')
        for gated in (self.gated, self.other):
            gated.start()
            gated.wait_for_log(LOST)
        self.assertRegex(self.gated.logged(LOST)[0], "WRONGPASS.*see state_password_file")
        self.assertRegex(self.other.logged(LOST)[0], "NOAUTH.*see state_password_file")
        self.assertNotIn("wrong@", self.gated.log())
        self.assertEqual(self.sends(self.gated, 1), 1)
        self.redis.ask("CONFIG", "SET", "requirepass", "")
        self.redis.password = None
        self.other.wait_for_log(BACK)
        self.stop()


class Strangers(Shared):
    def test_babble(self):
        """Whatever answers there: the daemon lives, and its clients are served."""
        self.gated.configure(ratelimit_messages=1000)
        for words, times in ((b"220 mail.example ESMTP\r\n", 1), (b"+OK\r\n", 1000),
                             (b"+PONG\r\n", 3), (b"*1000000000\r\n", 1),
                             (b"*8\r\n" * 100, 1), (b"$536870000\r\n" + b"x" * 65536, 1),
                             (b"$-7\r\n:\r\n", 5), (b"a" * 65536, 1000),
                             (b"*2\r\n$9\r\nsubscribe\r\n*0\r\n+OK\r\n*0\r\n:1\r\n", 10),
                             (b"-ERR max number of clients reached\r\n", 1),
                             (b"", 1), (b"\x16\x03\x01\0\0", 3)):
            with self.subTest(words[:32]):
                babbler = Babbler(words, times)
                self.gated.configure(
                    state_server=f'"redis://127.0.0.1:{babbler.port}"')
                self.gated.start()
                self.gated.wait_for_log(LOST)
                self.assertTrue(wait_until(lambda: babbler.callers > 1, 10))
                self.assertEqual(self.sends(self.gated), 1)
                self.assertLess(self.gated.memory(), 600)
                self.gated.stop()
                self.gated.log_file.unlink()
                babbler.stop()

    def test_odd_data(self):
        """What no gateway has put there means nothing; the rest of it does."""
        count = b"\x01\xa0\xf7\x36\xff\xff\xff\xff\x0f"
        self.redis.ask("HSET", KEY, "0123456789abcdef", b"\x01\x80\xa0", "x" * 5000, "y" * 70000,
                       b"\0\r\n*3", b"", "fedcba9876543210", count + b"\xff" * 80)
        now = int(time.time() * 1000)
        for name, value in (("127.0.0.1", "nonsense"), ("127.0.0.1/../../x", f"{now} + x"),
                            ("../127.0.0.1", f"{now} + x"), ("127.0.0.1 ", f"{now} + x"),
                            ("2001:db8::_48", f"{now} + x"), ("10.0.0.1", f"{now} + \x1b[31mx"),
                            ("10.0.0.2", f"{now + 10 ** 10} + x"), ("10.0.0.3", f"{10 ** 30} + x"),
                            ("10.0.0.4", "5 + x"), (b"127.0.0.1\0", f"{now} + x"),
                            ("a" * 5000, f"{now} + x"), ("10.0.0.5", f"{now} + " + "x" * 100000)):
            self.redis.ask("HSET", "smtp-gated:locks", name, value)
        self.start()
        self.wait_for_locks(self.gated, "10.0.0.1", "10.0.0.5")
        self.assertNotIn(b"\x1b", (self.gated.directory / "lock" / "10.0.0.1").read_bytes())
        self.assertEqual(self.sends(self.gated, 2), 2)
        self.gated.wait_for_log(ODD)
        for message in ("lock", "lock ", "lock x", "lock 127.0.0.1 1 + x", "lock 10.9.9.9",
                        f"lock 127.0.0.1 {now + 10 ** 9} + x", "gateway", "gateway x y", "",
                        b"\0" * 1000, "lock " + "1" * 100000, f"lock 10.0.0.7 {now} + x"):
            self.redis.ask("PUBLISH", "smtp-gated:news:0", message)
        self.wait_for_locks(self.gated, "10.0.0.1", "10.0.0.5", "10.0.0.7")
        self.redis.ask("DEL", KEY, "smtp-gated:locks")
        self.redis.ask("SET", KEY, "a text")
        self.redis.ask("LPUSH", "smtp-gated:locks", "a list")
        self.touch(self.gated, "10.0.0.8")
        self.assertEqual(self.sends(self.gated, 2), 2)
        time.sleep(1.5)
        self.assertGreater(int(self.gated.write_state()["state_odd"]), 5)
        self.assertEqual(len(self.gated.logged(ODD)), 1)
        self.assertFalse(self.gated.logged(LOST))
        self.stop()


class Settings(Shared):
    def test_faults(self):
        """Said at the start, with the option."""
        for value, words in (("http://x", "must begin with redis://, rediss:// or unix://"),
                             ("redis://", "has no host"), ("redis://x:0", "wrong port"),
                             ("redis://u@x", "a user without a password"),
                             ("redis://x/y", "wrong database"),
                             ("unix://x", "no absolute path")):
            with self.subTest(value):
                self.gated.configure(state_server=f'"{value}"')
                refusal = self.gated.refused()
                self.assertRegex(refusal, r"conf:\d+: state_server")
                self.assertIn(words, refusal)
        self.set_up(self.gated, state_password_file='"/nowhere"')
        self.assertIn("state_password_file: /nowhere: ", self.gated.refused())

    def checked(self):
        done = subprocess.run([self.gated.program, "--check", self.gated.file], check=False,
                              env=self.gated.environment(), capture_output=True, text=True,
                              timeout=PATIENCE)
        return done.returncode, done.stderr

    def test_check(self):
        """Of --check: it looks at the file with the password, as the start does."""
        secret = self.gated.directory / "etc" / "password"
        self.gated.configure(state_password_file=f'"{secret}"')
        for text, mode, words in ((None, 0, "No such file"), ("", 0o600, "is empty"),
                                  ("a\nb\n", 0o600, "one line"), ("a\n", 0o644, "chmod 640")):
            with self.subTest(words):
                if text is not None:
                    secret.write_text(text)
                    secret.chmod(mode)
                code, said = self.checked()
                self.assertEqual(code, 1)
                self.assertIn(f"state_password_file: {secret}: ", said)
                self.assertIn(words, said)
                self.assertNotIn("openssl", said)
        secret.chmod(0o640)
        self.assertEqual(self.checked(), (0, ""))
        if os.geteuid() == 0:
            self.gated.configure(set_user="backup")
            code, said = self.checked()
            self.assertEqual(code, 0)
            self.assertIn("--upgrade will fail", said)
            os.chown(secret, -1, pwd.getpwnam("backup").pw_gid)
            self.assertEqual(self.checked(), (0, ""))


if __name__ == "__main__":
    lab.need_programs("redis-server")
    main()
