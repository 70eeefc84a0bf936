#!/usr/bin/python3
"""Scans: what is known is not scanned again; where temporary files are; libclamav's words.

    scanning.py PROGRAM [unittest arguments]
"""
import fcntl
import os
import shutil
import signal
import stat

from gated import Case, as_root, is_gone, main, wait_until
import lab

CLEAN, INFECTED = lab.mail(b"at noon"), lab.mail(lab.EICAR)


class Known(Case):
    """Each session is another one: other ports, other ids in the header that we put in."""

    def sends(self, message):
        """The last word on it, and the log's line."""
        client = self.begin()
        count = len(self.gated.logged("^(verdict|found) .*scan_ms="))
        word = client.submit(message)[-1]
        client.__exit__()
        self.gated.wait_for_log("^(verdict|found) .*scan_ms=", count + 1)
        return word, [line for line in self.gated.log().splitlines()
                      if line.startswith(("verdict ", "found ")) and "scan_ms=" in line][-1]

    def assert_sent(self, message, word, cached):
        said, line = self.sends(message)
        self.assertRegex(said, word)
        self.assertEqual("cached=yes" in line, cached, line)

    def test_the_same_from_many_sessions(self):
        self.gated.start()
        for number in range(4):
            self.assert_sent(CLEAN, "^250 taken", number > 0)
            self.assert_sent(INFECTED, f"^550 .*{lab.EICAR_NAME}", number > 0)
        self.assert_sent(CLEAN + b".\r\n", "^250 taken", False)
        state = self.gated.write_state()
        self.assertEqual([state[f"scan_cache_{name}"] for name in ("hits", "misses", "entries")],
                         ["6", "3", "3"])
        self.assertEqual((state["mails_clean"], state["mails_infected"]), ("5", "4"))
        received = {text.split(b"\r\n", 1)[1] for text in self.sink.complete[:4]}
        self.assertEqual(len(received), 4, "the header is not there, or always the same")
        self.gated.stop()

    def test_other_signatures_forget(self):
        self.gated.start()
        harmless = lab.mail(b"harmless, until tomorrow")
        self.assert_sent(harmless, "^250 taken", False)
        self.assert_sent(harmless, "^250 taken", True)
        with open(self.gated.directory / "signatures" / "new.ndb", "w", encoding="ascii") as file:
            file.write(f"New:0:*:{b'until tomorrow'.hex()}\n")
        self.gated.signal(signal.SIGHUP)
        self.gated.wait_for_log('text="loaded again"')
        self.assertEqual(self.gated.write_state()["scan_cache_entries"], "0")
        self.assert_sent(harmless, "^550 .*New", False)
        self.assert_sent(harmless, "^550 .*New", True)
        self.gated.stop()

    def test_other_options_forget(self):
        self.gated.start()
        self.assert_sent(CLEAN, "^250 taken", False)
        self.assert_sent(CLEAN, "^250 taken", True)
        self.gated.reload(scan_heuristics="no")
        self.gated.wait_for_log('text="loaded again"')
        self.assert_sent(CLEAN, "^250 taken", False)
        self.gated.reload(scan_cache=0)
        self.assert_sent(CLEAN, "^250 taken", False)
        self.assert_sent(CLEAN, "^250 taken", False)
        self.gated.stop()


class Room(Case):
    """The directory of libclamav's temporary files."""

    def setUp(self):
        super().setUp()
        self.scan = self.gated.directory / "scan"
        self.gated.configure(scan_cache=0)

    def rooms(self, scan=None):
        return sorted(path for path in (scan or self.scan).iterdir()
                      if path.name.startswith("smtp-gated-scan-"))

    def room(self):
        room, = self.rooms()
        return room

    def leave(self, name, scan=None):
        """What somebody left there who was killed."""
        path = (scan or self.scan) / name
        (path / "20261123_010203-scantemp.00" / "mail").mkdir(parents=True)
        (path / "20261123_010203-scantemp.00" / "mail" / "text").write_text("private")
        path.chmod(0o700)
        return path

    def test_it_is_ours_alone(self):
        self.gated.start()
        self.serves()
        found = self.room().lstat()
        self.assertEqual((stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode) & 0o777,
                          found.st_uid), (stat.S_IFDIR, 0o700, os.geteuid()))
        fd = os.open(self.room(), os.O_RDONLY)
        with self.assertRaises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)
        self.gated.stop()                       # nothing is left

    @as_root
    def test_it_is_the_users(self):
        self.gated.configure(allow_root=None, set_user='"backup"')
        self.gated.start()
        self.serves()
        self.assertEqual(str(self.room().lstat().st_uid), self.gated.status()["Uid"].split()[0])
        self.gated.stop()

    def test_what_a_killed_one_left(self):
        self.gated.start()
        killed = self.room()
        (killed / "text").write_text("private")
        self.gated.signal(signal.SIGKILL)
        self.gated.end()
        self.assertTrue((killed / "text").exists())
        self.gated.start()
        self.assertFalse(killed.exists())
        self.room()
        self.serves()
        self.gated.stop()

    def test_two_share_a_directory(self):
        other = self.another(scan_path=f'"{self.scan}"')
        self.gated.start()
        first = self.room()
        (first / "in-use").write_text("")
        other.start()
        self.assertEqual(len(self.rooms()), 2)
        self.assertTrue((first / "in-use").exists())
        self.serves()
        self.serves(other)
        other.stop()
        self.assertEqual(self.rooms(), [first])
        self.serves()
        self.gated.stop()

    def test_strangers_have_put_things_there(self):
        outside = self.gated.directory / "outside"
        outside.mkdir()
        (outside / "precious").write_text("")
        names = [f"smtp-gated-scan-{kind}00" for kind in ("link", "fifo", "file", "open")]
        link, fifo, file, opened = (self.scan / name for name in names)
        link.symlink_to(outside)
        os.mkfifo(fifo)
        file.write_text("")
        opened.mkdir()
        opened.chmod(0o777)
        (opened / "theirs").write_text("")
        within = self.leave("smtp-gated-scan-000000")
        (within / "link").symlink_to(outside)
        os.mkfifo(within / "fifo")
        self.gated.start()
        self.serves()
        self.assertFalse(within.exists())
        self.assertEqual([path.name for path in outside.iterdir()], ["precious"])
        self.assertTrue((opened / "theirs").exists())
        for path in (link, fifo, file):
            path.unlink()
        shutil.rmtree(opened)
        self.gated.stop()

    def test_it_vanishes(self):
        self.gated.start()
        room = self.room()
        for _ in range(3):
            shutil.rmtree(room)
            self.serves()
            self.assertEqual(self.room(), room)
        self.gated.stop()

    def test_something_else_is_in_its_place(self):
        """No mail is clean then, and nothing is written there."""
        self.gated.start()
        room = self.room()
        outside = self.gated.directory / "outside"
        outside.mkdir(mode=0o777)
        room.rmdir()
        room.symlink_to(outside)
        for message in (CLEAN, INFECTED):
            client = self.begin()
            self.assertRegex(client.submit(message)[-1], "^451")
            client.__exit__()
        self.gated.wait_for_log("^found .*finding=failed .*no temporary files", 2)
        self.assertEqual(list(outside.iterdir()), [])
        room.unlink()
        self.serves()
        self.gated.stop()

    def test_another_directory_by_a_reload(self):
        self.gated.start()
        other = self.gated.directory / "other"
        other.mkdir()
        left = self.leave("smtp-gated-scan-111111", other)
        self.gated.reload(scan_path=f'"{other}"')
        self.gated.wait_for_log('text="loaded again"')
        self.assertTrue(wait_until(lambda: not self.rooms()))
        self.assertEqual(len(self.rooms(other)), 1)
        self.assertFalse(left.exists())
        self.serves()
        self.gated.stop()
        self.assertEqual(list(other.iterdir()), [])

    def test_other_signatures_in_the_same_directory(self):
        """The old engine's is there for as long as somebody scans with it."""
        self.gated.start()
        first = self.room()
        (self.gated.directory / "signatures" / "new.ndb").write_text("New:0:*:6e6577657374\n")
        self.gated.signal(signal.SIGHUP)
        self.gated.wait_for_log('text="loaded again"')
        self.assertTrue(wait_until(lambda: not first.exists()))
        self.assertNotEqual(self.room(), first)
        self.serves()
        self.gated.stop()

    def test_upgrade(self):
        """The old process and the new one each have their own."""
        self.gated.start()
        first = self.room()
        sitting = self.begin()
        sitting.begins_mail()
        old = self.gated.pid
        self.gated.signal(signal.SIGUSR2)

        def number():
            text = self.gated.pidfile.read_text()
            return int(text) if text.strip() else None
        self.assertTrue(wait_until(lambda: number() not in (old, None)), self.gated.log())
        self.gated.pid = number()
        self.gated.process.returncode = 0
        self.gated.process = None
        self.assertEqual(len(self.rooms()), 2)
        self.serves()
        self.assertRegex(sitting.ends_mail(lab.EICAR + b"\r\n"), "^550")
        self.assertTrue(first.exists())
        sitting.__exit__()
        self.assertTrue(wait_until(lambda: is_gone(old)), self.gated.log())
        os.waitpid(old, 0)
        self.assertFalse(first.exists())
        self.serves()
        self.gated.stop()


class Words(Case):
    def test_what_a_mail_causes(self):
        """A broken archive: what libclamav says of it is said with the session."""
        self.gated.start()
        broken = b"\xfd7zXZ\0\0\4" + bytes(range(200)) * 5
        client = self.begin()
        client.submit(lab.mail_with(broken, name="a.xz"))
        client.__exit__()
        self.gated.wait_for_log("^scanner-complains s=[a-z0-9]+ t=1 scanner=libclamav level=error")
        self.assertEqual(self.gated.write_state()["scan_complaints"], "2")
        self.gated.stop()

    def test_what_signatures_cause(self):
        """They are loaded, and what is odd about them is said."""
        (self.gated.directory / "signatures" / "odd.yar").write_text(
            'rule odd { strings: $a = "never seen" condition: $a and undefined_thing }\n')
        self.gated.start()
        self.gated.wait_for_log("^scanner-complains scanner=libclamav level=(error|warning)")
        self.serves()
        self.gated.stop()


if __name__ == "__main__":
    main()
