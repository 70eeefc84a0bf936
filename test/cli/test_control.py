#!/usr/bin/env python3
"""Talking to the daemon from outside: -s, -S, -r and -K, pidfiles and state files.

usage: test_control.py PROGRAM [unittest arguments]
"""
import os
import re
import signal
import stat
import subprocess
import sys
import time
import unittest

import test_cli
from test_cli import lab
from test_cli import PATIENCE, free_port, is_gone, wait_until

NOBODY = 65534
OPTIONS = ("-s", "-S", "-r", "--upgrade", "-K")


def has_been_sent(pid, which):
    """The signal waits for a process that is stopped."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        pending = int(re.search(r"(?m)^ShdPnd:\s*(\w+)", file.read())[1], 16)
    return pending >> (which - 1) & 1


class Control(test_cli.Daemon):
    def setUp(self):
        super().setUp()
        self.state = self.tmp / "state"
        self.conf = self.tmp / "conf"

    def starts(self, **settings):
        self.check(self.background(**settings), 0)

    def says(self, option, code, out=None, err=None, conf=None):
        self.check(self.run_program(option, conf or self.conf), code, out, err)

    def changes(self, **settings):
        """The file says something else from now on."""
        self.settings(fixed_server_port=self.server.port, **settings)

    def number(self, name):
        """As a script would read it, after -s."""
        result = self.run_program("-s", self.conf)
        self.assertEqual(result.returncode, 0, result.stderr)
        return int(re.search(rf"(?m)^{name}: *(-?\d+)", result.stdout)[1])

    def begins_session(self):
        client = self.call()
        self.assertRegex(client.hears(), r"^220 ")
        return client


class NobodyThere(Control):
    def test_no_pidfile(self):
        self.settings()
        for option in OPTIONS:
            self.says(option, 3, None, rf"no daemon runs .*pidfile = \"{self.pidfile}\"")

    def test_stale_pidfile(self):
        """Ours is a living process; it has only the same number."""
        self.settings()
        for text in (f"{os.getpid()}\n", "1\n", "", "999999999\n", "nonsense"):
            self.pidfile.write_text(text)
            for option in OPTIONS:
                with self.subTest(text=text, option=option):
                    self.says(option, 3, None, r"no daemon runs")
            self.assertEqual(self.pidfile.read_text(), text)

    def test_no_names_for_the_files(self):
        self.settings(pidfile='""')
        for option in OPTIONS:
            self.says(option, 1, None, rf"pidfile is empty in {self.conf}")
        self.settings(statefile='""')
        for option in ("-s", "-S"):
            self.says(option, 1, None, rf"statefile is empty in {self.conf}")
        for option in ("-r", "-K"):
            self.says(option, 3, None, r"no daemon runs")

    def test_wrong_file(self):
        self.file("prot = 25\n")
        for option in OPTIONS:
            self.says(option, 1, None, r"conf:1: .*prot")

    def test_killed(self):
        """What is left of it hinders nobody."""
        self.starts()
        os.kill(self.pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: is_gone(self.pid)))
        self.assertTrue(self.pidfile.exists())
        self.says("-s", 3, None, r"no daemon runs")
        first = self.pid
        self.starts()
        self.assertNotEqual(self.pid, first)
        self.says("-S", 0, rf"\A{self.state}\n\Z")


class Two(Control):
    def test_one_pidfile(self):
        self.starts()
        first, port = self.pid, self.port
        self.port = free_port()
        for arguments in ([], ["-f"]):
            self.check(self.run_program(*arguments, self.settings()), 1, None,
                       rf"another smtp-gated runs with this file, pid {first};")
        self.port = port
        self.assertEqual(self.pidfile.read_text(), f"{first}\n")
        self.begins_session()

    def test_a_pidfile_each(self):
        self.starts()
        first, pidfile = self.pid, self.pidfile
        self.pidfile, self.port = self.tmp / "pid2", free_port()
        self.starts(statefile=f'"{self.tmp}/state2"')
        self.addCleanup(lambda: is_gone(first) or os.kill(first, signal.SIGKILL))
        self.says("-S", 0, rf"\A{self.tmp}/state2\n\Z")
        self.assertFalse(self.state.exists())
        self.says("-K", 0)
        self.assertTrue(is_gone(self.pid))
        self.assertFalse(is_gone(first))
        self.pidfile = pidfile
        self.settings()
        self.says("-K", 0)
        self.assertTrue(is_gone(first))


class Status(Control):
    def test_print_and_name(self):
        self.starts()
        client = self.begins_session()
        self.state.write_text("old\n")
        result = self.run_program("-s", self.conf)
        self.check(result, 0, r"(?s)\AStart time: .*\nChildren: 1/1 \(current/max\)\n"
                              r".*\n\nslot +pid .*\n +0 +\d+ relaying ")
        self.assertEqual(self.state.read_text(), result.stdout)
        self.state.write_text("old\n")
        self.says("-S", 0, rf"\A{self.state}\n\Z")
        self.assertRegex(self.state.read_text(), r"\AStart time: ")
        client.close()

    def test_always_fresh(self):
        self.starts()
        for count in range(1, 31):
            self.begins_session().close()
            self.assertEqual(self.number("connections"), count)

    def test_a_session_can_be_found_in_the_log(self):
        self.foreground()
        client = self.begins_session()
        line = self.child.stdout.readline().decode()
        while not line.startswith("connect "):
            line = self.child.stdout.readline().decode()
        session = re.search(r" s=(\w+)", line)[1]
        row = self.run_program("-s", self.conf).stdout.splitlines()[-1].split()
        self.assertEqual(len(row), 15)
        self.assertEqual((row[1], *row[-3:]), (str(self.pid), session, "default", "-"))
        client.close()

    def test_permissions(self):
        for option, bits in (("0660", 0o660), ("0644", 0o644), ("0600", 0o600)):
            with self.subTest(option):
                self.starts(statefile_perm=option)
                self.says("-S", 0, r".")
                self.assertEqual(stat.S_IMODE(self.state.stat().st_mode), bits)
                self.says("-K", 0)
                self.state.unlink()

    def test_forms(self):
        head, name, value = r"slot +pid ", r"\w+: ", r"Start time: "
        for types, patterns in (("{flat}", (rf"\A({name}\S+\n)+\Z",)),
                                ("{slots}", (rf"\A{head}.*\n\Z",)),
                                ("{human}", (rf"\A{value}",)),
                                ("{flat, slots}", (rf"\A({name}\S+\n)+\n{head}.*\n\Z",))):
            with self.subTest(types):
                self.starts(statefile_type=types)
                for pattern in patterns:
                    self.says("-s", 0, pattern)
                self.says("-K", 0)

    def test_state_that_cannot_be_written(self):
        self.state.mkdir()
        self.starts()
        watch = lab.Stopwatch()
        self.says("-s", 4, None, rf"pid {self.pid}\) runs, but has not written statefile = "
                                 rf"\"{self.state}\" in time; its log says why")
        self.assertLess(watch.here(), 10)
        self.begins_session()

    def test_daemon_that_sleeps(self):
        self.starts()
        os.kill(self.pid, signal.SIGSTOP)
        self.says("-S", 4, None, r"has not written statefile")
        os.kill(self.pid, signal.SIGCONT)
        self.says("-S", 0, r"state\n")

    def test_daemon_that_ends_meanwhile(self):
        self.starts()
        os.kill(self.pid, signal.SIGSTOP)
        asking = subprocess.Popen([test_cli.PROGRAM, "-s", self.conf], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
        self.assertTrue(wait_until(lambda: has_been_sent(self.pid, signal.SIGUSR1)))
        watch = lab.Stopwatch()
        os.kill(self.pid, signal.SIGKILL)
        words = asking.communicate(timeout=PATIENCE)[1]
        self.assertEqual(asking.returncode, 3)
        self.assertIn("has just ended", words)
        self.assertLess(watch.here(), 3)

    def test_readers_see_a_whole_one_always(self):
        self.starts()
        client = self.begins_session()
        self.says("-S", 0, r".")
        reads, written, before = 0, 0, None
        deadline = time.monotonic() + 60
        while (reads < 10000 or written < 1000) and time.monotonic() < deadline:
            os.kill(self.pid, signal.SIGUSR1)
            with open(self.state) as file:
                text, which = file.read(), os.fstat(file.fileno()).st_ino
            reads += 1
            written += which != before
            before = which
            if not (text.startswith("Start time: ") and
                    re.search(r"\n +0 +\d+ relaying [^\n]* \w{8} default +-\n\Z", text[-200:])):
                self.fail(f"after {written} it was: {text!r}")
        self.assertGreaterEqual((reads, written), (10000, 1000))
        client.close()

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_strangers(self):
        """Who may not signal it is told so."""
        self.starts()
        self.tmp.chmod(0o755)
        self.conf.chmod(0o644)
        for option in OPTIONS:
            result = self.run_program(option, self.conf, user=NOBODY, group=NOBODY,
                                      extra_groups=[])
            self.check(result, 1, None, rf"cannot signal the daemon \(pid {self.pid}\): "
                                        r"Operation not permitted; do this as root")
        self.assertFalse(self.state.exists())
        self.begins_session()


class Reload(Control):
    def test_reload(self):
        self.starts(max_connections=1)
        first = self.begins_session()
        self.assertRegex(self.call().hears(), r"^421 ")
        self.changes(max_connections=2)
        self.says("-r", 0, r"\Areloaded\n\Z")
        second = self.begins_session()
        self.assertEqual(self.number("reloads"), 1)
        self.assertEqual(self.number("reloads_failed"), 0)
        self.assertRegex(self.state.read_text(), r"\nRestart time: \w{3} \w{3} [ \d]\d [\d:]{8} ")
        self.assertRegex(first.asks("QUIT"), r"^221 ")
        self.assertRegex(second.asks("QUIT"), r"^221 ")

    def test_notes(self):
        """What --check notes is noted here as well."""
        note = r"conf:\d+: result_headers: .*"
        self.starts()
        self.changes(result_headers="{virus}", delivery="stream")
        self.check(self.run_program("--check", self.conf), 0, None, note)
        self.says("-r", 0, r"\Areloaded\n\Z", note)

    def test_again_and_again(self):
        self.starts()
        for _ in range(10):
            self.says("-r", 0, r"\Areloaded\n\Z")
        self.assertEqual(self.number("reloads"), 10)

    def test_wrong_file_never_reaches_the_daemon(self):
        self.starts()
        good = self.conf.read_text()
        self.conf.write_text(good + "prot = 26\n")
        self.says("-r", 1, None, r"conf:\d+: .*prot")
        self.conf.write_text(good)
        self.assertEqual(self.number("reloads") + self.number("reloads_failed"), 0)

    def test_daemon_that_keeps_its_old_configuration(self):
        """It reads its own file, which is broken; who asks has another."""
        self.starts()
        good = self.conf.read_text()
        other = self.file(good, "other")
        self.conf.write_text("prot = 26\n")
        self.says("-r", 1, None, rf"pid {self.pid}\) has kept its old configuration: its log",
                  conf=other)
        self.conf.write_text(good)
        self.assertEqual(self.number("reloads_failed"), 1)
        self.says("-r", 0, r"\Areloaded\n\Z")
        self.begins_session()

    def test_state_file_elsewhere(self):
        """The old daemon does not write where the new configuration says."""
        self.starts()
        self.changes(statefile=f'"{self.tmp}/elsewhere"')
        self.says("-r", 0, r"\Areloaded\n\Z")
        self.says("-S", 0, r"/elsewhere\n\Z")

    def test_without_counters(self):
        for settings in ({"statefile_type": "{slots}"}, {"statefile": '""'}):
            with self.subTest(settings):
                self.starts(**settings)
                self.says("-r", 0, r"\Atold; its log says whether")
                self.changes()
                self.says("-r", 0, r"\Areloaded\n\Z")
                self.assertEqual(self.number("reloads"), 2)
                self.says("-K", 0)


class Upgrade(Control):
    def test_upgrade(self):
        self.starts()
        client = self.begins_session()
        old = self.pid
        result = self.run_program("--upgrade", self.conf)
        self.check(result, 0, rf"\Aprocess \d+ has taken over from {old}\n\Z")
        self.pid = int(self.pidfile.read_text())
        self.assertIn(f"process {self.pid} ", result.stdout)
        self.assertRegex(self.begins_session().asks("QUIT"), r"^221 ")
        self.assertFalse(is_gone(old))
        self.assertRegex(client.asks("QUIT"), r"^221 ")
        self.assertTrue(wait_until(lambda: is_gone(old)))
        self.says("-K", 0)

    def test_without_sessions(self):
        self.starts()
        for _ in range(5):      # the old one is gone before anybody looks
            self.says("--upgrade", 0, rf"has taken over from {self.pid}\n\Z")
            self.pid = int(self.pidfile.read_text())
        self.says("-K", 0)

    def test_daemon_that_goes_on(self):
        self.starts()
        good = self.conf.read_text()
        other = self.file(good, "other")
        self.conf.write_text("prot = 26\n")
        self.says("--upgrade", 1, None, rf"pid {self.pid}\) goes on, .*its log says why",
                  conf=other)
        self.conf.write_text(good)
        self.assertEqual(self.number("upgrades_failed"), 1)
        self.begins_session()


class Stop(Control):
    def test_at_once(self):
        self.starts()
        self.says("-K", 0)
        self.assertTrue(is_gone(self.pid))
        self.assertFalse(self.pidfile.exists())
        self.assertFalse(self.is_listening())
        self.says("-K", 3, None, r"no daemon runs")

    def test_foreground(self):
        self.foreground()
        self.says("-K", 0)
        self.assertEqual(self.child.wait(PATIENCE), 0)

    def test_sessions_may_end(self):
        self.starts()
        client = self.call()
        client.begins_mail()
        watch = lab.Stopwatch()
        self.says("-K", 4, None, rf"pid {self.pid}\) still serves 1 session; it ends when they "
                                 r"have ended; once more -K ends it at once")
        self.assertLess(watch.here(), 10)
        self.assertFalse(self.is_listening())
        self.assertEqual(client.asks("second half\r\n."), "250 ok\r\n")
        self.assertEqual(self.number("sessions_now"), 1)
        client.asks("QUIT")
        client.close()
        self.assertTrue(wait_until(lambda: is_gone(self.pid)))
        self.assertEqual(len(self.server.mails), 1)

    def test_sessions_that_end_in_time(self):
        self.starts()
        client = self.begins_session()
        ending = subprocess.Popen([test_cli.PROGRAM, "-K", self.conf])
        self.assertTrue(wait_until(lambda: not self.is_listening()))
        self.assertIsNone(ending.poll())
        client.asks("QUIT")
        client.close()
        self.assertEqual(ending.wait(PATIENCE), 0)
        self.assertTrue(is_gone(self.pid))

    def test_twice_is_at_once(self):
        self.starts()
        clients = [self.begins_session() for _ in range(2)]
        self.says("-K", 4, None, r"still serves 2 sessions;")
        watch = lab.Stopwatch()
        self.says("-K", 0)
        self.assertLess(watch.here(), 3)
        self.assertTrue(is_gone(self.pid))
        for client in clients:
            self.assertRegex(client.hears(), r"^421 ")

    def test_without_state_file(self):
        self.starts(statefile='""')
        client = self.begins_session()
        self.says("-K", 4, None, r"has been told to end, but still runs; ")
        client.asks("QUIT")
        client.close()
        self.assertTrue(wait_until(lambda: is_gone(self.pid)))


@unittest.skipIf(os.geteuid() != 0, "needs root")
class Root(Control):
    """With a root directory and a user of its own."""

    def settings(self, **changes):
        self.root = self.tmp / "root"
        (self.root / "run").mkdir(parents=True, exist_ok=True)
        (self.root / "run").chmod(0o777)
        self.tmp.chmod(0o755)
        return super().settings(chroot_path=f'"{self.root}"', statefile='"/run/state"',
                                set_user=str(NOBODY), set_group=str(NOBODY), **changes)

    def test_all(self):
        self.starts()
        self.says("-S", 0, rf"\A{self.root}/run/state\n\Z")
        self.assertEqual((self.root / "run/state").stat().st_uid, NOBODY)
        self.says("-s", 0, r"\AStart time: ")
        self.says("-K", 0)
        # It may neither see the pidfile nor remove it, so it is empty.
        self.assertEqual(self.pidfile.read_text() if self.pidfile.exists() else "", "")
        self.says("-s", 3, None, r"no daemon runs")
        self.starts()
        self.says("-S", 0, r".")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    test_cli.PROGRAM = lab.reachable(sys.argv.pop(1))
    # What is inherited has tests of its own, in test_cli.py.
    for name in [name for name in vars(test_cli.Daemon) if name.startswith("test_")]:
        delattr(test_cli.Daemon, name)
    unittest.main(verbosity=2)
