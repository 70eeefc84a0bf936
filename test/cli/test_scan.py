#!/usr/bin/env python3
"""smtp-gated --scan: what becomes of one message, and why.

usage: test_scan.py PROGRAM [unittest arguments]
"""
import os
import pathlib
import pty
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "dialog"))
import lab  # noqa: E402
import spam  # noqa: E402

PROGRAM = None
PATIENCE = 60                   # seconds; only a failing test waits that long
IS_ROOT = os.geteuid() == 0
DELIVERED, FAULT, MISUSE, REFUSED, DEFERRED = 0, 1, 2, 6, 7


def on_disk(mail):
    return mail.replace(b"\r\n", b"\n")


def encrypted_zip():
    """Of a file that says that it is encrypted (bit 0 of the flags)."""
    raw = bytearray(lab.zip_of("a.txt", b"nobody can read it"))
    raw[6] |= 1
    raw[raw.index(b"PK\1\2") + 8] |= 1
    return bytes(raw)


class Case(unittest.TestCase):
    def setUp(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="scan-"))
        self.addCleanup(shutil.rmtree, self.tmp)
        self.tmp.chmod(0o755)
        for name in ("spool", "temporary", "signatures"):
            (self.tmp / name).mkdir()
        (self.tmp / "signatures/test.ndb").write_text(
            f"{lab.EICAR_NAME}:0:*:{lab.EICAR.hex()}\n")
        self.configure()

    def configure(self, sections="", **changes):
        values = {"mode": "fixed", "fixed_server": '"127.0.0.1"', "allow_root": "yes",
                  "spool_path": f'"{self.tmp}/spool"', "scan_path": f'"{self.tmp}/temporary"',
                  "signature_path": f'"{self.tmp}/signatures"',
                  "pidfile": f'"{self.tmp}/pid"', "statefile": f'"{self.tmp}/state"',
                  "lock_path": f'"{self.tmp}/lock"', "ratelimit_path": f'"{self.tmp}/rates"',
                  "spool_memory_each": 4096, **changes}
        self.conf = self.file("conf", "".join(
            f"{name} = {value}\n" for name, value in values.items() if value is not None)
            + sections)

    def file(self, name, content):
        path = self.tmp / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def scan(self, message, *arguments, **more):
        """MESSAGE: a path, or bytes that are put in a file."""
        if isinstance(message, bytes):
            message = self.file("message", message)
        environment = dict(os.environ, LC_ALL="C", TMPDIR=str(self.tmp / "temporary"))
        environment.update(more.pop("environment", {}))
        more.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([PROGRAM, "--scan", str(message), *map(str, arguments),
                               str(self.conf)], timeout=PATIENCE, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment, **more)

    def check(self, result, code, *lines, err=r"\A\Z"):
        """The exit status, and what stands in lines of their own (regular expressions)."""
        words = f"{result.stdout}\n{result.stderr}"
        for line in lines:
            self.assertRegex(result.stdout, rf"(?m)^{line}$", words)
        self.assertRegex(result.stderr, err, words)
        self.assertEqual(result.returncode, code, words)

    def begun(self, *arguments, **more):
        """It runs, and ends with the test."""
        process = subprocess.Popen([PROGRAM, "--scan", *map(str, arguments), str(self.conf)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   preexec_fn=lab.die_with_parent, **more)

        def end():
            process.kill()
            process.communicate()
        self.addCleanup(end)
        return process


VIRUS = rf"libclamav +virus +\d+\.\d ms  {lab.EICAR_NAME}(\.UNOFFICIAL)?"
BECAUSE_OF_VIRUS = r"verdict +{}  virus by libclamav, on_virus = {}"


class Answers(Case):
    def test_clean(self):
        message = lab.mail(b"Hello")
        self.check(self.scan(message), DELIVERED, rf"message +\S+, {len(message)} bytes",
                   r"libclamav +clean +\d+\.\d ms", r"verdict +deliver",
                   r"effects +lock no, script no, event no, keep no")

    def test_virus(self):
        for way, mail in (("zip", lab.infected_mail()), ("base64", lab.mail_with(lab.EICAR)),
                          ("plain", lab.mail(lab.EICAR))):
            with self.subTest(way):
                self.check(self.scan(on_disk(mail)), REFUSED, VIRUS,
                           BECAUSE_OF_VIRUS.format("refuse", "refuse"),
                           rf"reply +550 5\.7\.1 Virus found: {lab.EICAR_NAME}\S*")

    def test_virus_as_the_configuration_has_it(self):
        for action, verdict, code in (("pass", "deliver", DELIVERED), ("defer", "defer", DEFERRED),
                                      ("hangup", "hang-up", REFUSED)):
            with self.subTest(action):
                self.configure(on_virus=action)
                result = self.scan(lab.infected_mail())
                self.check(result, code, VIRUS, BECAUSE_OF_VIRUS.format(verdict, action))
                self.assertEqual("\nreply" in result.stdout, action != "pass")

    def test_effects(self):
        self.configure(action_script='"/bin/true"', lock_duration=60,
                       event_url='"http://127.0.0.1:9/"', event_on="{virus}",
                       spool_leave_on="{virus, error}")
        self.check(self.scan(lab.infected_mail()), REFUSED,
                   r"effects +lock yes, script yes, event yes, keep yes")
        self.check(self.scan(lab.mail(b"Hello")), DELIVERED,
                   r"effects +lock no, script no, event no, keep no")

    def test_encrypted(self):
        mail = lab.mail_with(encrypted_zip())
        self.check(self.scan(mail), DELIVERED, r"libclamav +unscannable +\d+\.\d ms  encrypted",
                   r"verdict +deliver  unscannable by libclamav, on_unscannable = pass")
        self.configure(on_unscannable="refuse")
        self.check(self.scan(mail), REFUSED,
                   r"verdict +refuse  unscannable by libclamav, on_unscannable = refuse")
        self.configure(on_unscannable="refuse", scan_encrypted="no")
        self.check(self.scan(mail), DELIVERED, r"libclamav +clean +\d+\.\d ms")

    def test_too_big(self):
        self.configure(scan_max_size=2048, on_unscannable="defer")
        self.check(self.scan(lab.mail(b"x" * 2048)), DEFERRED,
                   r"libclamav +unscannable +too big", r"reply +451 4\.7\.1 .*")
        self.configure(size_limit=2048)
        self.check(self.scan(lab.mail(b"x" * 2048)), REFUSED, r"size_limit +size +limit 2048",
                   r"verdict +refuse  size by size_limit, on_size_limit = refuse",
                   r"reply +552 5\.3\.4 Message too big",
                   r"effects +lock no, script no, event no, keep no")
        self.assertNotIn("libclamav  ", self.scan(lab.infected_mail() + b"x" * 2048).stdout)

    def test_larger_than_memory(self):
        """By way of a file in spool_path, or beside it."""
        mail = lab.mail(*lab.base64_lines(lab.random_bytes(1 << 20)), lab.EICAR)
        self.check(self.scan(on_disk(mail)), REFUSED, VIRUS, rf"message +\S+, {len(mail)} bytes")
        shutil.rmtree(self.tmp / "spool")
        self.check(self.scan(on_disk(mail)), REFUSED, VIRUS)

    def test_nobody_looks(self):
        self.configure(antivirus_type="off")
        self.check(self.scan(lab.infected_mail()), DELIVERED,
                   r"- +antivirus_type and antispam_type are off: nothing looks at the message",
                   r"verdict +deliver")

    def test_policy(self):
        self.configure('policy "trusted" {\n clients = {192.0.2.7}\n servers = {198.51.100.1}\n'
                       " antivirus_type = off\n}\n"
                       'listen "inside" {\n address = ::1\n port = 26\n on_virus = pass\n}\n')
        session = ("--client", "192.0.2.7", "--server", "198.51.100.1")
        self.check(self.scan(lab.infected_mail(), *session), DELIVERED, r"policy +trusted",
                   r"- +antivirus_type .*")
        self.check(self.scan(lab.infected_mail(), *session[:2]), REFUSED, VIRUS)
        self.check(self.scan(lab.infected_mail(), "--listener", "inside"), DELIVERED,
                   BECAUSE_OF_VIRUS.format("deliver", "pass"))
        self.check(self.scan(lab.mail(), "--listener", "outside"), FAULT,
                   err=r'no section listen "outside"')

    def test_only_what_applies_is_loaded(self):
        """Signatures that are not there are not needed where nobody asks for them."""
        self.configure('policy "trusted" {\n clients = {192.0.2.7}\n antivirus_type = off\n}\n',
                       signature_path=f'"{self.tmp}/none"')
        self.check(self.scan(lab.mail(), "--client", "192.0.2.7"), DELIVERED)
        self.check(self.scan(lab.mail()), FAULT, err=rf"{self.tmp}/none")

    def test_nothing_is_left_or_touched(self):
        self.configure(lock_duration=60, ratelimit_period=60, ratelimit_messages=1,
                       spool_leave_on="{always}", action_script=f'"{self.tmp}/script"')
        self.file("script", f"#!/bin/sh\ntouch {self.tmp}/ran\n").chmod(0o755)
        message = self.file("message", lab.infected_mail())
        before = sorted(self.tmp.rglob("*"))
        self.check(self.scan(message), REFUSED,
                   r"effects +lock yes, script yes, event no, keep yes")
        self.assertEqual(sorted(self.tmp.rglob("*")), before)


class Headers(Case):
    """What would be removed and written."""
    FORGED = (b"X-Spam-Status: No, score=-99\nReceived: from a\nSubject: buy\n now\n"
              b"X-Virus-Scanned: by me;\n clean\nAuthentication-Results: gate; auth=pass\n\n"
              b"X-Spam-Flag: text\n")

    def spamd(self, score, **changes):
        scanner = spam.Scanner("spamd", score)
        self.addCleanup(scanner.fini)
        self.configure(antispam_type="spamassassin", antispam_path=scanner.config.split("=")[1],
                       **{"proxy_name": "gate", "delivery": "hold", **changes})

    def changes(self, result):
        return re.findall(r"(?m)^(?:removes|writes) .*$", result.stdout)

    def test_tagged(self):
        self.spamd("15.0", on_spam="tag", result_headers="{virus}")
        result = self.scan(self.FORGED)
        self.check(result, DELIVERED, "verdict +tag  spam by spamassassin, on_spam = tag")
        self.assertEqual(self.changes(result), [
            "removes       X-Spam-Status: No, score=-99",
            "removes       Subject: buy now",
            "removes       X-Virus-Scanned: by me; clean",
            "writes        X-Virus-Scanned: by libclamav at gate; clean",
            "writes        X-Spam-Flag: YES",
            "writes        X-Spam-Score: 15.00",
            "writes        X-Spam-Status: Yes, score=15.00 required=7.00 by=spamassassin"
            " found=RULE_ONE,RULE_TWO",
            "writes        Subject: [SPAM] buy now"])

    def test_of_a_session(self):
        """What no message tells is not made up, but what is forged goes."""
        self.spamd("1.0", result_headers="{auth}", authserv_trusted="{gate}")
        self.assertEqual(self.changes(self.scan(self.FORGED)), [
            "removes       Authentication-Results: gate; auth=pass",
            "writes        Authentication-Results: (SPF and AUTH are known in a session only)"])

    def test_too_large_to_be_held(self):
        self.spamd("15.0", on_spam="tag", delivery="auto", hold_max_size=4096)
        large = self.FORGED + b"x\n" * 2048
        result = self.scan(large)
        self.check(result, DELIVERED, "verdict +deliver  spam by spamassassin, on_spam = tag",
                   "- +larger than hold_max_size = 4096: .* passes untagged")
        self.assertEqual(self.changes(result), ["removes       X-Spam-Status: No, score=-99"])
        self.assertIn("[SPAM]", self.scan(self.FORGED).stdout)

    def test_not_asked_for(self):
        self.spamd("15.0", on_spam="pass")
        self.assertEqual(self.changes(self.scan(self.FORGED)), [])
        self.spamd("15.0", result_headers="{spam}")
        result = self.scan(self.FORGED)         # on_spam = refuse
        self.check(result, REFUSED)
        self.assertEqual(self.changes(result), [])

    def test_streamed(self):
        self.spamd("1.0", delivery="stream", result_headers="{virus, auth}")
        self.assertEqual(self.changes(self.scan(self.FORGED)), [
            "removes       X-Virus-Scanned: by me; clean",
            "removes       Authentication-Results: gate; auth=pass"])

    def test_scanned_without_what_is_removed(self):
        """As in the daemon: it has gone when scanners look."""
        self.configure(result_headers="{virus}", delivery="hold")
        mail = b"X-Virus-Scanned: " + lab.EICAR + b"\n\nHello\n"
        self.check(self.scan(mail), DELIVERED, r"libclamav +clean .*")
        self.configure(delivery="hold")
        self.check(self.scan(mail), REFUSED, VIRUS)

    def test_rspamd(self):
        """Its own changes, too; and what a terminal might take for more than text."""
        scanner = spam.Scanner("rspamd", "rewrite subject 8")
        self.addCleanup(scanner.fini)
        self.configure(antispam_type="rspamd", rspamd_url=scanner.config.split("=")[1],
                       proxy_name="gate", delivery="hold", on_spam_suspect="tag",
                       subject_tag='"=?\xc3\xa4"')
        result = self.scan(b"Subject: \x1b[31m\n\nHello\n")
        self.check(result, DELIVERED, "verdict +tag .*")
        self.assertEqual(self.changes(result)[0], r"removes       Subject: ?[31m")
        self.assertRegex(self.changes(result)[-1], r"writes +Subject: =\?UTF-8\?B\?\S+\?= \?\[31m")


class Clamd(threading.Thread):
    """Reads what it is sent by INSTREAM and says ANSWER; None: nothing, ever."""

    def __init__(self, path, answer):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.answer = answer
        self.asked = threading.Event()
        self.start()

    def run(self):
        peers = []
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            peers.append(peer)              # or it would be closed
            self.asked.set()
            if self.answer is not None:
                self.talk(peer)

    def talk(self, peer):
        with peer, peer.makefile("rb") as file:
            assert file.read(10) == b"zINSTREAM\0"
            while (size := int.from_bytes(file.read(4), "big")) > 0:
                file.read(size)
            peer.sendall(self.answer + b"\0")


class Several(Case):
    """libclamav, and a clamd."""

    def clamd(self, answer, **changes):
        clamd = Clamd(self.tmp / "clamd", answer)
        self.addCleanup(clamd.socket.close)
        self.configure(antivirus_type="{libclamav, clamd}",
                       antivirus_path=f'{{"{self.tmp}/clamd"}}', **changes)
        return clamd

    def test_all_answer(self):
        """Also those that the daemon would not have waited for."""
        self.clamd(b"stream: OK")
        self.check(self.scan(lab.infected_mail()), REFUSED, VIRUS, r"clamd +clean +\d+\.\d ms",
                   BECAUSE_OF_VIRUS.format("refuse", "refuse"))

    def test_one_alone_finds_it(self):
        self.clamd(b"stream: Other FOUND")
        self.check(self.scan(lab.mail()), REFUSED, r"libclamav +clean +.*",
                   r"clamd +virus +\d+\.\d ms  Other", r"reply .*: Other",
                   r"verdict +refuse  virus by clamd, on_virus = refuse")

    def test_one_fails(self):
        self.configure(antivirus_type="{libclamav, clamd}",
                       antivirus_path=f'{{"{self.tmp}/none"}}')
        self.check(self.scan(lab.mail()), DEFERRED, r"libclamav +clean +.*",
                   r"clamd +engine-failed +.*none.*",
                   r"verdict +defer  engine-failed by clamd, on_engine_failed = defer",
                   r"effects .* keep yes", err=r"scanner=clamd")
        self.check(self.scan(lab.infected_mail()), REFUSED, r"clamd +engine-failed +.*",
                   BECAUSE_OF_VIRUS.format("refuse", "refuse"), err=r"scanner=clamd")
        self.configure(antivirus_type="clamd", antivirus_path=f'{{"{self.tmp}/none"}}',
                       ignore_errors="yes")
        self.check(self.scan(lab.mail()), DELIVERED, r"clamd +failed +.*",
                   r"verdict +deliver  failed by clamd, ignore_errors = yes",
                   err=r"scanner=clamd")

    def test_one_does_not_answer(self):
        self.clamd(None, timeout_judging=1)
        watch = lab.Stopwatch()
        self.check(self.scan(lab.mail()), DEFERRED, r"libclamav +clean +.*",
                   r"clamd +engine-failed +no verdict in time")
        self.assertLess(watch.here(), 10)

    def test_interrupted(self):
        clamd = self.clamd(None)
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.begun(self.file("message", lab.mail()))
            self.assertTrue(clamd.asked.wait(PATIENCE))
            clamd.asked.clear()
            time.sleep(0.1)
            watch = lab.Stopwatch()
            process.send_signal(number)
            self.assertEqual(process.wait(PATIENCE), -number)
            self.assertLess(watch.here(), 5)
            self.assertEqual(process.stdout.read(), "")
            self.assertEqual(list((self.tmp / "temporary").iterdir()), [])


class Messages(Case):
    """What a message is like on disk."""

    def size(self, raw, bare=False):
        result = self.scan(raw)
        if bare:
            self.check(result, REFUSED, r"bare_newline +bare-newline *",
                       r"verdict +refuse  bare-newline by bare_newline, on_bare_newline = refuse")
        else:
            self.check(result, DELIVERED)
        return int(re.search(r"(\d+) bytes", result.stdout)[1])

    def test_line_ends(self):
        self.configure(bare_newline="reject")
        self.assertEqual(self.size(b"a\nb\n"), 6)
        self.assertEqual(self.size(b"a\r\nb\r\n"), 6)
        self.assertEqual(self.size(b"a\r\nb\n"), 6)
        self.assertEqual(self.size(b"a\nb"), 6)
        self.assertEqual(self.size(b"\n\n\n"), 6)
        self.assertEqual(self.size(b"x" * 65535 + b"\r\ny\n"), 65540)   # cut between CR and LF
        self.assertEqual(self.size(b"x" * 65536 + b"\ny\n"), 65541)
        self.assertEqual(self.size(b"a\rb\n", bare=True), 6)
        self.assertEqual(self.size(b"a\r\r\nb\r", bare=True), 10)

    def test_stray_newlines_pass(self):
        self.configure(bare_newline="pass")
        self.assertEqual(self.size(b"a\rb\n"), 5)

    def test_dots(self):
        """Such a line ends nothing: what follows is looked at, and no dot is lost."""
        mail = lab.mail(b".", b"..", b".x", lab.EICAR)
        self.check(self.scan(on_disk(mail)), REFUSED, VIRUS, rf"message .*, {len(mail)} bytes")

    def test_nothing(self):
        self.check(self.scan(b""), DELIVERED, r"message +\S+, 0 bytes", r"libclamav +clean +.*")

    def test_anything(self):
        self.configure(bare_newline="reject")
        self.assertEqual(self.size(b"\0\n\0\0\xff\xfe\n"), 9)
        self.assertEqual(self.size(bytes(range(256)).replace(b"\r", b"") * 100), 25602)

    def test_standard_input(self):
        with open(self.file("mail", lab.infected_mail()), "rb") as file:
            self.check(self.scan("-", stdin=file), REFUSED, r"message +standard input, \d+ bytes",
                       VIRUS)

    def test_pipe(self):
        pipe = self.tmp / "pipe"
        os.mkfifo(pipe)
        threading.Thread(target=lambda: pipe.write_bytes(lab.infected_mail()),
                         daemon=True).start()
        self.check(self.scan(pipe), REFUSED, VIRUS)

    def test_terminal(self):
        """It is said what it waits for."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        process = self.begun("-", stdin=theirs)
        os.close(theirs)
        os.write(ours, b"Subject: test\n\nHello\n\x04")
        out, err = process.communicate(timeout=PATIENCE)
        self.assertRegex(err, r"standard input is a terminal: .* Ctrl-D")
        self.assertRegex(out, r"(?m)^verdict +deliver$")
        self.assertEqual(process.returncode, DELIVERED)

    def test_no_message(self):
        self.check(self.scan(self.tmp), FAULT, err=r"is a directory, not a message\n\Z")
        self.check(self.scan(self.tmp / "none"), FAULT, err=r"/none: No such file or directory\n\Z")
        self.check(self.scan("-", stdin=None, preexec_fn=lambda: os.close(0)), DELIVERED,
                   r"message +standard input, 0 bytes")

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_nobody_reads_the_answer(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([PROGRAM, "--scan", "-", self.conf], stdin=subprocess.DEVNULL,
                                  stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE)
        self.assertIn(b"standard output: No space left", done.stderr)
        self.assertEqual(done.returncode, FAULT)


class Callers(Case):
    def test_misuse(self):
        for arguments in (["--scan"], ["--scan", "-"], ["--scan", "-", "a", "b"],
                          ["--scan", "-", self.conf, "--client", "nobody"],
                          ["--scan", "-", self.conf, "--to", "x"],
                          ["--check", self.conf, "--rcpt", "x"]):
            with self.subTest(arguments):
                done = subprocess.run([PROGRAM, *map(str, arguments)], timeout=PATIENCE,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE)
                self.assertEqual((done.returncode, done.stdout), (MISUSE, b""))
                self.assertTrue(done.stderr)

    def test_bad_configuration(self):
        self.file("conf", "antivirus = off\n")
        self.check(self.scan(lab.mail()), FAULT, err=r"conf:1: no such option")

    def test_interrupted(self):
        """While it reads what does not end."""
        process = self.begun("-", stdin=subprocess.PIPE)
        process.stdin.write("Subject: test\n")
        process.stdin.flush()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), -signal.SIGINT)

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_root_reads_no_mail(self):
        """It is set_user who does; but root opens the message, and loads signatures."""
        nobody = pwd.getpwnam("nobody")
        self.configure(set_user='"nobody"', allow_root="no")
        (self.tmp / "signatures").chmod(0o700)
        for name in ("spool", "temporary"):
            shutil.chown(self.tmp / name, "nobody")
        message = self.file("message", lab.infected_mail())
        message.chmod(0o600)
        environment = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        self.check(self.scan(message, environment=environment), REFUSED, VIRUS,
                   err=r"\Atrouble text=\"signatures that change cannot be loaded: .*\n\Z")
        process = self.begun("-", stdin=subprocess.PIPE, env={**os.environ, **environment})
        status = pathlib.Path(f"/proc/{process.pid}/status")
        self.assertTrue(lab.wait_until(
            lambda: f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}"
            in status.read_text(), PATIENCE))

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_root_alone(self):
        self.configure(allow_root="no")
        self.check(self.scan(lab.mail()), FAULT, err=r"name an ordinary user in set_user")

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_anybody(self):
        """Who may not write to the daemon's directories, nor become its user."""
        self.configure(set_user='"root"', chroot_path=f'"{self.tmp}"')
        message = self.file("message", lab.mail(*lab.base64_lines(lab.random_bytes(20000)),
                                                lab.EICAR))
        for path in self.tmp.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        more = {"user": "nobody", "group": "nogroup", "extra_groups": (),
                "environment": {"TMPDIR": "/tmp"}}
        self.check(self.scan(message, **more), REFUSED, VIRUS, err=r"outside of it\n\Z")
        message.chmod(0o600)
        self.check(self.scan(message, **more), FAULT, err=r"message: Permission denied\n\Z")
        message.chmod(0o644)
        (self.tmp / "signatures").chmod(0o700)
        self.check(self.scan(message, **more), FAULT, err=r"signature_path|signatures")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PROGRAM = lab.reachable(sys.argv.pop(1))
    unittest.main(verbosity=2)
