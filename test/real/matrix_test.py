#!/usr/bin/python3
"""Every scanner, and several of them together, against every kind of message, pipelined and
not: the reply, the bytes that the server got, the log and the counters.

    matrix_test.py PROGRAM [unittest arguments, as: Matrix.test_clamd]
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import scanners                         # noqa: E402
import spam                             # noqa: E402
from scanners import FAILED, TAKEN      # noqa: E402

PROGRAM = lab.program()
VIRUS = r"550 5\.7\.1 Virus found: Eicar-Test-Signature\S*"
SPAM = r"550 5\.7\.1 Message looks like spam"
HANGS = 20              # seconds that nobody may wait for

PARTED = b"..dots|.|..|.x|text|" + b"x" * 2500 + b"|\xe4\xf6\xfc \xe2\x82\xac \xff\xfe|\0\0|.|"

MESSAGES = {
    "clean": lab.mail(b"Hello", subject="clean"),
    "plain": lab.mail(lab.EICAR, subject="plain"),
    "base64": lab.mail_with(lab.EICAR, name="a.com", subject="base64"),
    "zip": lab.infected_mail("zip"),
    "gtube": lab.mail(spam.GTUBE, subject="gtube"),
    "both": lab.mail(lab.EICAR, spam.GTUBE, subject="both"),
    "big": lab.mail(*lab.base64_lines(lab.random_bytes(750_000)), subject="big"),
    "late": lab.mail(*lab.base64_lines(lab.random_bytes(75_000, 2)), lab.EICAR, subject="late"),
    "odd": lab.mail(*PARTED.split(b"|"), subject="odd"),
}
LARGE = {"big"}                         # more than spam_max_size
INFECTED, UNWANTED = {"plain", "base64", "zip", "both", "late"}, {"gtube", "both"}

# By scanner: its program, what it is called in the log, and what it finds.
SCANNERS = {
    "libclamav": (None, "libclamav", "virus"),
    "clamd": ("clamd", "clamd", "virus"),
    "icap": ("c-icap", "icap", "virus"),
    "spamassassin": ("spamd", "spamassassin", "spam"),
    "rspamd": ("rspamd", "rspamd", "spam"),
}
COUNTERS = {"virus": "mails_infected", "spam": "mails_spam", "clean": "mails_clean"}
PASS = ("clean", "skipped")             # by nobody: it was not looked at

started = {}            # the scanners, once for all
cells = {}              # by row and column: what was found, and when, twice


def is_here(name):
    return SCANNERS[name][0] is None or any(
        os.access(f"{directory}/{SCANNERS[name][0]}", os.X_OK)
        for directory in ("/usr/bin", "/usr/sbin"))


def scanner(name):
    if not is_here(name):
        raise unittest.SkipTest(f"not installed: {SCANNERS[name][0]} (sh test/install.sh test)")
    if SCANNERS[name][2] == "spam" and os.geteuid() != 0:
        raise unittest.SkipTest(f"needs root: {SCANNERS[name][0]} becomes another user")
    if name not in started and name != "libclamav":
        make = {"clamd": scanners.Clamd, "icap": lambda: scanners.Icap(clamd=scanner("clamd")),
                "spamassassin": spam.Spamd, "rspamd": spam.Rspamd}
        started[name] = make[name]()
    return started.get(name)


def print_cells():
    """What was found, by whom if there are several, and the milliseconds that the slower of
    the two replies took from the final dot on."""
    rows = {row for row, _ in cells}
    if not rows:
        return
    print(f"{'':32}" + "".join(f"{column:>14}" for column in MESSAGES))
    for row in sorted(rows):
        print(f"{row:32}", end="")
        for column in MESSAGES:
            words, times = zip(*cells.get((row, column), [("-", 0)]))
            print(f"{'/'.join(sorted(set(words))) + ' %d' % (1000 * max(times)):>14}", end="")
        print()


def tearDownModule():
    print_cells()
    for daemon in reversed(started.values()):
        daemon.stop()


def options_for(names):
    """Of a gateway that asks these."""
    def words(kind):
        return "{" + ", ".join(name for name in names if SCANNERS[name][2] == kind) + "}"
    options = {"antivirus_type": words("virus"), "antispam_type": words("spam")}
    for name, option, server in (
            ("clamd", "antivirus_path", lambda daemon: daemon.socket),
            ("icap", "icap_url", lambda daemon: daemon.url + "/avscan"),
            ("spamassassin", "antispam_path", lambda daemon: daemon.socket),
            ("rspamd", "rspamd_url", lambda daemon: daemon.url)):
        if name in names:
            options[option] = '{"' + server(scanner(name)) + '"}'
    return options


class Case(scanners.Case, unittest.TestCase):
    def gateway_for(self, *names, **options):
        for name in names:
            scanner(name)
        gateway = self.gateway(PROGRAM, on_unscannable="refuse",
                               **{**options_for(names), **options})
        return gateway

    def hang(self, name):
        """It is stopped, all of it, and goes on when the test is over.  Returns what lets it
        go on before."""
        def signal_all(number):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        pids = spam.Tree.pids(scanner(name))
        signal_all(signal.SIGSTOP)
        self.addCleanup(signal_all, signal.SIGCONT)
        return lambda: signal_all(signal.SIGCONT)

    def last_finding(self, gateway):
        (line,) = gateway.logged(r"^(?:verdict|found) .*finding=")[-1:] or [""]
        return dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))


class Matrix(Case):
    """Rows are scanners, columns are messages; each pipelined and not."""
    DELIVERY = "stream"

    def counters(self, gateway):
        state = self.state / "state"
        state.unlink(missing_ok=True)
        gateway.process.send_signal(signal.SIGUSR1)
        self.assertTrue(lab.wait_until(state.exists, 20, 0.005))
        found = dict(re.findall(r"(?m)^(\w+): (\d+)$", state.read_text()))
        return {name: int(found[name]) for name in ("mails", *COUNTERS.values())}

    @staticmethod
    def timed_reply(client, sent):
        client.send(sent)
        before = time.monotonic()
        return client.reply().rstrip("\r\n"), time.monotonic() - before

    def talk(self, gateway, message, pipelined):
        """The reply to the message, and how long it took."""
        if not pipelined:
            with lab.Client(("127.0.0.1", gateway.port), 60) as client:
                client.hello()
                client.ask("MAIL FROM:<ann@example.test>")
                client.ask("RCPT TO:<bob@example.test>")
                self.assertRegex(client.ask("DATA"), "^354 ")
                return self.timed_reply(client, lab.dotted(message))
        with lab.Client(("127.0.0.1", gateway.port), 60) as client:
            client.hello()
            client.send(b"MAIL FROM:<ann@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")
            self.assertRegex([client.reply() for _ in range(3)][-1], "^354 ")
            reply = self.timed_reply(client, lab.dotted(message) + b"RSET\r\nQUIT\r\n")
            last = [client.reply() for _ in range(2)]
            self.assertRegex(last[0], r"^250 |^[45]\d\d ")
            self.assertRegex(last[1], r"^221 ")
            return reply

    def expected(self, names, column):
        """What may be found, and by whom."""
        kinds = {"virus": column in INFECTED, "spam": column in UNWANTED}
        found = [(kind, SCANNERS[name][1]) for name in names
                 for kind in (SCANNERS[name][2],) if kinds[kind]]
        if column in LARGE and all(SCANNERS[name][2] == "spam" for name in names):
            return [("skipped", None)]
        return found or [("clean", None)]

    def check_cell(self, gateway, names, column, pipelined):
        message, before = MESSAGES[column], self.counters(gateway)
        delivered, asked = len(self.sink.messages), self.sink.commands.count("DATA")
        reply, seconds = self.talk(gateway, message, pipelined)
        finding = self.last_finding(gateway)
        got = (finding.get("finding"), finding.get("by"))
        self.assertIn(got, self.expected(names, column), gateway.log()[-2000:])
        self.assertRegex(reply, {"virus": VIRUS, "spam": SPAM}.get(got[0], TAKEN) + r"\Z")
        self.assertEqual(finding["action"], "deliver" if got[0] in PASS else "refuse")
        row = ("held: " if self.DELIVERY == "hold" else "") + ", ".join(names)
        cells.setdefault((row, column), []).append((got[0], seconds))
        if got[0] == "virus":
            self.assertIn("Eicar-Test-Signature", finding["name"])
        self.assertEqual(self.sink.messages[delivered:],
                         [message] if got[0] in PASS else [])
        self.assertEqual(self.sink.commands.count("DATA") - asked,
                         self.DELIVERY == "stream" or got[0] in PASS)
        after = self.counters(gateway)
        grown = {name for name in after if after[name] - before[name] == 1}
        self.assertEqual(grown, {"mails", COUNTERS.get(got[0], "mails")}, (before, after))

    def check_row(self, *names):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="gated-matrix-"))
        self.addCleanup(shutil.rmtree, self.state)
        gateway = self.gateway_for(*names, statefile_type="{flat}",
                                   statefile=f'"{self.state}/state"',
                                   delivery=self.DELIVERY, rspamd_headers="no")
        for column in MESSAGES:
            for pipelined in (False, True):
                with self.subTest(message=column, pipelined=pipelined):
                    self.check_cell(gateway, names, column, pipelined)
        self.assertEqual(gateway.logged("^trouble"), [])

    def test_libclamav(self):
        self.check_row("libclamav")

    def test_clamd(self):
        self.check_row("clamd")

    def test_icap(self):
        self.check_row("icap")

    def test_spamassassin(self):
        self.check_row("spamassassin")

    def test_rspamd(self):
        self.check_row("rspamd")

    def test_two_for_viruses(self):
        self.check_row("libclamav", "clamd")

    def test_libclamav_and_icap(self):
        self.check_row("libclamav", "icap")

    def test_clamd_and_icap(self):
        self.check_row("clamd", "icap")

    def test_three_for_viruses(self):
        self.check_row("libclamav", "clamd", "icap")

    def test_all_kinds(self):
        self.check_row("libclamav", "spamassassin", "rspamd")


class HeldMatrix(Matrix):
    """The same, and of what is refused the server has not seen the DATA."""
    DELIVERY = "hold"


class FirstCertain(Case):
    """The first answer that refuses is the answer, whoever else still looks."""

    def check_not_waited(self, gateway, column, finding, by):
        reply, seconds = self.timed(gateway, MESSAGES[column])
        self.assertRegex(reply, {"virus": VIRUS, "spam": SPAM}[finding])
        self.assertLess(seconds, HANGS / 4)
        found = self.last_finding(gateway)
        self.assertEqual((found["finding"], found["by"]), (finding, by))

    def check_hanging(self, hangs, others, column, finding, by):
        gateway = self.gateway_for(*others, hangs, timeout_spam=HANGS, timeout_scanner=HANGS)
        self.assert_delivered(gateway, MESSAGES["odd"])
        self.hang(hangs)
        for _ in range(3):
            self.check_not_waited(gateway, column, finding, by)
        return gateway

    def test_spamd_hangs(self):
        self.check_hanging("spamassassin", ["libclamav"], "zip", "virus", "libclamav")

    def test_rspamd_hangs(self):
        self.check_hanging("rspamd", ["libclamav"], "both", "virus", "libclamav")

    def test_clamd_hangs(self):
        self.check_hanging("clamd", ["rspamd"], "both", "spam", "rspamd")

    def test_icap_hangs(self):
        self.check_hanging("icap", ["clamd"], "zip", "virus", "clamd")

    def test_what_hangs_is_waited_for_otherwise(self):
        """It may still find something: nothing passes before its time is over."""
        gateway = self.gateway_for("libclamav", "spamassassin", timeout_spam=1,
                                   on_spam_failed="pass")
        self.hang("spamassassin")
        reply, seconds = self.timed(gateway, MESSAGES["clean"])
        self.assertEqual(reply, TAKEN)
        self.assertGreater(seconds, 0.9)
        self.assertEqual(self.last_finding(gateway)["finding"], "spam-failed")

    def test_the_graver_one(self):
        """Where spam is only deferred, a virus is waited for, and wins."""
        gateway = self.gateway_for("clamd", "rspamd", on_spam="defer")
        reply = self.submit(gateway, MESSAGES["gtube"])
        self.assertEqual(reply, "451 4.7.1 Message looks like spam")
        wait = threading.Timer(1.0, self.hang("clamd"))
        wait.start()
        reply, seconds = self.timed(gateway, MESSAGES["both"])
        wait.join()
        self.assertRegex(reply, VIRUS)
        self.assertGreater(seconds, 0.9)
        self.assertEqual(self.last_finding(gateway)["finding"], "virus")

    def test_a_virus_that_passes(self):
        """It ends nothing, and hides no spam."""
        gateway = self.gateway_for("libclamav", "rspamd", on_virus="pass")
        self.assert_delivered(gateway, MESSAGES["zip"])
        self.assertRegex(self.submit(gateway, MESSAGES["both"]), SPAM)


class Explained(Case):
    """smtp-gated --scan says of each message what becomes of it in the daemon, and what all
    scanners find."""

    def explain(self, gateway, message, *more):
        self.assertTrue(lab.wait_until(lambda: len(gateway.logged("^connect")) ==
                                       len(gateway.logged("^close")), 20))
        before = gateway.logged(" s=")
        done = subprocess.run([PROGRAM, "--scan", "-", *more, gateway.directory + "/conf"],
                              input=message, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=60, check=False)
        self.assertEqual(done.stderr, b"")
        self.assertEqual(gateway.logged(" s="), before)         # which serves all the while
        return done.returncode, re.sub(r"  +", " ", done.stdout.decode())

    def check(self, gateway, names, column):
        code, words = self.explain(gateway, MESSAGES[column])
        reply = self.submit(gateway, MESSAGES[column])
        kinds = {"virus": column in INFECTED, "spam": column in UNWANTED}
        for name in names:
            _, by, finds = SCANNERS[name]
            clean = "skipped" if finds == "spam" and column in LARGE else "clean"
            self.assertRegex(words, rf"(?m)^{by} {finds if kinds[finds] else clean} ")
        self.assertEqual(code, 6 if any(kinds.values()) else 0)
        if column == "both":            # here the graver one, there the first one
            self.assertRegex(words, rf"(?m)^reply {VIRUS}$")
        elif any(kinds.values()):
            self.assertIn(f"\nreply {reply}\n", words)
        else:
            self.assertIn("\nverdict deliver\n", words)
            self.assertEqual(reply, TAKEN)

    def test_as_in_the_daemon(self):
        names = ("libclamav", "clamd", "spamassassin", "rspamd")
        gateway = self.gateway_for(*names)
        for column in MESSAGES:
            with self.subTest(message=column):
                self.check(gateway, names, column)

    def test_scores(self):
        gateway = self.gateway_for("spamassassin", "rspamd")
        _, words = self.explain(gateway, lab.mail(b"FOUR-POINTS", subject="points 7"))
        self.assertRegex(words, r"(?m)^spamassassin clean [\d.]+ ms score [45]\.\d")
        self.assertRegex(words, r"(?m)^rspamd spam-suspect [\d.]+ ms score 7\.\d")
        self.assertRegex(words, r"(?m)^verdict deliver spam-suspect by rspamd, "
                                r"on_spam_suspect = pass$")

    def test_envelope(self):
        gateway = self.gateway_for("rspamd")
        self.explain(gateway, MESSAGES["clean"], "--client", "192.0.2.7", "--helo", "mx.example",
                     "--from", "ann@example.org", "--rcpt", "bob@example.net")
        self.assertEqual(scanner("rspamd").told()[-1][:4],
                         ["192.0.2.7", "mx.example", "ann@example.org", "bob@example.net"])
        self.explain(gateway, MESSAGES["clean"])        # nothing is known


class Killed(Case):
    """One of two, while it looks at messages; the other one has said that they are clean."""

    def check(self, action, reply):
        gateway = self.gateway_for("libclamav", "clamd", on_engine_failed=action,
                                   log_level="debug")
        clamd, replies, before = scanner("clamd"), [], len(self.sink.messages)
        self.assert_delivered(gateway, MESSAGES["clean"])
        clamd.signal(signal.SIGSTOP)
        threads = [threading.Thread(
            target=lambda: replies.append(self.submit(gateway, MESSAGES["odd"])))
            for _ in range(4)]
        for thread in threads:
            thread.start()
        self.assertTrue(lab.wait_until(
            lambda: len(gateway.logged("^state .*to=judging")) == 1 + len(threads), 30))
        time.sleep(0.5)                 # libclamav has answered, and nobody was told
        self.assertEqual(replies, [])
        clamd.kill()
        try:
            for thread in threads:
                thread.join()
            self.assertEqual(replies, [reply] * len(threads))
            found = gateway.logged("^found .*finding=engine-failed .*by=clamd")
            self.assertEqual(len(found), len(threads), gateway.log()[-2000:])
            self.assertRegex(self.submit(gateway, MESSAGES["zip"]), VIRUS)
            self.assertEqual(self.submit(gateway, MESSAGES["clean"]), reply)
        finally:
            clamd.start()
        passed = len(threads) if reply == TAKEN else 0
        self.assertEqual(self.sink.messages[before:],
                         [MESSAGES["clean"]] + [MESSAGES["odd"]] * passed
                         + [MESSAGES["clean"]] * bool(passed), gateway.log())

    def test_deferred(self):
        self.check("defer", FAILED)

    def test_passed(self):
        self.check("pass", TAKEN)


if __name__ == "__main__":
    lab.main()
