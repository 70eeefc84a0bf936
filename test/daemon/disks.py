#!/usr/bin/python3
"""Disks that are full, gone, closed or broken: every client gets an answer, no message is
taken for clean that was not looked at, and when all is well again so are we.

    disks.py PROGRAM [unittest arguments]
"""
import contextlib
import ctypes
import errno
import os
import platform
import resource
import shutil
import struct
import subprocess
import unittest

from gated import (CLONE_NEWNS, Case, IS_SHADOWED, LIBC, MS_PRIVATE, MS_REC, as_root,
                   can_mount, main, wait_until)
import lab

LARGE = lab.mail(*[b"x" * 70] * 1000)           # 72 kB: more than spool_memory_each
SMALL = lab.mail(b"short")
SPOOL_TROUBLE = "^trouble .*a message cannot be stored"
SPOOL_WELL = "^recovered .*messages can be stored again"
SCAN_TROUBLE = "^trouble .*libclamav cannot have temporary files"
SCAN_WELL = "^recovered .*temporary files can be had again"
HAS_MOUNTS = os.geteuid() == 0 and can_mount()
with_mounts = unittest.skipUnless(HAS_MOUNTS, "cannot mount here")


def run(*command):
    subprocess.run(command, check=True, timeout=30)


class Disks(Case):
    def setUp(self):
        super().setUp()
        self.spool = self.gated.directory / "spool"
        self.scan = self.gated.directory / "scan"
        self.mounted = []
        self.addCleanup(self.unmount)

    def unmount(self):
        for path in self.mounted:
            subprocess.run(["umount", "-l", path], check=False, stderr=subprocess.DEVNULL)

    def tmpfs(self, path, size):
        run("mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", path)
        self.mounted.append(path)

    @staticmethod
    def fill(path):
        """Somebody else's file takes all of it."""
        with open(path / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def mail(self, message):
        """The last word on a message, which must have been delivered if it is 250."""
        before = len(self.sink.complete)
        with self.begin() as client:
            reply = client.submit(message)[-1]
        self.assertEqual(len(self.sink.complete) - before, reply.startswith("250"), reply)
        return reply

    def state(self, name):
        return int(self.gated.write_state()[name])

    def suffers(self, words, recover, small="^250"):
        """Large messages are deferred, small ones pass, it is said once; and then not."""
        for count in range(1, 4):
            self.assertRegex(self.mail(LARGE), "^452 Local spool problem")
            self.assertRegex(self.mail(SMALL), small)
            self.assertEqual(self.state("spool_failed"), count)
        trouble = self.gated.logged(SPOOL_TROUBLE)
        self.assertEqual(len(trouble), 1, trouble)
        self.assertRegex(trouble[0], f'spool_path={self.spool} error="{words}"')
        found = self.gated.logged("^found ")
        self.assertEqual(len(found), 3)
        self.assertRegex(found[0], f'finding=failed name="spool: {words}" action=defer')
        recover()
        self.assertRegex(self.mail(LARGE), "^250")
        self.assertRegex(self.mail(lab.infected_mail() + LARGE), f"^550 .*{lab.EICAR_NAME}")
        self.assertRegex(self.gated.logged(SPOOL_WELL)[0], "failed=3$")
        self.assertEqual(len(self.gated.logged("^recovered")), 1)
        self.gated.stop()

    # -- where messages are

    @with_mounts
    def test_spool_filled_by_others(self):
        self.tmpfs(self.spool, "1m")
        self.gated.start()
        self.assertRegex(self.mail(LARGE), "^250")
        self.fill(self.spool)
        self.suffers("No space left on device", (self.spool / "filler").unlink)

    @with_mounts
    def test_spool_filled_by_ourselves(self):
        """One message too many: it is deferred, and its room is there again."""
        self.tmpfs(self.spool, "256k")
        self.gated.start()
        held = [self.begin() for _ in range(2)]
        for client in held:
            client.begins_mail(LARGE)
        wait_until(lambda: self.state("spool_disk") > 2 * 70000)
        self.assertRegex(self.mail(LARGE * 2), "^452 Local spool problem")
        for client in held:
            self.assertRegex(client.ends_mail(), "^250")
            client.__exit__()
        self.assertRegex(self.mail(LARGE * 2), "^250")
        for _ in range(3):              # the first pieces of each can be stored
            self.assertRegex(self.mail(LARGE * 6), "^452 Local spool problem")
        self.assertEqual(len(self.gated.logged(SPOOL_TROUBLE)), 1)     # once a minute
        self.assertEqual(len(self.gated.logged(SPOOL_WELL)), 1)
        self.assertTrue(wait_until(lambda: os.statvfs(self.spool).f_bavail >= 63))
        self.assertEqual(self.state("spool_disk"), 0)
        self.gated.stop()

    def test_spool_removed(self):
        self.gated.start()
        self.spool.rmdir()

        def make():
            self.spool.mkdir()
            self.spool.chmod(0o1777)
        self.suffers("No such file or directory", make)

    def test_spool_closed(self):
        self.gated.start()
        self.spool.chmod(0o500)
        self.suffers("Permission denied", lambda: self.spool.chmod(0o1777))

    @with_mounts
    def test_spool_read_only(self):
        self.tmpfs(self.spool, "1m")
        self.gated.start()
        run("mount", "-o", "remount,ro", self.spool)
        self.suffers("Read-only file system",
                     lambda: run("mount", "-o", "remount,rw", self.spool))

    @with_mounts
    def test_spool_replaced(self):
        """What is under way goes on where it is, what comes goes where it is sent."""
        self.tmpfs(self.spool, "1m")
        self.gated.start()
        old = self.begin()
        old.begins_mail(LARGE)
        run("umount", "-l", self.spool)
        self.assertRegex(self.mail(LARGE), "^250")
        self.tmpfs(self.spool, "64k")
        self.assertRegex(self.mail(LARGE), "^452")
        old.send(LARGE)
        self.assertRegex(old.ends_mail(lab.EICAR + b"\r\n"), f"^550 .*{lab.EICAR_NAME}")
        old.__exit__()
        run("umount", self.spool)
        self.assertRegex(self.mail(LARGE), "^250")
        self.assertEqual(len(self.gated.logged(SPOOL_TROUBLE)), 1)
        self.gated.stop()

    def limit_files(self, size):
        resource.prlimit(self.gated.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    @as_root
    def test_limit_of_files(self):
        """RLIMIT_FSIZE comes with a signal, which would end us."""
        self.gated.start()
        self.limit_files(20000)
        self.suffers("File too large", lambda: self.limit_files(resource.RLIM_INFINITY))

    def test_the_option_says_what_it_leads_to(self):
        for option, reply in (("pass", "^250"), ("refuse", "^55[04] "), ("hangup", "^55[04] ")):
            gated = self.another(on_scan_failed=option).start()
            (gated.directory / "spool").rmdir()
            with self.begin(gated) as client:
                self.assertRegex(client.submit(LARGE)[-1], reply)
            self.assertRegex(gated.logged("^found ")[0], "finding=failed name=.spool: No such")
            (gated.directory / "spool").mkdir()
            gated.stop()

    # -- what cannot be made by hand: the kernel is told to fail

    @staticmethod
    def breaks(call, error):
        """For BEFORE: each CALL of the daemon that is for a page or more fails (seccomp)."""
        load, if_equal, if_at_least, give = 0x20, 0x15, 0x35, 0x06
        allow, fail = 0x7fff0000, 0x00050000 | error
        program = b"".join(struct.pack("=HBBI", *one) for one in (
            (load, 0, 0, 0), (if_equal, 0, 3, call),    # the number of the call
            (load, 0, 0, 32), (if_at_least, 0, 1, 4096),    # its third argument
            (give, 0, 0, fail), (give, 0, 0, allow)))
        buffer = ctypes.create_string_buffer(program)

        class Filter(ctypes.Structure):
            _fields_ = [("count", ctypes.c_ushort), ("at", ctypes.c_void_p)]

        def begin():
            LIBC.prctl(38, 1, 0, 0, 0)
            if LIBC.prctl(22, 2, ctypes.byref(Filter(6, ctypes.addressof(buffer)))) != 0:
                raise OSError(ctypes.get_errno(), "no seccomp")
        return begin

    @unittest.skipUnless(platform.machine() == "x86_64", "numbers of calls are known for x86-64")
    @unittest.skipIf(IS_SHADOWED, "what the sanitizer itself calls would fail")
    def test_disk_that_does_not_write(self):
        self.gated.start(before=self.breaks(18, errno.EIO))             # pwrite64
        for _ in range(3):
            self.assertRegex(self.mail(LARGE), "^452 Local spool problem")
        self.assertRegex(self.mail(SMALL), "^250")
        trouble = self.gated.logged(SPOOL_TROUBLE)
        self.assertEqual(len(trouble), 1)
        self.assertRegex(trouble[0], "Input/output error")
        self.gated.stop()

    @unittest.skipUnless(platform.machine() == "x86_64", "numbers of calls are known for x86-64")
    @unittest.skipIf(IS_SHADOWED, "what the sanitizer itself calls would fail")
    def test_disk_that_does_not_read(self):
        """What was written and cannot be read is not clean."""
        self.gated.start(before=self.breaks(17, errno.EIO))             # pread64
        self.assertRegex(self.mail(LARGE), "^451 ")
        self.assertRegex(self.mail(LARGE + lab.EICAR + b"\r\n"), "^451 ")
        self.assertRegex(self.gated.logged("^found ")[0],
                         "finding=failed name=.*(read|Input/output)")
        self.gated.stop()

    # -- where the scanner has its files

    def fails_to_scan(self, words, recover):
        """Clean, infected, large and small: none of them passes, none is called a virus."""
        messages = [SMALL, lab.infected_mail(), LARGE,
                    lab.mail_with(lab.zip_of("a.txt", b"harmless " * 1000))]
        for message in messages:
            self.assertRegex(self.mail(message), "^451 .*could not be checked for viruses")
        trouble = self.gated.logged(SCAN_TROUBLE)
        self.assertEqual(len(trouble), 1, trouble)
        self.assertRegex(trouble[0], f"scan_path={self.scan}\\S* error=\"{words}\"")
        self.assertEqual(self.gated.logged("^verdict"), [])
        self.assertEqual(self.state("mails_failed"), len(messages))
        recover()
        self.assertRegex(self.mail(messages[-1]), "^250")
        self.assertRegex(self.mail(lab.infected_mail()), f"^550 .*{lab.EICAR_NAME}")
        self.assertRegex(self.gated.logged(SCAN_WELL)[0], f"failed={len(messages)}$")
        self.assertEqual(len(self.gated.logged("^recovered")), 1)
        self.gated.stop()

    @with_mounts
    def test_scan_filled_by_others(self):
        self.tmpfs(self.scan, "4m")
        self.gated.start()
        self.fill(self.scan)
        self.fails_to_scan("No space left on device", (self.scan / "filler").unlink)

    @with_mounts
    def test_scan_filled_by_a_message(self):
        """What unpacks to more than there is room for is not clean, and the next one is."""
        self.tmpfs(self.scan, "8m")
        self.gated.start()
        bomb = lab.mail_with(lab.zip_of("a.bin", b"harmless" * (20 << 17)))
        self.assertRegex(self.mail(bomb), "^451 .*could not be checked for viruses")
        self.assertRegex(self.mail(lab.infected_mail()), f"^550 .*{lab.EICAR_NAME}")
        self.assertRegex(self.mail(SMALL), "^250")
        self.assertEqual(len(self.gated.logged(SCAN_TROUBLE)), 1)
        self.gated.stop()

    @with_mounts
    def test_scan_read_only(self):
        self.tmpfs(self.scan, "8m")
        self.gated.start()
        run("mount", "-o", "remount,ro", self.scan)
        self.fails_to_scan("Read-only file system",
                           lambda: run("mount", "-o", "remount,rw", self.scan))

    def test_scan_removed(self):
        self.gated.start()
        shutil.rmtree(self.scan)

        def make():
            self.scan.mkdir()
            self.scan.chmod(0o1777)
        self.fails_to_scan("No such file or directory", make)


def leave_mounts():
    """Ours are ours alone, and go with us."""
    if HAS_MOUNTS:
        LIBC.unshare(CLONE_NEWNS)
        LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)


if __name__ == "__main__":
    leave_mounts()
    main()
