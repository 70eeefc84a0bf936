#!/usr/bin/python3
"""Signatures that change while mail passes: no session fails, no verdict is wrong.

    signatures.py PROGRAM [unittest arguments]
"""
import os
import pwd
import re
import shutil
import signal
import threading
import time

from gated import Case, Client, IS_ROOT, IS_SHADOWED, as_root, is_gone, main, wait_until
import lab

CLIENTS = 8
INFECTED = 4                # every so manyth mail
MAY_GROW = 48               # MB, over fifty engines of 10 MB
KEPT = "the virus signatures stay as they were"
LOADED = 'text="loaded again"'
REFUSED_ANY = f"^550 .*{lab.EICAR_NAME}"


def row(name=lab.EICAR_NAME, word=lab.EICAR):
    return f"{name}:0:*:{word.hex()}\n"


class Signatures(Case):
    """Changes the directory in every way that there is."""

    def setUp(self):
        super().setUp()
        self.directory = self.gated.directory / "signatures"
        self.version = 0
        # What was written a moment ago is loaded once more: it could change unseen.
        time.sleep(0.05)

    def start(self):
        """ASan keeps what was freed, up to a quarter of a gigabyte; not here."""
        environment = self.gated.environment()
        environment["ASAN_OPTIONS"] += ":quarantine_size_mb=1"
        self.gated.environment = lambda: environment
        self.gated.start()

    def text(self):
        """All versions find EICAR, each as another name."""
        self.version += 1
        return row(f"{lab.EICAR_NAME}-{self.version}") + "".join(
            row(f"Some.{self.version}.{n}", b"nothing like this %d %d" % (self.version, n))
            for n in range(self.version % 7))

    def answer(self, *body):
        """What a client with a session of its own is told of a mail."""
        with Client(self.gated) as client:
            client.hello()
            reply = client.submit(lab.mail(*body))[-1]
            client.ask("QUIT")
            return reply

    # -- what is good in the end

    def renamed(self):
        """As freshclam does it."""
        away = self.directory / "tmp.0123456789"
        away.mkdir()
        (away / "clamav-0123.tmp-test.ndb").write_text(self.text())
        (away / "clamav-0123.tmp-test.ndb").replace(self.directory / "test.ndb")
        away.rmdir()
        (self.directory / "freshclam.dat").write_text("notes")

    def in_place(self):
        (self.directory / "test.ndb").write_text(self.text())

    def made_anew(self):
        shutil.rmtree(self.directory)
        self.directory.mkdir()
        self.in_place()

    def directory_renamed(self):
        new, old = self.directory.with_name("new"), self.directory.with_name("old")
        new.mkdir()
        (new / "test.ndb").write_text(self.text())
        self.directory.rename(old)
        new.rename(self.directory)
        shutil.rmtree(old)

    def twice(self):
        """Within one second, and the same size."""
        self.version += 10 - self.version % 10
        self.in_place()
        self.in_place()

    def one_more(self):
        (self.directory / f"more{self.version}.ndb").write_text(self.text())

    GOOD = (renamed, in_place, made_anew, directory_renamed, twice, one_more)

    # -- what is not

    def zero_bytes(self):
        (self.directory / "zero.ndb").write_text("")

    def half_written(self):
        (self.directory / "test.ndb").write_text(self.text()[:-8])       # an odd number of digits

    def garbage(self):
        (self.directory / "daily.cvd").write_bytes(os.urandom(2000))

    def empty(self):
        (self.directory / "test.ndb").unlink()

    def gone(self):
        shutil.rmtree(self.directory)

    def no_file(self):
        (self.directory / "dir.ndb").mkdir()

    BROKEN = (zero_bytes, half_written, garbage, empty, gone, no_file)

    def mend(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self.renamed()


class Load:
    """Clients that send mail until they are told to end, and what they were told."""

    def __init__(self, gated):
        self.gated, self.wrong, self.counts = gated, [], {True: 0, False: 0}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(first,), daemon=True)
                        for first in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def work(self, number):
        try:
            while not self.over.is_set():
                self.session(number % INFECTED == 0)
                number += CLIENTS + 1
        except Exception as error:                      # pylint: disable=broad-except
            self.wrong.append(repr(error))

    def session(self, infected):
        body = [lab.EICAR] if infected else [b"x" * 70] * 100
        with Client(self.gated) as client:
            client.hello()
            reply = client.submit(lab.mail(*body))[-1]
            if not re.match(REFUSED_ANY if infected else "250 taken", reply):
                self.wrong.append((infected, reply))
            if not client.ask("QUIT").startswith("221"):
                self.wrong.append("QUIT")
        self.counts[infected] += 1

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


class Fifty(Signatures):
    """The promise: fifty reloads, no failed session."""

    def changes(self):
        """What is done, and what must be logged of it."""
        for number in range(50):
            if number % 3 == 2:
                yield self.BROKEN[number // 3 % len(self.BROKEN)], KEPT
            else:
                yield self.GOOD[number % len(self.GOOD)], LOADED

    def disturb(self, change, pattern):
        """CHANGE, and HUP.  What is seen of it before it is whole is looked at again."""
        seen = len(self.gated.logged(pattern))
        change(self)
        self.gated.signal(signal.SIGHUP)
        if not wait_until(lambda: len(self.gated.logged(pattern)) > seen
                          or is_gone(self.gated.pid)) or is_gone(self.gated.pid):
            self.gated.check_reports()
            self.fail(f"{change.__name__}: not logged: {pattern}\n{self.gated.log()[-3000:]}")
        if pattern == KEPT:
            self.mend()

    def run_fifty(self):
        self.start()
        self.serves()
        threads = len(self.gated.threads())
        self.disturb(Signatures.renamed, LOADED)
        descriptors, memory = IS_ROOT and self.gated.descriptors(), self.gated.memory()
        load = Load(self.gated)
        for change, pattern in self.changes():
            self.disturb(change, pattern)
        load.end()
        self.assertEqual(load.wrong, [])
        for infected, count in load.counts.items():
            self.assertGreater(count, 20, infected)
        print(f"{load.counts[False]} clean, {load.counts[True]} infected,"
              f" {memory:.0f} MB before, {self.gated.memory():.0f} after")
        self.assertEqual(len(self.gated.threads()), threads)
        if IS_ROOT:                     # others may not look
            self.assertTrue(wait_until(lambda: self.gated.descriptors() <= descriptors),
                            "descriptors are left open: " + "\n".join(self.gated.open_files()))
        if not IS_SHADOWED:
            self.assertLess(self.gated.memory() - memory, MAY_GROW)
        state = self.gated.write_state()
        self.assertEqual(state["mails_failed"], "0")
        self.assertGreaterEqual(int(state["signature_reloads"]), 34)
        self.assertGreaterEqual(int(state["signature_reloads_failed"]), 16)
        self.gated.stop()

    def test_concurrent(self):
        self.run_fifty()


class FiftyInPlace(Fifty):
    """The same with one engine at a time.  Nothing is broken here: see Loss."""

    def changes(self):
        for number in range(50):
            yield self.GOOD[number % len(self.GOOD)], LOADED

    def disturb(self, change, pattern):
        # Half of a change must not be seen: that costs the old signatures.
        whole = self.directory.with_name("whole")
        whole.mkdir()
        (whole / "test.ndb").write_text(self.text())
        seen = len(self.gated.logged(pattern))
        self.directory.rename(self.directory.with_name("old"))
        whole.rename(self.directory)
        shutil.rmtree(self.directory.with_name("old"))
        self.gated.signal(signal.SIGHUP)
        self.gated.wait_for_log(pattern, seen + 1)

    def run_fifty(self):
        self.gated.configure(signature_reload="in_place")
        self.start()
        load = Load(self.gated)
        for change, pattern in self.changes():
            self.disturb(change, pattern)
        load.end()
        self.assertEqual(load.wrong, [])
        state = self.gated.write_state()
        self.assertEqual(state["mails_failed"], "0")
        self.assertGreaterEqual(int(state["signature_reloads"]), 50)
        self.gated.stop()


class ByItself(Signatures):
    """Without HUP: when the files have settled."""

    def test_changes(self):
        self.start()
        load = Load(self.gated)
        for number, change in enumerate((Signatures.renamed, Signatures.twice,
                                         Signatures.made_anew)):
            change(self)
            self.gated.wait_for_log(LOADED, number + 1)
        load.end()
        self.assertEqual(load.wrong, [])
        state = self.gated.write_state()
        self.assertEqual((state["signature_reloads"], state["signature_reloads_failed"],
                          state["signatures_loading"]), ("3", "0", "0"))
        self.gated.stop()

    def test_half_written_for_a_while(self):
        """Slower than it settles would be seen; faster is not."""
        self.start()
        text = self.text()
        with open(self.directory / "test.ndb", "w", encoding="ascii") as file:
            for at in range(0, len(text), 40):
                file.write(text[at:at + 40])
                file.flush()
                time.sleep(0.8)
        self.gated.wait_for_log(LOADED)
        self.assertIn(f"{lab.EICAR_NAME}-{self.version}", self.serves())
        self.assertEqual(self.gated.logged(KEPT), [])
        self.gated.stop()

    def test_broken_and_mended(self):
        self.start()
        self.garbage()
        self.gated.wait_for_log(KEPT)
        said = self.gated.logged(KEPT)[0]
        self.assertRegex(said, r"^trouble .*why=.*daily\.cvd.*freshclam.* next_try_s=60")
        self.serves()
        self.mend()
        self.gated.wait_for_log(LOADED)
        self.assertEqual(self.gated.write_state()["signature_reloads_failed"], "1")
        self.gated.stop()


class Options(Signatures):
    """What an engine is made of needs no restart."""

    def test_options(self):
        self.start()
        client = self.begin()
        self.gated.reload(scan_max_unpacked=2000, on_unscannable="refuse")
        self.gated.wait_for_log(LOADED)
        body = [b"x" * 70] * 100
        self.assertRegex(self.answer(*body), "^554 .*too big unpacked")
        self.gated.reload(scan_max_unpacked=None, scan_max_size=1024)
        self.gated.wait_for_log(LOADED, 2)
        self.assertRegex(self.answer(*body), "^554 .*too big")
        self.assertRegex(client.submit(lab.mail(*body))[-1], "^250 taken")
        other = self.gated.directory / "other"
        other.mkdir()
        (other / "test.ndb").write_text(row("Another.Eicar"))
        time.sleep(0.05)
        self.gated.reload(scan_max_size=None, signature_path=f'"{other}"')
        self.gated.wait_for_log(LOADED, 3)
        self.assertRegex(client.submit(lab.mail(lab.EICAR))[-1], "^550 .*Another.Eicar")
        client.ask("QUIT")
        client.__exit__()
        self.assertEqual(self.gated.logged("takes effect at a restart only"), [])
        for _ in range(30):
            self.gated.reload()
        self.assertEqual(self.gated.write_state()["signature_reloads"], "3")
        self.gated.stop()


class Loss(Signatures):
    """in_place, and what comes is broken: then there is nothing to scan with."""

    def test_deferred_until_mended(self):
        self.gated.configure(signature_reload="in_place")
        self.start()
        self.gone()
        self.gated.reload()
        self.gated.wait_for_log(KEPT)           # this much is seen before
        self.mend()
        self.gated.reload()
        self.gated.wait_for_log(LOADED)
        self.serves()
        self.half_written()
        self.gated.reload()
        self.gated.wait_for_log("^no-signatures .*test.ndb.*next_try_s=60")
        self.assertEqual(self.gated.write_state()["signatures"], "0")
        for body in (lab.EICAR, b"clean"):
            self.assertRegex(self.answer(body), "^451 ")
        self.mend()
        self.gated.wait_for_log(LOADED, 2)
        self.serves()
        self.gated.stop()


@as_root
class Users(Signatures):
    """After the start we may be somebody who cannot read them."""

    def test_unreadable(self):
        self.directory.chmod(0o700)
        self.gated.configure(allow_root=None, set_user='"backup"')
        self.start()
        said = self.gated.logged("signatures that change cannot be loaded")
        self.assertEqual(len(said), 1)
        self.assertRegex(said[0], r"^trouble .*signatures: Permission denied.*set_user")
        self.serves()
        time.sleep(2.5)                         # the first look: it was said
        self.assertEqual(self.gated.logged(KEPT), [])
        self.in_place()
        self.directory.chmod(0o755)
        self.gated.wait_for_log(LOADED)
        self.assertIn(f"{lab.EICAR_NAME}-{self.version}", self.serves())
        self.directory.chmod(0o700)
        self.gated.wait_for_log(KEPT)
        self.serves()
        self.gated.stop()

    def test_chroot(self):
        """Inside, by the same path."""
        jail = self.gated.directory / "jail"
        inside = jail / self.directory.relative_to("/")
        for path in (jail / "scan", jail / "spool", jail / "run", inside.parent):
            path.mkdir(parents=True, exist_ok=True)
            os.chown(path, pwd.getpwnam("backup").pw_uid, -1)
        environment = self.gated.environment()
        environment["ASAN_OPTIONS"] += ":detect_leaks=0"        # that needs a /proc
        self.gated.environment = lambda: environment
        self.gated.statefile = jail / "run" / "state"
        self.gated.configure(
            allow_root=None, set_user='"backup"', chroot_path=f'"{jail}"', spool_path='"/spool"',
            scan_path='"/scan"', statefile='"/run/state"')
        self.gated.start()
        said = self.gated.logged("signatures that change cannot be loaded")
        self.assertRegex(said[0], r"^trouble .*No such file.*chroot_path: bind-mount them")
        self.serves()
        self.in_place()                         # outside: not seen
        inside.mkdir()
        (inside / "test.ndb").write_text(row(lab.EICAR_NAME + "-inside"))
        self.gated.wait_for_log(LOADED)
        self.assertIn("-inside", self.serves())
        self.gated.stop()


if __name__ == "__main__":
    main()
