#!/usr/bin/python3
"""What the running daemon may do, read from /proc: of it, and of each of its threads.

    privileges.py PROGRAM [unittest arguments]
"""
import grp
import os
import pathlib
import pwd
import re
import resource
import subprocess
import unittest

from gated import Case, IS_SHADOWED, as_root, can_mount, main, mount_over, read_as, wait_until

NET_ADMIN, NET_RAW = 1 << 12, 1 << 13
USER = pwd.getpwnam("backup")
OTHER = grp.getgrnam("games")
NOBODY_AT_ALL = 54321               # a number that has no name


class Privileges(Case):
    def check(self, uid, gid, groups=None, caps=0):
        """Every thread is that user, in those groups, and can do nothing more."""
        groups = [gid] if groups is None else groups
        threads = self.gated.threads()
        self.assertGreaterEqual(len(threads), 3)        # the loop and two that scan
        for thread in threads[:1] if IS_SHADOWED else threads:
            with self.subTest(thread=thread["Name"]):
                self.assertEqual(set(thread["Uid"].split()), {str(uid)})
                self.assertEqual(set(thread["Gid"].split()), {str(gid)})
                self.assertEqual({int(one) for one in thread["Groups"].split()}, set(groups))
                # What it may have, a successor may: nothing else ever.
                for name in ("CapEff", "CapPrm", "CapBnd"):
                    self.assertEqual(int(thread[name], 16), caps, name)
                for name in ("CapInh", "CapAmb"):
                    self.assertEqual(int(thread[name], 16), 0, name)
                self.assertEqual(thread["NoNewPrivs"], "1")

    def check_sealed(self, uid):
        """Not dumpable: its own user cannot look into it, as he can into others."""
        proc = pathlib.Path(f"/proc/{self.gated.pid}")
        self.assertEqual((proc / "environ").stat().st_uid, 0)
        plain = subprocess.Popen(["sleep", "100"], user=uid, group=uid, extra_groups=[])
        try:
            self.assertTrue(wait_until(
                lambda: pathlib.Path(f"/proc/{plain.pid}/comm").read_text() == "sleep\n"))
            self.assertTrue(read_as(uid, f"/proc/{plain.pid}/environ"))
        finally:
            plain.kill()
            plain.wait()
        for name in ("environ", "maps", "mem"):
            self.assertFalse(read_as(uid, proc / name), name)

    def start(self, **options):
        """As a root that is in many groups."""
        self.gated.configure(allow_root=None, **options)
        self.gated.start(extra_groups=[0, 1, 4, 20, 27])

    def served_by(self, uid, gid, groups=None, caps=0):
        self.check(uid, gid, groups, caps)
        self.serves()
        self.assertEqual(int(self.gated.write_state()["mails"]), 2)
        self.assertEqual(self.gated.statefile.stat().st_uid, uid)
        self.gated.reload(msg_virus_found='"Look:"')
        self.assertIn("Look:", self.serves())
        self.gated.stop()

    @as_root
    def test_user_by_name(self):
        self.start(set_user='"backup"')
        self.check_sealed(USER.pw_uid)
        self.assertEqual(self.gated.pidfile.read_text(), f"{self.gated.pid}\n")
        self.served_by(USER.pw_uid, USER.pw_gid)

    @as_root
    def test_user_by_number(self):
        """It is the same user, with his group."""
        self.start(set_user=f'"{USER.pw_uid}"')
        self.served_by(USER.pw_uid, USER.pw_gid)

    @as_root
    def test_group_by_name(self):
        self.start(set_user='"backup"', set_group='"games"')
        self.served_by(USER.pw_uid, OTHER.gr_gid)

    @as_root
    def test_group_by_number(self):
        self.start(set_user='"backup"', set_group=f'"{NOBODY_AT_ALL}"')
        self.served_by(USER.pw_uid, NOBODY_AT_ALL)

    @as_root
    def test_number_without_name(self):
        self.start(set_user=f'"{NOBODY_AT_ALL}"', set_group='"games"')
        self.check_sealed(NOBODY_AT_ALL)
        self.served_by(NOBODY_AT_ALL, OTHER.gr_gid)

    @as_root
    def test_supplementary_groups(self):
        """Those that the user is in, and no others; set_group stands for his own."""
        if not can_mount():
            self.skipTest("needs to mount over /etc/group")
        groups = self.gated.directory / "group"
        groups.write_text("root:x:0:backup2\nbackup:x:34:\ngames:x:60:\n"
                          "one:x:7001:news,backup\ntwo:x:7002:backup\nthree:x:7003:news\n")
        for more, gid in (({}, USER.pw_gid), ({"set_group": '"games"'}, OTHER.gr_gid)):
            with self.subTest(more):
                self.gated.configure(allow_root=None, set_user='"backup"', **more)
                self.gated.start(extra_groups=[0, 4],
                                 before=lambda: mount_over("/etc/group", groups))
                self.served_by(USER.pw_uid, gid, [gid, 7001, 7002])

    @as_root
    def test_capabilities_of_modes(self):
        for mode, caps in (("netfilter", NET_ADMIN), ("tproxy", NET_RAW), ("getsockname", 0),
                           ("tproxy,netfilter", NET_RAW | NET_ADMIN)):
            with self.subTest(mode):
                self.start(set_user='"backup"', mode=f'"{mode}"')
                self.check(USER.pw_uid, USER.pw_gid, caps=caps)
                self.check_sealed(USER.pw_uid)
                self.gated.stop()

    @as_root
    def test_no_capability_where_there_was_none(self):
        self.gated.configure(allow_root=None, mode="netfilter")
        self.gated.start(user=USER.pw_uid, group=USER.pw_gid, extra_groups=[])
        for thread in self.gated.threads():
            for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                self.assertEqual(int(thread[name], 16), 0, name)
            self.assertEqual(thread["NoNewPrivs"], "1")
        self.gated.stop()

    @as_root
    def test_root_that_is_allowed_has_no_capabilities(self):
        self.gated.start(extra_groups=[])
        for thread in self.gated.threads()[:1 if IS_SHADOWED else None]:
            self.assertEqual(set(thread["Uid"].split()), {"0"})
            for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"):
                self.assertEqual(int(thread[name], 16), 0, name)
            self.assertEqual(thread["NoNewPrivs"], "1")
        self.serves()
        self.gated.stop()

    @as_root
    def test_ordinary_user(self):
        """Started as one, as systemd does it: nothing need be said, and saying it again
        in set_user does no harm."""
        for set_user in (None, '"backup"', f'"{USER.pw_uid}"'):
            with self.subTest(set_user):
                self.gated.configure(allow_root=None, set_user=set_user)
                self.gated.start(user=USER.pw_uid, group=USER.pw_gid, extra_groups=[])
                for thread in self.gated.threads():
                    self.assertEqual(set(thread["Uid"].split()), {str(USER.pw_uid)})
                    self.assertEqual(thread["NoNewPrivs"], "1")
                self.serves()
                self.gated.stop()

    def test_whoever_we_are(self):
        """Not only for root."""
        self.gated.start()
        self.assertEqual(self.gated.status()["NoNewPrivs"], "1")
        self.serves()
        self.gated.stop()


class Refusals(Case):
    """A sentence and exit code 1."""

    def refused(self, pattern, user=None, **options):
        self.gated.configure(**{"allow_root": None, **options})
        more = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.assertRegex(self.gated.refused(**more), pattern)
        self.gated.check_reports()
        self.assertFalse(self.gated.pidfile.exists())

    @as_root
    def test_root(self):
        self.refused(r"served as root: name an ordinary user in set_user, or .*allow_root")
        self.refused(r"served as root", set_user='"root"')
        self.refused(r"served as root", set_user='"0"')
        self.refused(r"served as root", set_user=None, set_group='"games"')

    @as_root
    def test_unknown_names(self):
        self.refused(r'set_user = "nobody-at-all": there is no such user',
                     set_user='"nobody-at-all"')
        self.refused(r'set_group = "nobodies-at-all": there is no such group',
                     set_user='"backup"', set_group='"nobodies-at-all"')
        for number in ("-1", "4294967295", "99999999999999999999", "34x", "0x22"):
            self.refused(r"set_user = .*there is no such user", set_user=f'"{number}"',
                         set_group=None)
            self.refused(r"set_group = .*there is no such group", set_user='"backup"',
                         set_group=f'"{number}"')

    @as_root
    def test_number_without_name(self):
        self.refused(rf'set_user = "{NOBODY_AT_ALL}": .* set_group is needed',
                     set_user=f'"{NOBODY_AT_ALL}"')

    @as_root
    def test_only_root_can(self):
        self.refused(r"set_user: cannot become user \d+: .*only root can",
                     user=USER.pw_uid, set_user='"nobody"', set_group='"backup"')
        self.refused(r"set_group: cannot become group", user=USER.pw_uid,
                     set_user=None, set_group='"games"')

    @as_root
    def test_directories_that_the_user_cannot_use(self):
        """It is said at the start and not with the first mail."""
        for option in ("spool_path", "scan_path"):
            path = self.gated.directory / option
            path.mkdir(mode=0o700)
            with self.subTest(option):
                self.refused(rf"(?m)^smtp-gated: {option}.*{re.escape(str(path))}",
                             set_user='"backup"', **{option: f'"{path}"'})
            self.gated.configure(**{option: f'"{self.gated.directory}/spool"'})

    @as_root
    def test_limits_that_cannot_be(self):
        soft, hard = 1 << 20, 1 << 20

        def lower():
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        self.gated.configure(allow_root=None, limit_fsize=1 << 30)
        self.assertRegex(self.gated.refused(user=USER.pw_uid, group=USER.pw_gid,
                                            extra_groups=[], before=lower),
                         r"limit_fsize = 1073741824: ")
        self.refused(r"priority = -5: ", user=USER.pw_uid, priority=-5, limit_fsize=None)


class Files(Case):
    @as_root
    def test_directories_are_made_for_the_user(self):
        top = self.gated.directory
        self.gated.pidfile, self.gated.statefile = top / "a/b/pid", top / "c/d/state"
        self.gated.configure(
            allow_root=None, set_user='"backup"', set_group='"games"',
            pidfile=f'"{self.gated.pidfile}"', statefile=f'"{self.gated.statefile}"',
            spool_path=f'"{top}/e/f/"')
        self.gated.start()
        for name in ("a", "a/b", "c", "c/d", "e", "e/f"):
            info = (top / name).stat()
            self.assertEqual((info.st_uid, info.st_gid, info.st_mode & 0o7777),
                             (USER.pw_uid, OTHER.gr_gid, 0o750), name)
        self.serves()
        self.gated.write_state()
        self.gated.stop()
        self.assertEqual(list((top / "a/b").iterdir()), [])

    @as_root
    def test_directories_that_are_there_stay_as_they_are(self):
        path = self.gated.directory / "mine"
        path.mkdir()
        path.chmod(0o707)
        self.gated.configure(allow_root=None, set_user='"backup"', spool_path=f'"{path}"')
        self.gated.start()
        info = path.stat()
        self.assertEqual((info.st_uid, info.st_mode & 0o777), (0, 0o707))
        self.gated.stop()


class Limits(Case):
    LIMITS = {"limit_core_size": ("Max core file size", 4096),
              "limit_virt_size": ("Max address space", 1 << 49),
              "limit_data_size": ("Max data size", 1 << 48),
              "limit_fsize": ("Max file size", 1 << 30)}

    def limits(self):
        text = pathlib.Path(f"/proc/{self.gated.pid}/limits").read_text()
        return {name: re.search(rf"(?m)^{name} +(\S+) +(\S+)", text).groups()
                for name, _ in self.LIMITS.values()}

    def niceness(self):
        return {pathlib.Path(task, "stat").read_text().rpartition(")")[2].split()[16]
                for task in pathlib.Path(f"/proc/{self.gated.pid}/task").iterdir()}

    def test_as_configured(self):
        self.gated.configure(priority=7, **{name: value for name, (_, value)
                                            in self.LIMITS.items()})
        self.gated.start()
        self.assertEqual(self.limits(), {name: (str(value), str(value))
                                         for name, value in self.LIMITS.values()})
        if not IS_SHADOWED:
            self.assertEqual(self.niceness(), {"7"})
        self.serves()
        self.gated.stop()

    def test_left_alone(self):
        self.gated.start()
        ours = {name: tuple("unlimited" if one == resource.RLIM_INFINITY else str(one)
                            for one in resource.getrlimit(number))
                for name, number in (("Max address space", resource.RLIMIT_AS),
                                     ("Max data size", resource.RLIMIT_DATA),
                                     ("Max file size", resource.RLIMIT_FSIZE))}
        theirs = self.limits()
        self.assertEqual({name: theirs[name] for name in ours}, ours)
        self.gated.stop()

    @as_root
    def test_priority_that_only_root_can_have(self):
        self.gated.configure(allow_root=None, set_user='"backup"', priority=-3)
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -3)
        except PermissionError:
            self.skipTest("this root cannot raise a priority")
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        self.gated.start()
        self.assertIn("-3", self.niceness())
        self.serves()
        self.gated.stop()

    def test_descriptors_for_all_sessions(self):
        def lower():
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))
        self.gated.configure(max_connections=500)
        self.gated.start(before=lower)
        text = pathlib.Path(f"/proc/{self.gated.pid}/limits").read_text()
        self.assertRegex(text, r"(?m)^Max open files +1398 ")
        self.gated.reload(max_connections=600)
        text = pathlib.Path(f"/proc/{self.gated.pid}/limits").read_text()
        self.assertRegex(text, r"(?m)^Max open files +1665 ")
        self.assertEqual(self.gated.logged("not enough file descriptors"), [])
        self.gated.reload(max_connections=6000)
        self.gated.wait_for_log("not enough file descriptors for max_connections")
        self.gated.stop()


if __name__ == "__main__":
    main()
