#!/usr/bin/python3
"""Locks in a daemon that runs: made, touched and removed by hand, swept, listed, reloaded.

    locks.py PROGRAM [unittest arguments]
"""
import os
import pwd
import re
import shutil
import subprocess
import time

from gated import Case, Client, PATIENCE, as_root, main, wait_until
import lab
from sections import section

USER = pwd.getpwnam("backup")
LOCKED = r"\A554 gate\.example You are locked out"
CLEAN, INFECTED = lab.mail(b"at noon"), lab.mail(lab.EICAR)


class Locks(Case):
    def setUp(self):
        super().setUp()
        self.locks = self.gated.directory / "lock"
        self.gated.configure(lock_duration=3600, statefile_type="{human, flat}")

    # -- as an administrator

    def path(self, name):
        return self.locks / name

    def touch(self, name, age=0, owner=None):
        self.path(name).touch()
        if owner is not None:
            os.chown(self.path(name), owner, -1)
        os.utime(self.path(name), (time.time() - age,) * 2)

    def there(self):
        return sorted(os.listdir(self.locks))

    def run_program(self, *arguments):
        done = subprocess.run([self.gated.program, *arguments, self.gated.file],
                              env=self.gated.environment(), capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        return done.returncode, done.stdout, done.stderr

    def listed(self):
        code, out, err = self.run_program("--locks")
        self.assertEqual((code, err), (0, ""))
        return [line.split(None, 5) for line in out.splitlines()[1:]]

    # -- as a client

    def greeting(self, source=None):
        client = Client(self.gated, None, source)
        line = client.reply()
        client.__exit__()
        return line

    def assert_locked(self, source=None):
        self.assertRegex(self.greeting(source), LOCKED)

    def assert_free(self, source=None):
        self.assertRegex(self.greeting(source), "^220 ")

    def sends(self, message, source=None):
        """The last word on it."""
        client = Client(self.gated, None, source)
        self.addCleanup(client.__exit__)
        self.assertRegex(client.hello(), "^250")
        word = client.submit(message)[-1]
        client.__exit__()
        return word


class ByHand(Locks):
    def test_made_and_removed(self):
        self.gated.start()
        for _ in range(5):
            self.assert_free()
            self.touch("127.0.0.1")
            self.assert_locked()
            self.assert_free("127.0.0.2")
            self.path("127.0.0.1").unlink()
        self.assert_free()
        state = self.gated.write_state()
        self.assertEqual(state["refused_lock"], "5")
        self.assertEqual(state["Rejects"], "0/0/5/0 (host/ident/lock/other)")
        self.gated.stop()

    def test_while_a_session_is_there(self):
        self.gated.start()
        client = self.begin()
        self.assertRegex(client.submit(CLEAN)[-1], "^250 taken")
        self.touch("127.0.0.1")
        self.assertRegex(client.submit(CLEAN)[-1], "^550 5?.*locked out")
        self.assertEqual(len(self.sink.complete), 1)
        self.path("127.0.0.1").unlink()
        self.assertRegex(self.sends(CLEAN), "^250 taken")
        client.__exit__()
        self.gated.stop()

    def test_touched(self):
        """It begins anew: what was about to be stale is not."""
        self.gated.start()
        self.touch("127.0.0.1", age=3599)
        self.touch("127.0.0.1")
        time.sleep(1.2)
        self.assert_locked()
        self.gated.stop()

    def test_directory_taken_away(self):
        """With all locks; it is there again with the next one."""
        self.gated.start()
        self.assertRegex(self.sends(INFECTED), "^550")
        self.assert_locked()
        shutil.rmtree(self.locks)
        self.assert_free()
        self.assertRegex(self.sends(INFECTED), "^550")
        self.assertEqual(self.there(), ["127.0.0.1"])
        self.assert_locked()
        self.gated.stop()
        self.assertEqual(self.gated.logged("^trouble"), [])

    def test_directory_that_cannot_be_used_any_more(self):
        """Mail passes, and it is said once."""
        self.gated.start()
        self.locks.rmdir()
        self.locks.write_text("")
        for _ in range(5):
            self.assertRegex(self.sends(CLEAN), "^250 taken")
        self.assertEqual(len(self.gated.logged(
            "^trouble .*locks cannot be looked up: nobody is locked out.*Not a directory")), 1)
        self.assertRegex(self.sends(INFECTED), "^550")
        self.gated.wait_for_log("^trouble .*a client cannot be locked.*client=127.0.0.1")
        self.locks.unlink()
        self.assertRegex(self.sends(INFECTED), "^550")
        self.assert_locked()
        self.gated.stop()


class ByDaemon(Locks):
    def test_only_who_sent_it(self):
        self.gated.start()
        self.assertRegex(self.sends(INFECTED, "127.0.0.3"), "^550")
        self.assertEqual(self.there(), ["127.0.0.3"])
        self.assertEqual(self.path("127.0.0.3").stat().st_mode & 0o777, 0o660)
        self.assert_locked("127.0.0.3")
        self.assert_free("127.0.0.1")
        session = re.search(r"s=(\w+)", self.gated.logged("^lock .*result=made")[0])[1]
        self.assertRegex(self.path("127.0.0.3").read_text(),
                         rf"\Avirus {lab.EICAR_NAME}\S* s={session} \S+\n\Z")
        self.assertEqual(self.gated.write_state()["locks_made"], "1")
        self.gated.stop()

    def test_swept(self):
        """Nobody has to come for a stale lock to be removed."""
        self.gated.configure(lock_duration=1)
        self.gated.start()
        self.assertRegex(self.sends(INFECTED), "^550")
        self.assertEqual(self.there(), ["127.0.0.1"])
        self.touch("192.0.2.1", age=100)
        self.touch("2001:db8::_64-bob", age=100)
        self.touch("README", age=100)
        self.assertTrue(wait_until(lambda: self.there() == ["README"]), self.there())
        self.assertEqual(self.gated.write_state()["locks_expired"], "3")
        self.assert_free()
        self.gated.stop()

    def test_left_by_the_last_one(self):
        self.locks.mkdir()
        self.touch("192.0.2.1", age=4000)
        self.touch("127.0.0.1", age=100)
        self.gated.start()
        self.assertTrue(wait_until(lambda: self.there() == ["127.0.0.1"]), self.there())
        self.assert_locked()
        self.gated.stop()

    def test_script_is_for_the_lock(self):
        """It hears of the finding that makes one, and of no more; and if none can be made."""
        said, script = self.gated.directory / "said", self.gated.directory / "script"
        script.write_text(f'#!/bin/sh\necho "$FOUND $SOURCE_IP $LOCK_FILE $LOCK_DURATION" >>{said}\n')
        script.chmod(0o755)
        self.gated.configure(action_script=f'"{script}"')
        self.gated.start()
        second = self.begin()
        self.assertRegex(self.sends(INFECTED), "^550")
        line = f"VIRUS 127.0.0.1 {self.locks}/127.0.0.1 3600\n"
        self.assertTrue(wait_until(lambda: said.exists() and said.read_text() == line))
        self.assertRegex(second.submit(INFECTED)[-1], "^550")
        second.__exit__()
        os.mkfifo(self.path("127.0.0.2"))
        self.assertRegex(self.sends(INFECTED, "127.0.0.2"), "^550")
        line += "VIRUS 127.0.0.2  0\n"
        self.assertTrue(wait_until(lambda: said.read_text() == line), said.read_text())
        self.gated.stop()

    def test_policies(self):
        """Each with its duration; 0 is for those who are never locked."""
        self.gated.configure(sections=section("policy", "spared", clients="{127.0.0.3}",
                                              lock_duration=0)
                             + section("policy", "short", clients="{127.0.0.4}",
                                       lock_duration=60))
        self.gated.start()
        for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            self.assertRegex(self.sends(INFECTED, source), "^550")
        self.assertEqual(self.there(), ["127.0.0.2", "127.0.0.4"])
        self.touch("127.0.0.2", age=100)
        self.touch("127.0.0.3")
        self.touch("127.0.0.4", age=100)
        self.assert_locked("127.0.0.2")
        self.assert_free("127.0.0.3")
        self.assert_free("127.0.0.4")
        # Stale for some is not stale for the daemon.
        self.assertEqual(self.there(), ["127.0.0.2", "127.0.0.3", "127.0.0.4"])
        self.gated.stop()


class Asked(Locks):
    def test_listed_and_unlocked(self):
        self.gated.start()
        self.assertEqual(self.listed(), [])
        self.assertRegex(self.sends(INFECTED), "^550")
        (row,) = self.listed()
        self.assertEqual(row[:3], ["locked", "127.0.0.1", "-"])
        self.assertRegex(row[5], f"^virus {lab.EICAR_NAME}")
        self.assert_locked()
        self.assertEqual(self.run_program("--unlock", "127.0.0.1"),
                         (0, "removed 127.0.0.1\n", ""))
        self.assert_free()
        self.assertEqual(self.run_program("--unlock", "127.0.0.1")[0], 1)
        self.gated.stop()

    @as_root
    def test_who_the_daemon_is(self):
        """Without set_user it is who it runs as, whoever asks and whoever owns the directory."""
        self.locks.mkdir()
        self.locks.chmod(0o777)
        for folder in ("spool", "scan", "run"):
            os.chown(self.gated.directory / folder, USER.pw_uid, USER.pw_gid)
        self.gated.configure(allow_root=None)
        self.gated.directory.chmod(0o755)
        self.gated.log_file.touch()
        (self.gated.directory / "reports").chmod(0o777)
        self.gated.start(user=USER.pw_uid, group=USER.pw_gid, extra_groups=[])
        self.assertRegex(self.sends(INFECTED), "^550")
        self.touch("127.0.0.9", owner=0)
        self.assertEqual([row[:2] for row in self.listed()],
                         [["locked", "127.0.0.1"], ["never", "127.0.0.9"]])
        self.gated.wait_for_log("^trouble .*everybody can make locks")
        self.gated.stop()


class Reloaded(Locks):
    def test_duration(self):
        self.gated.start()
        self.touch("127.0.0.1", age=100)
        self.assert_locked()
        self.gated.reload(lock_duration=60)
        self.assert_free()
        self.assertTrue(wait_until(lambda: self.there() == []))
        self.touch("127.0.0.1", age=100)
        self.gated.reload(lock_duration=-1)
        self.touch("127.0.0.1", age=10 ** 8)
        self.assert_locked()
        self.gated.stop()

    def test_off_and_on(self):
        """Off, nothing is looked at and nothing removed; on, all is as it was."""
        self.gated.start()
        self.touch("127.0.0.1")
        self.gated.reload(lock_duration=0)
        self.touch("192.0.2.1", age=10 ** 8)
        self.assert_free()
        self.assertRegex(self.sends(INFECTED), "^550")
        time.sleep(0.3)
        self.assertEqual(self.there(), ["127.0.0.1", "192.0.2.1"])
        self.gated.reload(lock_duration=3600)
        self.assert_locked()
        self.gated.stop()

    def test_on_for_the_first_time(self):
        self.gated.configure(lock_duration=0)
        self.gated.start()
        self.assertFalse(self.locks.exists())
        self.gated.reload(lock_duration=3600)
        self.assertRegex(self.sends(INFECTED), "^550")
        self.assert_locked()
        self.gated.stop()

    def test_other_options(self):
        self.gated.start()
        self.gated.reload(lock_perm="0600", lock_path='"/nowhere"')
        self.gated.wait_for_log("^config .*restart only.*option=lock_path")
        self.assertRegex(self.sends(INFECTED), "^550")
        self.assertEqual(self.path("127.0.0.1").stat().st_mode & 0o777, 0o600)
        self.gated.stop()

    def test_sessions_keep_theirs(self):
        self.gated.start()
        client = self.begin()
        self.gated.reload(lock_duration=0)
        self.touch("127.0.0.1")
        self.assertRegex(client.submit(CLEAN)[-1], "^550 .*locked out")
        self.assert_free()
        client.__exit__()
        self.gated.stop()


class Refused(Locks):
    def test_directory_that_cannot_be(self):
        self.gated.configure(lock_path='"/proc/none"')
        self.assertRegex(self.gated.refused(), r'smtp-gated: lock_path = "/proc/none": ')
        self.gated.configure(lock_path=f'"{self.gated.file}"')
        self.assertRegex(self.gated.refused(), r"lock_path = .*: .*Not a directory")
        self.gated.configure(lock_duration=0)
        self.gated.start()
        self.gated.stop()

    @as_root
    def test_directory_of_another(self):
        self.locks.mkdir(0o755)
        self.gated.configure(allow_root=None, set_user='"backup"')
        words = self.gated.refused()
        self.assertRegex(words, r"lock_path = .*cannot make files there: Permission denied; it "
                                r"must be writable for set_user; lock_duration = 0")


@as_root
class Users(Locks):
    """The daemon gives up root: the files of its user lock, those of root are the white list."""

    def setUp(self):
        super().setUp()
        self.gated.configure(allow_root=None, set_user='"backup"')

    def test_made_for_the_user(self):
        self.gated.start()
        self.assertEqual(self.locks.stat().st_uid, USER.pw_uid)
        self.assertEqual(self.locks.stat().st_mode & 0o7777, 0o750)
        self.assertRegex(self.sends(INFECTED, "127.0.0.2"), "^550")
        self.assertEqual(self.path("127.0.0.2").stat().st_uid, USER.pw_uid)
        self.assert_locked("127.0.0.2")
        self.gated.stop()

    def test_white_list(self):
        self.gated.start()
        self.touch("127.0.0.2", age=10 ** 8, owner=0)
        self.touch("127.0.0.3", owner=USER.pw_uid)
        self.assertRegex(self.sends(INFECTED, "127.0.0.2"), "^550")
        self.assert_free("127.0.0.2")
        self.gated.wait_for_log("^lock .*result=never .*file=127.0.0.2")
        self.assert_locked("127.0.0.3")
        self.assertEqual([row[:2] for row in self.listed()],
                         [["never", "127.0.0.2"], ["locked", "127.0.0.3"]])
        code, out, err = self.run_program("--unlock", "127.0.0.0/8")
        self.assertEqual((code, out), (0, "removed 127.0.0.3\n"))
        self.assertIn("belongs to user root, 0, and so means that this client is never locked",
                      err)
        self.assert_free("127.0.0.3")
        self.gated.stop()

    def test_chroot(self):
        jail = self.gated.directory / "jail"
        name = self.gated.directory.name
        self.locks = jail / "locks" / "here"
        (jail / "scan").mkdir(parents=True)
        (jail / "scan").chmod(0o1777)
        self.gated.report_from(jail)
        self.gated.statefile = jail / name / "run" / "state"
        self.gated.configure(chroot_path=f'"{jail}"', spool_path=f'"/{name}/spool"',
                             scan_path='"/scan"', statefile=f'"/{name}/run/state"',
                             lock_path='"/locks/here"')
        self.gated.start()
        self.assertEqual(self.locks.stat().st_uid, USER.pw_uid)
        self.assertRegex(self.sends(INFECTED), "^550")
        self.assert_locked()
        self.assertEqual([row[:2] for row in self.listed()], [["locked", "127.0.0.1"]])
        self.assertEqual(self.run_program("--unlock", "127.0.0.1")[0], 0)
        self.assert_free()
        # The directory comes and goes in there as well.
        shutil.rmtree(self.locks)
        self.assert_free()
        self.assertRegex(self.sends(INFECTED), "^550")
        self.assert_locked()
        self.gated.reload(lock_duration=0)
        self.assert_free()
        self.gated.stop()


if __name__ == "__main__":
    main()
