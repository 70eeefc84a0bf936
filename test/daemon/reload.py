#!/usr/bin/python3
"""HUP: what a changed file changes, and what it does not.

    reload.py PROGRAM [unittest arguments]
"""
import os
import signal
import socket
import subprocess
import unittest

from gated import Case, IS_ROOT, PROGRAM, as_root, can_mount, main, mount_over
import lab

KEPT = 'text="the configuration stays as it was"'


class Sessions(Case):
    """New ones have the new configuration, those under way keep theirs."""

    def setUp(self):
        super().setUp()
        self.gated.start()
        self.addCleanup(self.end)

    def end(self):
        if self.gated.pid:
            self.gated.stop()

    def test_texts(self):
        old = self.begin()
        old.begins_mail(lab.EICAR + b"\r\n")
        self.gated.reload(msg_virus_found='"Look:"')
        self.assertIn("Look:", self.serves())
        self.assertRegex(old.ends_mail(), "^550 .*Virus found:")
        self.assertRegex(old.ask("QUIT"), "^221")

    def test_policy(self):
        old = self.begin()
        self.gated.reload(forbid_starttls="yes")
        self.assertRegex(self.begin().ask("STARTTLS"), "^502")
        self.assertIn("STARTTLS", old.ask("EHLO client.example"))
        old.__exit__()

    def test_name(self):
        old = self.begin()
        old.begins_mail(lab.EICAR + b"\r\n")
        self.assertRegex(old.ends_mail(), "^550 ")
        self.gated.reload(proxy_name='"other.example"')
        self.assertRegex(old.ask("EHLO client.example"), r"^250.gate\.example ")
        new = self.begin()
        self.assertRegex(new.submit(lab.mail(lab.EICAR))[-1], "^550 ")
        self.assertRegex(new.ask("EHLO client.example"), r"^250.other\.example ")
        for client in (old, new):
            self.assertRegex(client.ask("QUIT"), "^221")

    def test_time_limits(self):
        old, watcher = self.begin(), self.begin()
        self.gated.reload(timeout_idle=1)
        new = self.begin()
        self.assertRegex(new.reply(), "^421 ")
        self.assertTrue(new.is_closed())
        self.assertRegex(old.ask("NOOP"), "^250")
        self.gated.reload(timeout_idle=300)
        for client in (old, watcher, self.begin()):
            self.assertRegex(client.ask("QUIT"), "^221")

    def test_max_connections(self):
        old = [self.begin() for _ in range(3)]
        self.gated.reload(max_connections=3)
        self.assertRegex(self.call().reply(), "^421 gate.example Too many connections")
        self.assertRegex(old[0].submit(lab.mail(b"still here"))[-1], "^250")
        self.gated.reload(max_connections=4)
        self.begin()
        for client in old:
            self.assertRegex(client.ask("QUIT"), "^221")

    def test_log_level(self):
        self.serves()
        self.assertEqual(self.gated.logged("^(command|reply|state) "), [])
        self.gated.reload(log_level="debug")
        self.serves()
        self.assertNotEqual(self.gated.logged("^command "), [])
        self.gated.configure(log_level="err")
        before = len(self.gated.log())
        self.gated.signal(signal.SIGHUP)
        self.gated.write_state()
        self.serves()
        self.assertNotRegex(self.gated.log()[before:], "(?m)^(connect|mail|found|command) ")
        self.gated.configure(log_level="info")
        self.gated.signal(signal.SIGHUP)
        self.gated.write_state()

    def test_statefile(self):
        first = self.gated.statefile
        self.gated.write_state()
        self.gated.statefile = first.with_name("other")
        self.gated.reload(statefile=f'"{self.gated.statefile}"')
        first.unlink()
        self.assertEqual(self.gated.write_state()["reloads"], "1")
        self.assertFalse(first.exists())

    def test_notes(self):
        """What the file may not mean is said again, and what is new; a section's, too."""
        note = "^config text=.*conf:[0-9]+: memory_budget|spool_memory_all: is part of"
        self.assertEqual(self.gated.logged(note), [])
        for count in (1, 2):
            self.gated.reload(memory_budget="64M", spool_memory_all="256M")
            self.assertEqual(len(self.gated.logged(note)), count)
        self.assertEqual(self.gated.logged("nothing is scanned"), [])
        self.gated.reload(antivirus_type="off")
        self.assertEqual(len(self.gated.logged("nothing is scanned")), 1)

    def test_options_that_need_a_restart(self):
        """They are named, once each time, and keep their value, also for new sessions."""
        port = lab.free_port()
        self.gated.reload(port=port, mode="netfilter", fixed_server_port=1,
                          scan_workers=7, spool_path='"/nowhere"',
                          set_user='"mail"', timeout_idle=299)
        said = self.gated.logged("takes effect at a restart only")
        self.assertEqual({line.split("option=")[1] for line in said},
                         {"port", "mode", "fixed_server_port", "scan_workers",
                          "spool_path", "set_user"})
        self.assertEqual(len(said), 6)
        self.serves()
        self.gated.port, port = port, self.gated.port
        self.assertFalse(self.gated.is_listening())
        self.gated.port = port


class Files(Case):
    """What may become of the file."""

    def keeps(self, pattern):
        """HUP changes nothing and says why."""
        count = len(self.gated.logged(KEPT))
        self.gated.signal(signal.SIGHUP)
        self.gated.wait_for_log(KEPT, count + 1)
        self.assertRegex(self.gated.logged(KEPT)[-1], r"^trouble .*why=.*" + pattern)
        self.assertIn("Virus found:", self.serves())
        self.assertEqual(self.gated.write_state()["reloads_failed"], str(count + 1))

    def mends(self):
        """A good file is taken again."""
        self.gated.reload(msg_virus_found='"Look:"')
        self.assertIn("Look:", self.serves())
        self.gated.stop()

    def test_broken_in_many_ways(self):
        self.gated.start()
        for number, (text, pattern) in enumerate((
                ("msg_virus_found = 'Bad:'\nprot = 26\n", r"etc/conf:2: .*prot"),
                ("msg_virus_found = 'Bad:'\n\nport = 99999\n", r"etc/conf:3: port: "),
                ("msg_virus_found = 'Bad:'\nmode = fixd\n", r"etc/conf:2: mode: "),
                ("msg_virus_found = 'Bad:\n", r"etc/conf:\d: "),
                ("\0\0\0\n", r"etc/conf:1: "))):
            with self.subTest(text):
                self.gated.file.write_text(text)
                self.keeps(pattern)
                self.assertEqual(len(self.gated.logged(KEPT)), number + 1)
        self.mends()

    @as_root
    def test_broken_and_asked_by_the_command(self):
        """The daemon is not told, and the log is: one line."""
        if not can_mount():
            self.skipTest("nothing can be mounted here")
        run = self.gated.directory / "system"
        (run / "systemd" / "journal").mkdir(parents=True)
        self.gated.start()
        self.gated.file.write_text("prot = 26\nport = 99999\n")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.bind(str(run / "systemd" / "journal" / "socket"))
            journal.settimeout(30)
            done = subprocess.run(
                [PROGRAM, "-r", self.gated.file], env=self.gated.environment(), timeout=60,
                stderr=subprocess.PIPE, text=True, preexec_fn=lambda: mount_over("/run", run))
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"etc/conf:1: .*prot[\s\S]*etc/conf:2: port: ")
            line = journal.recv(65536).decode()
            self.assertRegex(line, r"MESSAGE=trouble .*the daemon was not told.*why=.*"
                             r"etc/conf:1: .*prot.*etc/conf:2: port: ")
            journal.setblocking(False)
            self.assertRaises(BlockingIOError, journal.recv, 1)
        self.assertEqual(self.gated.logged(KEPT), [])
        self.mends()

    def test_vanished(self):
        self.gated.start()
        self.gated.file.unlink()
        self.keeps(r"etc/conf: .*No such file")
        self.gated.file.mkdir()
        self.keeps(r"etc/conf: is no file")
        self.gated.file.rmdir()
        os.mkfifo(self.gated.file)
        self.keeps(r"etc/conf: is no file")
        self.gated.file.unlink()
        self.mends()

    @as_root
    def test_unreadable_after_the_drop(self):
        self.gated.configure(allow_root=None, set_user='"backup"')
        self.gated.start()
        self.gated.configure(msg_virus_found='"Bad:"')
        self.gated.file.chmod(0)
        self.keeps(r"etc/conf: .*Permission denied")
        self.mends()

    def test_written_in_place(self):
        self.gated.start()
        text = self.gated.file.read_text()
        self.gated.file.write_text(text + "msg_virus_found = 'Look:'\n")
        self.gated.reload()
        self.assertIn("Look:", self.serves())
        self.gated.stop()

    def test_behind_a_link_that_is_turned(self):
        """As tools do it that keep several versions."""
        self.gated.configure(msg_virus_found='"Old:"')
        versions = self.gated.directory / "versions"
        for name in ("one", "two"):
            (versions / name).mkdir(parents=True)
        text = self.gated.file.read_text()
        (versions / "one" / "conf").write_text(text)
        (versions / "two" / "conf").write_text(text.replace("Old:", "New:"))
        link = self.gated.directory / "current"
        link.symlink_to("versions/one")
        self.gated.file = link / "conf"
        self.gated.start()
        self.assertIn("Old:", self.serves())
        turned = self.gated.directory / "turned"
        turned.symlink_to("versions/two")
        turned.replace(link)
        self.gated.reload()
        self.assertIn("New:", self.serves())
        self.gated.stop()

    def test_directory_replaced(self):
        self.gated.start()
        directory = self.gated.file.parent
        directory.rename(directory.with_name("etc.old"))
        self.keeps(r"etc/conf: .*No such file")
        directory.mkdir()
        self.mends()

    def test_relative_path_and_no_directory(self):
        """Where it was started is gone, the file is not."""
        here = self.gated.directory / "here"
        here.mkdir()
        self.gated.start(cwd=here)
        self.gated.stop()
        self.gated.file, path = "../etc/conf", self.gated.file
        self.gated.start(cwd=here)
        self.gated.file = path
        here.rmdir()
        self.gated.reload(msg_virus_found='"Look:"')
        self.assertIn("Look:", self.serves())
        self.gated.stop()


if __name__ == "__main__":
    main()
