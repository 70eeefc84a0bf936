#!/usr/bin/env python3
"""Looking at locks and removing them: --locks and --unlock.

usage: test_locks.py PROGRAM [unittest arguments]
"""
import os
import re
import sys
import time
import unittest

import test_cli
from test_cli import lab

NOBODY = 65534
HOUR = 3600
as_root = unittest.skipUnless(os.geteuid() == 0, "needs root")


class Locks(test_cli.Case):
    def setUp(self):
        super().setUp()
        self.locks = self.tmp / "lock"
        self.locks.mkdir()
        self.configure()

    def configure(self, **options):
        self.conf = self.settings(**{"lock_path": f'"{self.locks}"', "lock_duration": HOUR,
                                     **options})

    def touch(self, name, words="", age=0, owner=None):
        path = self.locks / name
        path.write_text(words)
        if owner is not None:
            os.chown(path, owner, -1)
        os.utime(path, (time.time() - age,) * 2)

    def there(self):
        return sorted(os.listdir(self.locks))

    def listed(self, **more):
        """Rows, without their times."""
        result = self.run_program("--locks", self.conf, **more)
        self.check(result, 0, r"\Akind +client +ident +since +until +why\n")
        rows = [row.split(None, 5) for row in result.stdout.splitlines()[1:]]
        self.times = {row[1]: row[3:5] for row in rows}
        return [[*row[:3], row[5]] for row in rows]

    def unlock(self, client, code=0, out=None, err=None):
        self.check(self.run_program("--unlock", client, self.conf), code, out, err)


class Listed(Locks):
    def test_none(self):
        self.assertEqual(self.listed(), [])
        self.locks.rmdir()
        self.assertEqual(self.listed(), [])

    def test_kinds(self):
        self.touch("192.0.2.1", "virus Eicar-Test\n", age=60)
        self.touch("192.0.2.2-bob", age=2 * HOUR)
        self.touch("2001:db8::_64")
        self.touch("2001:db8::_48")
        self.touch("README")
        os.mkfifo(self.locks / "192.0.2.3")
        os.symlink("/etc/passwd", self.locks / "192.0.2.4")
        self.assertEqual(self.listed(), [
            ["locked", "192.0.2.1", "-", "virus Eicar-Test"],
            ["stale", "192.0.2.2", "bob", "-"],
            ["odd", "192.0.2.3", "-", "-"],
            ["odd", "192.0.2.4", "-", "-"],
            ["odd", "2001:db8::/48", "-", "-"],
            ["locked", "2001:db8::/64", "-", "-"],
            ["odd", "README", "-", "-"]])
        since, until = (time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
                        for text in self.times["192.0.2.1"])
        self.assertAlmostEqual(since, time.time() - 60, delta=30)
        self.assertEqual(until, since + HOUR)

    def test_for_ever(self):
        self.configure(lock_duration=-1)
        self.touch("192.0.2.1", age=1000 * HOUR)
        self.assertEqual(self.listed(), [["locked", "192.0.2.1", "-", "-"]])
        self.assertEqual(self.times["192.0.2.1"][1], "for-ever")

    def test_longest_of_policies(self):
        self.configure(lock_duration=60)
        with open(self.conf, "a", encoding="ascii") as file:
            file.write('policy "long" {\nclients = {192.0.2.0/24}\nlock_duration = 600\n}\n')
        self.touch("192.0.2.1", age=300)
        self.touch("192.0.2.2", age=900)
        self.assertEqual([row[0] for row in self.listed()], ["locked", "stale"])

    def test_terminal_is_safe(self):
        self.touch("192.0.2.1", "virus \033[2J\x07\xc2\x9b\n")
        self.touch("x\033[2J")
        self.touch("192.0.2.1-%1B[2J")
        self.touch("192.0.2.1-%1B%5B2J")
        result = self.run_program("--locks", self.conf)
        self.assertEqual(result.returncode, 0)
        self.assertNotRegex(result.stdout, r"[^\n -~]")

    @as_root
    def test_never(self):
        self.touch("192.0.2.1", owner=NOBODY)
        self.touch("192.0.2.2", age=2 * HOUR, owner=NOBODY)
        self.assertEqual([row[:2] for row in self.listed()],
                         [["never", "192.0.2.1"], ["never", "192.0.2.2"]])
        self.assertEqual(self.times["192.0.2.1"][1], "-")

    @as_root
    def test_whose_files_are_locks(self):
        """Of set_user; or of who owns the directory, since that is who made it."""
        self.touch("192.0.2.1")
        self.touch("192.0.2.2", owner=NOBODY)
        self.configure(set_user='"nobody"')
        self.assertEqual([row[0] for row in self.listed()], ["never", "locked"])
        self.configure()
        self.assertEqual([row[0] for row in self.listed()], ["locked", "never"])
        os.chown(self.locks, NOBODY, -1)
        self.assertEqual([row[0] for row in self.listed()], ["never", "locked"])

    @as_root
    def test_as_the_daemons_user(self):
        self.touch("192.0.2.1", "spam\n", owner=NOBODY)
        self.touch("192.0.2.2")
        os.chown(self.locks, NOBODY, -1)
        self.conf.chmod(0o644)
        self.tmp.chmod(0o755)
        self.assertEqual(self.listed(user=NOBODY), [["locked", "192.0.2.1", "-", "spam"],
                                                    ["never", "192.0.2.2", "-", "-"]])
        self.check(self.run_program("--unlock", "192.0.2.1", self.conf, user=NOBODY), 0,
                   r"\Aremoved 192.0.2.1\n\Z")

    @as_root
    def test_not_allowed(self):
        self.touch("192.0.2.1")
        self.conf.chmod(0o644)
        self.tmp.chmod(0o755)
        self.locks.chmod(0o700)
        for option in (["--locks"], ["--unlock", "192.0.2.1"]):
            self.check(self.run_program(*option, self.conf, user=NOBODY), 1, None,
                       rf'lock_path = "{self.locks}": Permission denied; do this as root')
        self.locks.chmod(0o755)
        self.configure(set_user='"root"')
        self.check(self.run_program("--unlock", "192.0.2.1", self.conf, user=NOBODY), 1, None,
                   r"cannot remove .*/192.0.2.1: Permission denied; do this as root")

    def test_wrong_configuration(self):
        self.check(self.run_program("--locks", self.file("lock_path = 7\n")), 1, None,
                   r"conf:1: lock_path")
        self.configure(lock_path=f'"{self.conf}/x"')
        self.check(self.run_program("--locks", self.conf), 1, None,
                   r'lock_path = ".*/conf/x": Not a directory')


class Unlocked(Locks):
    def test_address(self):
        for name in ("192.0.2.1", "192.0.2.1-bob", "192.0.2.1-ann", "192.0.2.11", "192.0.2.2"):
            self.touch(name)
        self.unlock("192.0.2.1", 0, r"\Aremoved 192.0.2.1\nremoved 192.0.2.1-ann\n"
                                    r"removed 192.0.2.1-bob\n\Z")
        self.assertEqual(self.there(), ["192.0.2.11", "192.0.2.2"])
        self.unlock("192.0.2.1", 1, None, r"192\.0\.2\.1 is not locked: there is no lock of it "
                                          rf"in {self.locks}")

    def test_network(self):
        for name in ("2001:db8::_64", "2001:db8::5", "2001:db8::6", "2001:db8::_48",
                     "2001:db8:1::_64"):
            self.touch(name)
        self.unlock("2001:db8::5", 0, r"removed")
        self.assertEqual(self.there(), ["2001:db8:1::_64", "2001:db8::6"])
        self.unlock("2001:db8:1::/64", 0, r"\Aremoved 2001:db8:1::_64\n\Z")
        self.unlock("2001:db8::/32", 0, r"\Aremoved 2001:db8::6\n\Z")

    def test_stale_as_well(self):
        self.touch("192.0.2.1", age=2 * HOUR)
        self.unlock("192.0.2.1", 0, r"removed 192.0.2.1")

    def test_no_address(self):
        self.touch("README")
        for text in ("bob", "", "192.0.2", "README", "../lock", "192.0.2.1-bob", "192.0.2.1/24"):
            self.unlock(text, 2, None, r"--unlock: ")
        self.assertEqual(self.there(), ["README"])
        self.check(self.run_program("--unlock", self.conf), 2, None, r"which configuration file")

    @as_root
    def test_white_list_stays(self):
        self.touch("192.0.2.1", owner=NOBODY)
        self.touch("192.0.2.1-bob")
        self.unlock("192.0.2.1", 0, r"\Aremoved 192.0.2.1-bob\n\Z",
                    rf"{self.locks}/192.0.2.1 is not removed: it belongs to user nobody, 65534, "
                    r"and so means that this client is never locked")
        self.unlock("192.0.2.1", 1, None, r"is not removed")
        self.assertEqual(self.there(), ["192.0.2.1"])

    def test_what_is_no_file_stays(self):
        target = self.tmp / "target"
        target.touch()
        os.symlink(target, self.locks / "192.0.2.1")
        (self.locks / "192.0.2.2").mkdir()
        os.mkfifo(self.locks / "192.0.2.3")
        for client in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
            self.unlock(client, 1, None, rf"cannot remove .*{client}")
        self.assertEqual(self.there(), ["192.0.2.1", "192.0.2.2", "192.0.2.3"])
        self.assertTrue(target.exists())

    def test_chroot(self):
        self.configure(chroot_path=f'"{self.tmp}"', lock_path='"/lock"')
        self.touch("192.0.2.1")
        self.assertEqual(len(self.listed()), 1)
        self.unlock("192.0.2.1", 0, r"removed 192.0.2.1")


class Legacy(test_cli.Case):
    def test_options_of_1_4(self):
        conf = self.file("lock_duration -1\nlock_path /l\nlock_perm 0640\n")
        result = self.run_program("-t", conf)
        self.assertEqual(result.returncode, 0)
        for line in ("lock_duration = -1", 'lock_path = "/l"', "lock_perm = 0640"):
            self.assertIn(f"\n{line}\n", result.stdout)
        self.assertFalse(re.search("no effect", result.stderr), result.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    test_cli.PROGRAM = lab.reachable(sys.argv.pop(1))
    unittest.main(verbosity=2)
