#!/usr/bin/python3
"""chroot_path: the daemon in a root directory of its own, as an ordinary user.

    chroot.py PROGRAM [unittest arguments]
"""
import os
import pwd
import shutil
import signal

from gated import Case, main

USER = pwd.getpwnam("backup")


class Chroot(Case):
    """Paths of the running daemon are within; those of the start are not."""

    def setUp(self):
        super().setUp()
        self.jail = self.gated.directory / "jail"
        self.name = self.gated.directory.name
        self.names = self.jail / self.name
        self.addCleanup(shutil.rmtree, f"/{self.name}", ignore_errors=True)
        (self.jail / "scan").mkdir(parents=True)
        (self.jail / "scan").chmod(0o1777)
        self.gated.report_from(self.jail)
        self.gated.statefile = self.names / "run" / "state"
        self.gated.configure(
            allow_root=None, set_user='"backup"', chroot_path=f'"{self.jail}"',
            spool_path=f'"/{self.name}/spool"', scan_path='"/scan"',
            statefile=f'"/{self.name}/run/state"')

    def test_everything_works_inside(self):
        self.gated.start()
        self.assertEqual(os.readlink(f"/proc/{self.gated.pid}/root"), str(self.jail))
        self.assertEqual(os.readlink(f"/proc/{self.gated.pid}/cwd"), str(self.jail))
        self.assertEqual(set(self.gated.status()["Uid"].split()), {str(USER.pw_uid)})
        self.serves()
        state = self.gated.write_state()
        self.assertEqual((state["mails"], state["mails_failed"]), ("2", "0"))
        for name in ("spool", "run"):
            self.assertEqual((self.names / name).stat().st_uid, USER.pw_uid)
        room, = (self.jail / "scan").iterdir()
        self.assertEqual((room.stat().st_uid, room.stat().st_mode & 0o777),
                         (USER.pw_uid, 0o700))
        self.assertFalse(os.path.lexists(f"/{self.name}"), "a directory was made outside")
        self.gated.reload(msg_virus_found='"Look:"')
        self.assertIn("Look:", self.serves())
        self.gated.stop()
        self.assertEqual(list((self.names / "spool").iterdir()), [])
        self.assertEqual(list((self.jail / "scan").iterdir()), [])

    def test_in_the_background(self):
        self.assertEqual(self.gated.background().returncode, 0)
        self.assertEqual(os.readlink(f"/proc/{self.gated.pid}/root"), str(self.jail))
        self.serves()
        self.gated.configure(msg_virus_found='"Look:"')
        self.gated.signal(signal.SIGHUP)
        self.assertEqual(self.gated.write_state()["reloads"], "1")
        self.assertIn("Look:", self.serves())
        self.gated.stop()

    def test_file_that_the_user_cannot_read(self):
        self.gated.start()
        self.gated.configure(msg_virus_found='"Look:"')
        self.gated.file.chmod(0o600)
        self.gated.signal(signal.SIGHUP)
        self.gated.wait_for_log("the configuration stays as it was.*Permission denied")
        self.assertNotIn("Look:", self.serves())
        self.gated.stop()

    def test_what_is_missing_inside(self):
        """It is said at the start and not with the first mail."""
        self.gated.configure(scan_path='"/none"')
        (self.gated.directory / "none").mkdir()
        self.assertRegex(self.gated.refused(), r"smtp-gated: scan_path.*/none")
        self.gated.configure(scan_path='"/scan"')
        (self.jail / "scan").chmod(0o700)
        self.assertRegex(self.gated.refused(), r"smtp-gated: scan_path.*/scan.*Permission denied")
        self.gated.configure(chroot_path=f'"{self.jail}/none"')
        self.assertRegex(self.gated.refused(), r"smtp-gated: chroot_path.*/jail/none")
        self.assertFalse((self.jail / "none").exists())


if __name__ == "__main__":
    main(needs_root=True)
