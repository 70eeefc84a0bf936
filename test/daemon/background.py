#!/usr/bin/python3
"""Going to the background: what the command says, and what it leaves behind.

    background.py PROGRAM [unittest arguments]
"""
import contextlib
import os
import pathlib
import pty
import random
import re
import resource
import signal
import socket
import subprocess
import unittest

from gated import Case, Client, IS_ROOT, PROGRAM, as_root, is_gone, main, wait_until
import lab


class Background(Case):
    def test_serves_when_the_command_returns(self):
        """Each time: who calls at once is served."""
        for _ in range(10):
            done = self.gated.background()
            with socket.create_connection(("127.0.0.1", self.gated.port), 30) as sock:
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
                self.assertTrue(sock.recv(4))
            self.gated.stop()

    @as_root                # others may not look at its descriptors
    def test_no_terminal_is_kept(self):
        """Neither open nor as controlling terminal: logging out does not end it."""
        master, slave = pty.openpty()
        child = subprocess.Popen(
            [PROGRAM, self.gated.file], stdin=slave, stdout=slave, stderr=slave,
            env=self.gated.environment(), start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)))
        self.assertEqual(child.wait(60), 0)
        self.gated.pid = int(self.gated.pidfile.read_text())
        os.close(slave)
        proc = pathlib.Path(f"/proc/{self.gated.pid}")
        stat = proc.joinpath("stat").read_text().rpartition(")")[2].split()
        self.assertEqual(stat[4], "0", "a controlling terminal")
        self.assertEqual(int(stat[3]), self.gated.pid, "not a session of its own")
        targets = {os.readlink(fd) for fd in proc.joinpath("fd").iterdir()}
        self.assertFalse([one for one in targets if re.search("pts|tty", one)], targets)
        os.close(master)                        # whoever had it as terminal gets HUP
        self.assertEqual(os.readlink(proc / "cwd"), "/")
        self.serves()
        self.assertEqual(self.gated.write_state()["reloads"], "0")
        self.gated.stop()

    @as_root
    def test_started_with_descriptors_closed(self):
        for closed in ((0,), (1, 2), (0, 1, 2)):
            with self.subTest(closed):
                child = subprocess.Popen(
                    [PROGRAM, self.gated.file], env=self.gated.environment(),
                    preexec_fn=lambda: [os.close(fd) for fd in closed])  # pylint: disable=W0640
                self.assertEqual(child.wait(60), 0)
                self.gated.pid = int(self.gated.pidfile.read_text())
                for fd in range(3):
                    self.assertEqual(os.readlink(f"/proc/{self.gated.pid}/fd/{fd}"), "/dev/null")
                self.serves()
                self.gated.stop()

    def test_reload_by_a_relative_path(self):
        """From a directory that is gone since."""
        here = self.gated.directory / "here"
        here.mkdir()
        done = self.gated.background(["../etc/conf"], cwd=here)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        here.rmdir()
        self.gated.configure(msg_virus_found='"Look:"')
        self.gated.signal(signal.SIGHUP)
        self.assertEqual(self.gated.write_state()["reloads"], "1")
        self.assertIn("Look:", self.serves())
        self.gated.stop()

    def test_relative_path_without_directory(self):
        done = self.gated.background(["conf"], cwd=self.gated.file.parent)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.gated.configure(msg_virus_found='"Look:"')
        self.gated.signal(signal.SIGHUP)
        self.assertEqual(self.gated.write_state()["reloads"], "1")
        self.assertIn("Look:", self.serves())
        self.gated.stop()

    @as_root
    def test_as_an_ordinary_user(self):
        self.gated.configure(allow_root=None, set_user='"backup"')
        self.assertEqual(self.gated.background().returncode, 0)
        for thread in self.gated.threads():
            self.assertNotIn("0", thread["Uid"].split())
            self.assertEqual(int(thread["CapEff"], 16), 0)
            self.assertEqual(thread["NoNewPrivs"], "1")
        self.assertEqual(os.stat(f"/proc/{self.gated.pid}/environ").st_uid, 0)
        self.serves()
        self.gated.stop()

    def test_sessions_end_in_peace(self):
        self.gated.background()
        with Client(self.gated) as client:
            client.hello()
            client.begins_mail()
            self.gated.signal(signal.SIGTERM)
            self.assertTrue(wait_until(lambda: not self.gated.is_listening()))
            self.assertFalse(is_gone(self.gated.pid))
            self.assertRegex(client.ends_mail(), "^250")
            self.assertRegex(client.ask("QUIT"), "^221")
        self.gated.check_ended()


class Failures(Case):
    """Exit code 1, a sentence on the terminal, nothing left behind."""

    @staticmethod
    def children():
        """Who has lost his parent is ours, and as long as it lives."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        return set(pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
                   .read_text().split())

    def fails(self, pattern, before=None, **options):
        self.gated.configure(**options)
        before_us = self.children()
        done = self.gated.background(preexec_fn=before)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertRegex(done.stderr, rf"\Asmtp-gated: .*{pattern}")
        self.assertEqual(done.stderr.count("smtp-gated: "), 1, done.stderr)
        self.assertTrue(wait_until(lambda: self.children() <= before_us),
                        "a process is left")
        self.gated.check_reports()

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", self.gated.port)):
            self.fails(rf"127\.0\.0\.1 port {self.gated.port} \(bind_address, port\).*in use")
        self.assertFalse(self.gated.pidfile.exists())

    def test_second_of_two_ports_in_use(self):
        self.gated.configure(bind_address='{"127.0.0.2", "127.0.0.1"}')
        with socket.create_server(("127.0.0.1", self.gated.port)):
            self.fails(r"127\.0\.0\.1 port .*in use")
        with socket.create_server(("127.0.0.2", self.gated.port)):
            pass                                        # the first is free again

    def test_signatures(self):
        empty = self.gated.directory / "empty"
        empty.mkdir()
        for path in (empty, self.gated.directory / "none"):
            self.fails(rf"{re.escape(str(path))}.*(?s:.*)signature_path",
                       signature_path=f'"{path}"')

    def test_pidfile_of_another(self):
        self.assertEqual(self.gated.background().returncode, 0)
        first, port = self.gated.pid, self.gated.port
        self.fails(rf"pidfile = .*another smtp-gated runs with this file, pid {first}",
                   port=lab.free_port())
        self.assertEqual(self.gated.pidfile.read_text(), f"{first}\n")
        self.gated.pid, self.gated.port = first, port
        self.serves()
        self.gated.stop()

    def test_pidfile_that_cannot_be(self):
        self.fails(r'pidfile = "/proc/none/pid": ', pidfile='"/proc/none/pid"')

    @as_root
    def test_user(self):
        self.fails(r'set_user = "nobody-at-all": there is no such user',
                   set_user='"nobody-at-all"')
        self.fails(r"served as root", set_user=None, allow_root=None)

    def test_spool(self):
        self.fails(r'spool_path = "/proc/none": ', spool_path='"/proc/none"')
        if IS_ROOT:
            path = self.gated.directory / "closed"
            path.mkdir(mode=0o700)
            self.fails(rf"spool_path = \"{path}\": cannot make a file there: Permission denied",
                       spool_path=f'"{path}"', set_user='"backup"')

    @unittest.skipIf(IS_ROOT, "root may use all ports")
    def test_port_of_root(self):
        self.fails(r"port 25 .*Permission denied", port=25)

    def test_no_route(self):
        self.fails(r"fixed_server.*itself", fixed_server_port=self.gated.port)

    def test_file(self):
        self.gated.file.write_text("port = 1\nprot = 2\n")
        done = self.gated.background()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"\Asmtp-gated: .*etc/conf:2: .*prot")

    @as_root
    def test_threads(self):
        """What fails behind the fork is told as well."""
        user = str(random.randint(100000, 1000000))     # who has no other processes

        def lower():
            resource.setrlimit(resource.RLIMIT_NPROC, (10, 10))
        self.fails(r"cannot start threads .*temporarily unavailable", before=lower,
                   set_user=f'"{user}"', set_group=f'"{user}"', scan_workers=50)
        self.assertFalse(self.gated.pidfile.exists())


if __name__ == "__main__":
    main()
