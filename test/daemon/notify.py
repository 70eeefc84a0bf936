#!/usr/bin/python3
"""What the service manager is told: sd_notify(3), over NOTIFY_SOCKET.

    notify.py PROGRAM [unittest arguments]
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import threading
import time

from gated import PROGRAM, Case, as_root, main, wait_until
import lab

WATCHDOG_MS = 600
BOMB = 300 << 20                # bytes of a file in a zip: a scan of seconds


class Manager:
    """Listens where a service manager would; keeps (when, pid, dictionary) of each message."""

    def __init__(self, path):
        self.path = str(path)
        self.heard = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path.replace("@", "\0", 1) if self.path[0] == "@" else self.path)
        if self.path[0] == "/":
            os.chmod(self.path, 0o777)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.thread = None

    def listen(self):
        self.thread = threading.Thread(target=self.take, daemon=True)
        self.thread.start()
        return self

    def take(self):
        while True:
            try:
                raw, more, _, _ = self.socket.recvmsg(4096, 256)
            except OSError:
                return
            if not raw:
                return
            pid = struct.unpack("iII", more[0][2][:12])[0]
            self.heard.append((lab.Stopwatch(), pid, dict(
                line.split("=", 1) for line in raw.decode("ascii").split("\n"))))

    def close(self):
        """Nobody is there any more; nothing is there any more."""
        if self.socket.fileno() < 0:
            return
        self.socket.shutdown(socket.SHUT_RD)
        if self.thread:
            self.thread.join()
        self.socket.close()
        if self.path[0] == "/":
            os.unlink(self.path)

    def messages(self, *names):
        """Those in which one of NAMES is, in their order; without NAMES all but the watchdog's."""
        return [one for _, _, one in self.heard
                if (names and set(names) & set(one)) or (not names and "WATCHDOG" not in one)]

    def states(self):
        return [next(name for name in ("READY", "RELOADING", "STOPPING") if name in one)
                for one in self.messages("READY", "RELOADING", "STOPPING")]

    def status(self):
        words = [one["STATUS"] for one in self.messages("STATUS")]
        return words[-1] if words else ""

    def fed(self):
        return [when for when, _, one in self.heard if "WATCHDOG" in one]


class Notify(Case):
    """What the tests need."""

    def manager(self, path=None, listen=True):
        path = path or self.gated.directory / "notify"
        manager = Manager(path)
        self.addCleanup(manager.close)
        self.gated.extra_environment["NOTIFY_SOCKET"] = manager.path
        return manager.listen() if listen else manager

    def hears(self, manager, condition, seconds=30):
        self.assertTrue(wait_until(condition, seconds), f"{manager.heard}\n{self.gated.log()}")

    def says(self, manager, pattern):
        self.hears(manager, lambda: re.search(pattern, manager.status()))


class Daemon(Notify):
    def test_life(self):
        """Each state in its order, with words."""
        manager = self.manager()
        self.gated.start()
        self.hears(manager, lambda: manager.states() == ["READY"])
        loading, ready = manager.messages()[:2]
        self.assertEqual(loading["STATUS"], "loading signatures")
        self.assertGreaterEqual(int(loading["EXTEND_TIMEOUT_USEC"]), 60_000_000)
        self.assertEqual(ready["STATUS"], "serving 0 sessions, 0 mails, 0 infected")
        self.assertEqual({pid for _, pid, _ in manager.heard}, {self.gated.pid})

        before = time.monotonic()
        self.gated.reload(msg_virus_found='"Look:"')
        self.hears(manager, lambda: len(manager.states()) == 3)
        self.assertEqual(manager.states(), ["READY", "RELOADING", "READY"])
        told = int(manager.messages("RELOADING")[0]["MONOTONIC_USEC"]) / 1e6
        self.assertTrue(before <= told <= time.monotonic(), (before, told))
        self.assertEqual(manager.status(), ready["STATUS"])

        self.serves()
        self.says(manager, "^serving [01] sessions?, 2 mails, 1 infected$")
        sitting = self.begin()
        sitting.begins_mail()
        self.says(manager, "^serving 1 session, 2 mails, 1 infected$")
        self.gated.signal(signal.SIGTERM)
        self.says(manager, "^draining 1 session$")
        self.assertEqual(manager.states()[3:], ["STOPPING"])
        self.assertGreater(int(manager.messages("STOPPING")[0]["EXTEND_TIMEOUT_USEC"]),
                           60_000_000)          # timeout_drain and more
        self.gated.signal(signal.SIGHUP)        # too late: it is no news
        self.gated.wait_for_log('text="read again"', 2)
        self.assertRegex(sitting.ends_mail(), "^250 taken")
        sitting.__exit__()
        self.gated.check_ended()
        self.assertEqual(manager.states()[3:], ["STOPPING"])
        self.assertEqual(manager.fed(), [])

    def test_faulty_file(self):
        """What is wrong with it is to be seen until it is right again, and only there."""
        manager = self.manager()
        self.gated.start()
        self.gated.configure(proxy_name="'a\nREADY=0\n'")   # each line is one
        self.gated.signal(signal.SIGHUP)
        self.says(manager, r"^serving 0 sessions.*; the configuration stays as it was: .*"
                           r"/etc/conf:1: .*;.*/etc/conf:2: .*READY")
        self.assertEqual(manager.states(), ["READY", "RELOADING", "READY"])
        self.assertEqual(set(manager.messages()[-1]), {"READY", "STATUS"})
        self.gated.reload(proxy_name='"gate.example"')
        self.says(manager, "^serving 0 sessions, 0 mails, 0 infected$")
        self.gated.stop()
        self.assertEqual(manager.states(), ["READY", "RELOADING"] * 2 + ["READY", "STOPPING"])

    def test_start_that_fails(self):
        manager = self.manager()
        self.gated.configure(signature_path='"/nowhere"')
        words = self.gated.refused().strip().removeprefix("smtp-gated: ")
        self.says(manager, "/nowhere")
        self.assertIn(manager.status(), words)
        self.assertEqual(manager.states(), [])

    def test_watchdog(self):
        """Fed by the loop, at a third of the time; a long scan does not keep it from that."""
        self.gated.extra_environment["WATCHDOG_USEC"] = str(WATCHDOG_MS * 1000)
        manager = self.manager()
        self.gated.configure(antivirus_type="libclamav", timeout_scanner=60, scan_workers=1)
        self.gated.start()
        client = self.begin()
        bomb = lab.mail_with(lab.zip_of("zeros", bytes(BOMB)))
        before = lab.Stopwatch()
        client.submit(bomb)
        after = lab.Stopwatch()
        took = after.since(before)
        self.assertGreater(took, 3 * WATCHDOG_MS / 1000, "the scan was too quick")
        fed = [when for when in manager.fed() if before.begun < when.begun < after.begun]
        gaps = [late.since(early) for early, late in zip([before, *fed], [*fed, after])]
        self.assertLess(max(gaps), 0.9 * WATCHDOG_MS / 1000, gaps)
        third = WATCHDOG_MS / 3000
        self.assertGreaterEqual(len(fed), 0.6 * took / third)
        self.assertLessEqual(len(fed), (after.begun - before.begun) / third + 1)
        self.gated.signal(signal.SIGSTOP)       # no loop, no word
        time.sleep(0.1)
        count = len(manager.fed())
        time.sleep(2 * WATCHDOG_MS / 1000)
        self.assertEqual(len(manager.fed()), count)
        self.gated.signal(signal.SIGCONT)
        self.hears(manager, lambda: len(manager.fed()) > count)
        client.__exit__()
        self.gated.stop()

    def test_watchdog_of_another(self):
        self.gated.extra_environment.update(WATCHDOG_USEC="30000", WATCHDOG_PID="1")
        manager = self.manager()
        self.gated.start()
        time.sleep(0.3)
        self.gated.stop()
        self.assertEqual(manager.fed(), [])
        self.assertEqual(manager.states(), ["READY", "STOPPING"])

    def test_abstract_socket(self):
        manager = self.manager(f"@gated-test-{os.getpid()}")
        self.gated.start()
        self.gated.stop()
        self.assertEqual(manager.states(), ["READY", "STOPPING"])

    @as_root
    def test_from_another_root(self):
        """The socket is not to be seen any more, nor would the user be let to it."""
        manager = self.manager()
        jail = self.gated.directory / "jail"
        (jail / "spool").mkdir(parents=True)
        self.gated.extra_environment["ASAN_OPTIONS"] = "detect_leaks=0"
        self.gated.configure(allow_root=None, set_user='"backup"', chroot_path=f'"{jail}"',
                             antivirus_type="off", spool_path='"/spool"', statefile='""')
        self.gated.start()
        os.chmod(manager.path, 0o700)
        self.gated.reload()
        self.gated.stop()
        self.assertEqual(manager.states(), ["READY", "RELOADING", "READY", "STOPPING"])

    def test_manager_goes_and_comes(self):
        manager = self.manager()
        self.gated.start()
        manager.close()
        for _ in range(3):
            self.gated.reload()
        self.assertEqual(len(self.gated.logged("service manager does not hear us")), 1)
        self.serves()
        manager = self.manager()
        self.says(manager, "2 mails, 1 infected")       # of itself
        self.assertEqual(manager.states()[0], "READY")
        self.gated.reload()
        self.hears(manager, lambda: manager.states()[-2:] == ["RELOADING", "READY"])
        manager.close()
        self.gated.stop()

    def test_manager_that_does_not_listen(self):
        """Its queue is full; mail passes, and what counts arrives later."""
        self.gated.extra_environment["WATCHDOG_USEC"] = "3000"
        manager = self.manager(listen=False)
        self.gated.start()
        queue = int(pathlib.Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
        time.sleep(min(3, 0.002 * queue + 0.2))
        self.gated.reload()
        self.serves()
        manager.listen()
        self.hears(manager, lambda: manager.states().count("READY") >= 2, 5)
        self.assertEqual(self.gated.logged("does not hear us"), [])
        self.gated.stop()
        self.assertEqual(manager.states()[-1], "STOPPING")

    def test_nobody_to_tell(self):
        """No timer, no message, no cost: it sleeps."""
        self.gated.extra_environment["WATCHDOG_USEC"] = "30000"
        self.gated.start()
        self.serves()
        self.assertTrue(wait_until(lambda: self.gated.write_state()["sessions_now"] == "0"))
        time.sleep(3)                   # until it has looked once for changed signatures
        for _ in range(5):
            before = self.gated.status()["voluntary_ctxt_switches"]
            time.sleep(2.5)
            after = self.gated.status()["voluntary_ctxt_switches"]
            if after == before:         # else it may have been woken with all others
                break
        self.assertEqual(after, before)
        self.gated.stop()

    def test_nowhere_to_tell(self):
        for path, why in (("nonsense", "neither a path"), ("/nowhere/notify", "No such file"),
                          ("/" + "x" * 200, "neither a path")):
            with self.subTest(path):
                self.gated.log_file.unlink(missing_ok=True)
                self.gated.extra_environment["NOTIFY_SOCKET"] = path
                self.gated.start()
                self.gated.wait_for_log(f"trouble .*cannot tell the service manager.*{why}")
                self.serves()
                self.gated.stop()


class MakingWay(Notify):
    """A new program takes over: it is named by the old one, and heard from then on."""

    def test_new_program(self):
        self.gated.program = str(shutil.copy(PROGRAM, self.gated.directory / "smtp-gated"))
        self.gated.extra_environment["WATCHDOG_USEC"] = "300000"
        manager = self.manager()
        self.gated.start()
        sitting = self.begin()
        old = self.gated.pid
        self.gated.signal(signal.SIGUSR2)
        self.hears(manager, lambda: manager.messages("MAINPID"))
        new = int(manager.messages("MAINPID")[0]["MAINPID"])
        self.hears(manager, lambda: manager.states() == ["READY"] * 2)
        self.hears(manager, lambda: sum(one[1] == new for one in manager.heard) > 5)
        named = next(at for at, one in enumerate(manager.heard) if "MAINPID" in one[2])
        self.assertEqual({pid for _, pid, _ in manager.heard[:named + 1]}, {old})
        self.assertEqual({pid for _, pid, _ in manager.heard[named + 1:]}, {new})
        self.assertEqual(manager.status(), "serving 0 sessions, 0 mails, 0 infected")
        self.assertRegex(sitting.ask("QUIT"), "^221")
        sitting.__exit__()
        self.assertEqual(self.gated.end(), 0)
        self.gated.process, self.gated.pid = None, new
        self.gated.stop()
        self.hears(manager, lambda: manager.states()[-1] == "STOPPING")


class Drain(Case):
    def test_patience_ends(self):
        """A session that does not end within timeout_drain is ended."""
        self.gated.configure(timeout_drain=1)
        self.gated.start()
        sitting = self.begin()
        watch = lab.Stopwatch()
        self.gated.signal(signal.SIGTERM)
        self.assertRegex(sitting.reply(), "^421")
        self.assertTrue(0.9 < watch.seconds() and watch.here() < 10)
        self.gated.check_ended()
        self.assertEqual(len(self.gated.logged("timeout_drain is over.* sessions=1")), 1)
        sitting.__exit__()


if __name__ == "__main__":
    main()
