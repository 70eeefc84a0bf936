#!/usr/bin/python3
"""A new program takes the sockets over, the old one ends with its last session: USR2.

    upgrade.py PROGRAM [unittest arguments]
"""
import os
import pathlib
import shutil
import signal
import socket
import threading
import unittest

from gated import PROGRAM, Case, Client, as_root, is_gone, main, wait_until
import lab

ROUNDS = 10
TALKERS = 4


class Upgrade(Case):
    def another(self, **options):
        """With a program of its own, that can be replaced."""
        gated = super().another(**options)
        gated.program = str(shutil.copy(PROGRAM, gated.directory / "smtp-gated"))
        return gated

    def upgrade(self):
        """USR2, and the new process serves.  Returns the old one's number."""
        old = self.gated.pid
        self.gated.signal(signal.SIGUSR2)
        self.assertTrue(wait_until(lambda: self.number() not in (old, None)),
                        self.gated.log())
        self.gated.pid = self.number()
        if self.gated.process is not None:
            self.gated.process.returncode = 0   # ended() waits for it
            self.gated.process = None
        return old

    def number(self):
        text = self.gated.pidfile.read_text()
        return int(text) if text.strip() else None

    def ended(self, pid):
        self.assertTrue(wait_until(lambda: is_gone(pid)), self.gated.log())
        self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def keeps(self, words):
        """USR2 leads to nothing but WORDS in the log."""
        refusals = len(self.gated.logged("no other program has taken over"))
        self.gated.signal(signal.SIGUSR2)
        self.gated.wait_for_log("no other program has taken over", refusals + 1)
        self.gated.wait_for_log(words)
        self.assertEqual(self.number(), self.gated.pid)
        self.serves()

    def test_session_ends_in_peace(self):
        self.gated.start()
        sitting = self.begin()
        sitting.begins_mail()
        old = self.upgrade()
        self.gated.wait_for_log(f"another process serves.* pid={self.gated.pid} sessions=1")
        self.serves()
        self.assertFalse(is_gone(old))
        self.assertRegex(sitting.ends_mail(), "^250 taken")
        self.assertRegex(sitting.submit(lab.mail(lab.EICAR))[-1], "^550")
        sitting.__exit__()
        self.ended(old)
        self.serves()
        self.assertEqual(self.gated.write_state()["connections"], "2")
        self.gated.stop()

    def test_term_lets_the_old_one_be(self):
        """A service manager that stops the service tells all of its processes."""
        self.gated.start()
        sitting = self.begin()
        old = self.upgrade()
        for _ in range(3):                  # once for the stop, once for what is left
            os.kill(old, signal.SIGTERM)
            self.assertRegex(sitting.ask("NOOP"), "^250")
        self.gated.stop()
        os.kill(old, signal.SIGTERM)
        self.assertRegex(sitting.ask("NOOP"), "^250")
        os.kill(old, signal.SIGQUIT)
        self.assertRegex(sitting.reply(), "^421")
        sitting.__exit__()
        self.ended(old)

    def talk(self, stop, told, broken):
        while not stop.is_set():
            try:
                with Client(self.gated) as client:
                    client.hello()
                    told.append(client.submit(lab.mail(b"at noon"))[-1][:3])
                    told.append(client.submit(lab.mail(lab.EICAR))[-1][:3])
                    client.ask("QUIT")
            except (OSError, AssertionError) as error:
                broken.append(repr(error))

    def test_ten_under_load(self):
        """No client is refused, no session broken, nothing grows."""
        self.gated.start()
        stop, told, broken = threading.Event(), [], []
        talkers = [threading.Thread(target=self.talk, args=(stop, told, broken))
                   for _ in range(TALKERS)]
        for one in talkers:
            one.start()
        try:
            for _ in range(ROUNDS):
                before = len(told)
                old = self.upgrade()
                self.ended(old)
                self.assertTrue(wait_until(lambda: len(told) > before + 2 * TALKERS))
        finally:
            stop.set()
            for one in talkers:
                one.join()
        self.assertEqual(broken, [])
        self.assertEqual(told.count("250"), told.count("550"))
        self.assertEqual(len(told), 2 * told.count("250"))
        self.assertGreater(len(told), 4 * ROUNDS * TALKERS)
        names = [os.readlink(f"/proc/{self.gated.pid}/fd/{fd}")
                 for fd in os.listdir(f"/proc/{self.gated.pid}/fd")]
        self.assertEqual(names.count(str(self.gated.pidfile)), 1, names)
        wait_until(lambda: self.gated.write_state()["sessions_now"] == "0")
        sockets = [name for name in names if name.startswith("socket:")]
        self.assertLessEqual(len(sockets), 1 + 2 * TALKERS + 3, names)
        words = pathlib.Path(f"/proc/{self.gated.pid}/environ").read_bytes().split(b"\0")
        self.assertEqual(len([one for one in words if one.startswith(b"LISTEN_FDS=")]), 1)
        self.gated.stop()

    def test_listener_that_is_gone(self):
        """Its clients are refused: they are not those of another."""
        port = lab.free_port()
        section = {'listen "sub" {\nport': f"{port}\n}}"}
        self.gated.configure(**section)
        self.gated.start()
        with Client(self.gated, ("127.0.0.1", port)) as client:
            client.hello()
        self.gated.configure(**dict.fromkeys(section))
        self.ended(self.upgrade())
        self.gated.wait_for_log("nobody listens here any more.* name=sub ")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 60)
        self.serves()
        self.gated.configure(**section)
        self.ended(self.upgrade())
        with Client(self.gated, ("127.0.0.1", port)) as client:
            client.hello()
        self.gated.stop()

    def test_in_the_background(self):
        self.assertEqual(self.gated.background().returncode, 0)
        old = self.upgrade()
        self.ended(old)
        self.serves()
        for fd in "012":
            self.assertEqual(os.readlink(f"/proc/{self.gated.pid}/fd/{fd}"), "/dev/null")
        self.gated.stop()

    def test_bad_configuration(self):
        self.gated.start()
        self.gated.configure(timeout_idle="sometimes")
        self.keeps("timeout_idle: .*sometimes")
        self.gated.configure(timeout_idle=100)
        self.ended(self.upgrade())
        self.gated.stop()

    def test_bad_configuration_in_the_background(self):
        """Nobody reads what a new one says on its stderr: it goes to the log."""
        self.assertEqual(self.gated.background().returncode, 0)
        self.gated.configure(signature_path='"/nowhere"')
        old = self.gated.pid
        self.gated.signal(signal.SIGUSR2)
        self.assertTrue(wait_until(
            lambda: self.gated.write_state()["upgrades_failed"] == "1"))
        self.assertEqual(self.number(), old)
        self.serves()
        self.gated.stop()

    def test_no_program_or_another_one(self):
        self.gated.start()
        program = pathlib.Path(self.gated.program)
        program.unlink()
        self.keeps("No such file")
        program.write_bytes(b"\0\1\2")
        self.keeps("Permission denied")
        program.chmod(0o755)
        self.keeps("Exec format error")
        shutil.copy("/bin/true", program)
        self.keeps("it did not start")
        shutil.copy("/bin/sleep", program)      # "sleep -f FILE": what is that?
        self.keeps("it did not start")
        self.assertEqual(self.gated.write_state()["upgrades_failed"], "5")
        program.unlink()
        shutil.copy(PROGRAM, program)
        self.ended(self.upgrade())
        self.gated.stop()

    def test_stopped_meanwhile(self):
        """Told to end before the new one is ready: neither is left."""
        program = pathlib.Path(self.gated.program)
        self.gated.start()
        program.unlink()
        program.write_text(f"#!/bin/sh\n: >{self.gated.directory}/begun\nsleep 1\n"
                           f"exec {PROGRAM} \"$@\"\n")
        program.chmod(0o755)
        self.gated.signal(signal.SIGUSR2)
        self.assertTrue(wait_until((self.gated.directory / "begun").exists))
        self.gated.signal(signal.SIGUSR2)
        self.gated.wait_for_log("another one is about to take over")
        self.gated.stop()
        self.assertTrue(wait_until(self.is_refused))

    def is_refused(self):
        try:
            socket.create_connection(("127.0.0.1", self.gated.port), 1).close()
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            pass
        return False

    @as_root
    def test_keeps_user_and_capabilities(self):
        self.gated.configure(allow_root=None, mode="netfilter", set_user='"backup"',
                             fixed_server=None, fixed_server_port=None)
        self.gated.start()
        before = self.gated.status()
        self.ended(self.upgrade())
        after = self.gated.status()
        self.assertNotEqual(int(before["CapEff"], 16), 0)
        for name in ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapInh", "CapAmb",
                     "CapBnd", "NoNewPrivs"):
            self.assertEqual(after[name], before[name], name)
        self.ended(self.upgrade())
        self.assertEqual(self.gated.status()["CapEff"], before["CapEff"])
        self.gated.stop()

    def test_another_who_writes_our_words(self):
        """The environment is believed only from the one who stepped back."""
        self.gated.extra_environment = {"SMTP_GATED_HANDED": "1 2 2"}
        self.gated.start()
        self.serves()
        self.gated.stop()


if __name__ == "__main__":
    main()
