#!/usr/bin/python3
"""SpamAssassin's spamd and rspamd themselves, and spamd's and rspamd's that misbehave.

    spam_test.py PROGRAM [unittest arguments, as: Rspamd.test_actions]
"""
import pathlib
import re
import signal
import socket
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import scanners                         # noqa: E402
import spam                             # noqa: E402
from scanners import CLEAN, TAKEN       # noqa: E402

PROGRAM = lab.program()
SPAM = "550 5.7.1 Message looks like spam"
LATER = "451 4.7.1 Please try again later"
GTUBE = lab.mail(spam.GTUBE, subject="gtube")


def points(number):
    return lab.mail(b"hello", subject=f"points {number}")


class Case(scanners.Case):
    FAILED = "451 4.3.0 Local error, please try again later"
    kind = ""

    def by(self, *servers, **options):
        """A gateway that asks these."""
        option = "rspamd_url" if self.kind == "rspamd" else "antispam_path"
        return self.gateway(PROGRAM, **{"antivirus_type": "off", "antispam_type": self.kind,
                                        option: scanners.listed(*servers), **options})

    def found(self, gateway, words):
        self.assertTrue(gateway.wait_for_log(rf"^found .*{words}"), gateway.log()[-3000:])

    def check_two(self, first, second, address):
        gateway = self.by(address(first), address(second))
        self.check_stand_in(gateway, first, second, GTUBE, SPAM)
        mild = self.by(address(first), on_spam_failed="pass")
        self.assert_delivered(mild, CLEAN)
        ignorant = self.by(address(first), ignore_errors="yes")
        self.assert_delivered(ignorant, CLEAN)
        self.check_back(gateway, first)

    def check_sizes(self, daemon, address):
        """What is too big is not examined; what is spooled to a file is, all of it."""
        gateway = self.by(address(daemon), spam_max_size=400000, spool_memory_each=65536)
        filler = lab.base64_lines(lab.random_bytes(200_000))
        whole, big = (lab.mail(spam.GTUBE, *filler * times, subject="points 15")
                      for times in (1, 2))
        self.assert_refused(gateway, whole, SPAM)
        lab.wait_until(daemon.sizes, 5)         # it may say so after it has answered
        self.assertEqual(daemon.sizes(), [len(whole)])
        self.assert_delivered(gateway, lab.mail(*filler))
        self.assert_delivered(gateway, big)
        lab.wait_until(lambda: len(daemon.sizes()) > 1, 5)
        self.assertEqual(len(daemon.sizes()), 2)

    def check_load(self, daemon, address):
        gateway = self.by(address(daemon), spam_max_load=100000)
        self.assert_refused(gateway, GTUBE, SPAM)

    def check_beside_libclamav(self, daemon, address):
        """Both look; a virus weighs more, and whichever comes first refuses the message."""
        gateway = self.by(address(daemon), antivirus_type="libclamav")
        self.assert_delivered(gateway, CLEAN)
        self.assert_refused(gateway, GTUBE, SPAM)
        self.assertIn("Virus found: Eicar", self.submit(gateway, lab.infected_mail()))
        self.assertRegex(self.submit(gateway, lab.mail(spam.GTUBE, lab.EICAR)),
                         "Virus found: Eicar|looks like spam")
        self.found(gateway, "finding=spam .*by=" + self.kind)
        daemon.signal(signal.SIGSTOP)
        reply, seconds = self.timed(gateway, lab.infected_mail())
        self.assertIn("Virus found: Eicar", reply)
        self.assertLess(seconds, 5)             # nobody waits for the other one

    def check_hangs(self, daemon, address):
        gateway = self.by(address(daemon), timeout_spam=1)
        self.check_given_up(gateway, daemon)
        self.found(gateway, r"finding=spam-failed .*\(timeout_spam\)")

    def check_cancel(self, daemon, address):
        """Clients that go while it looks leave nothing behind."""
        gateway = self.by(address(daemon), timeout_spam=60)
        self.assert_delivered(gateway, CLEAN)
        before = lab.descriptors(gateway.process.pid)
        daemon.signal(signal.SIGSTOP)
        for number in range(1, 11):
            with lab.Client(("127.0.0.1", gateway.port), 30) as client:
                client.hello()
                for command in ("MAIL FROM:<a@b.c>", "RCPT TO:<d@e.f>", "DATA"):
                    client.ask(command)
                client.send(lab.dotted(CLEAN))
                lab.wait_until(lambda: len(gateway.logged("state .*judging")) > number, 5)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         struct.pack("ii", 1, 0))
        self.assertTrue(lab.wait_until(
            lambda: lab.descriptors(gateway.process.pid) <= before, 10))
        daemon.signal(signal.SIGCONT)
        self.assertTrue(lab.wait_until(lambda: self.submit(gateway, GTUBE) == SPAM, 20))


class Spamassassin(Case, unittest.TestCase):
    kind = "spamassassin"

    def setUp(self):
        self.spamd = spam.Spamd()
        self.addCleanup(self.spamd.stop)

    def test_scores(self):
        """Ours is the threshold; what is delivered has its score in the log, too."""
        for server in (self.spamd.socket, f"127.0.0.1:{self.spamd.port}"):
            gateway = self.by(server)
            self.assert_delivered(gateway, CLEAN)
            self.assert_delivered(gateway, lab.mail(b"FOUR-POINTS"))
            self.assertRegex(gateway.logged("^verdict ")[-1],
                             r"finding=clean score=[45]\.\d{3} action=deliver")
            self.assert_refused(gateway, lab.mail(b"FOUR-POINTS, THREE-POINTS"), SPAM)
            self.found(gateway, r"finding=spam name=\S*POINTS_ONE,POINTS_TWO\S* score=7\.\d{3} "
                                r"action=refuse .*by=spamassassin")
            self.assert_refused(gateway, GTUBE, SPAM)
            strict = self.by(server, spam_threshold=4, on_spam="defer",
                             msg_spam_found='"Too much of it"')
            self.assert_refused(strict, lab.mail(b"FOUR-POINTS"), "451 4.7.1 Too much of it")
            mild = self.by(server, spam_threshold=8.25)
            self.assert_delivered(mild, lab.mail(b"FOUR-POINTS, THREE-POINTS"))
            let = self.by(server, on_spam="pass")
            self.assert_delivered(let, GTUBE)
            self.found(let, "finding=spam .*score=1[0-9]{3}.* action=deliver")

    def test_empty(self):
        """To spamd a message of no bytes is one whose length nobody knows."""
        gateway = self.by(self.spamd.socket, nat_header_type="none", timeout_spam=20,
                          spam_threshold=100)
        for _ in range(4):
            reply, seconds = self.timed(gateway, b"")
            self.assertEqual(reply, TAKEN)
            self.assertLess(seconds, 15)
        self.assertEqual(gateway.logged("^trouble"), [])
        self.assert_refused(gateway, GTUBE, SPAM)

    def test_two(self):
        second = spam.Spamd()
        self.addCleanup(second.stop)
        self.check_two(self.spamd, second, lambda daemon: daemon.socket)

    def test_sizes(self):
        self.check_sizes(self.spamd, lambda daemon: daemon.socket)

    def test_beside_libclamav(self):
        self.check_beside_libclamav(self.spamd, lambda daemon: daemon.socket)

    def test_hangs(self):
        self.check_hangs(self.spamd, lambda daemon: daemon.socket)

    def test_cancel(self):
        self.check_cancel(self.spamd, lambda daemon: f"127.0.0.1:{daemon.port}")

    def test_killed(self):
        self.check_killed(self.by(self.spamd.socket), self.spamd, CLEAN)


class Rspamd(Case, unittest.TestCase):
    kind = "rspamd"

    def setUp(self):
        self.rspamd = spam.Rspamd()
        self.addCleanup(self.rspamd.stop)

    def test_actions(self):
        for server in (self.rspamd.url, self.rspamd.socket, self.rspamd.url + "/checkv2"):
            gateway = self.by(server)
            self.assert_delivered(gateway, CLEAN)
            self.assert_refused(gateway, GTUBE, SPAM)
            self.found(gateway, r'finding=spam name="reject: GTUBE" score=15\.000 action=refuse'
                                r".*by=rspamd")
            self.assert_refused(gateway, points(5), LATER)
            self.found(gateway, r'finding=greylist name="greylist: POINTS" score=5\.000')
            self.assert_refused(gateway, lab.mail(b"x", subject="soft"), LATER)
            self.found(gateway, 'finding=greylist name="soft reject')
            self.assert_delivered(gateway, points(6))
            self.found(gateway, r'finding=spam-suspect name="add header: POINTS" score=6\.000 '
                                "action=deliver")
            self.assert_delivered(gateway, points(9))
            self.found(gateway, 'finding=spam-suspect name="rewrite subject')
            self.assert_delivered(gateway, points(3))
            self.assertRegex(gateway.logged("^verdict ")[-1], r"finding=clean score=3\.000")
        other = self.by(self.rspamd.url, on_spam_suspect="refuse", on_greylist="pass",
                        on_spam="hangup", msg_spam_found="No")
        self.assert_refused(other, points(6), "550 5.7.1 No")
        self.assert_delivered(other, points(5))
        self.assert_refused(other, GTUBE, "550 5.7.1 No")

    def test_what_it_is_told(self):
        """What a peer says can end no line: rspamd's own parser is the judge."""
        gateway = self.by(self.rspamd.url)
        with lab.Client(("127.0.0.1", gateway.port), 30) as client:
            client.hello()
            client.ask("EHLO caf\xe9.example")
            client.submit(CLEAN)
            client.ask("MAIL FROM:<>")
            for number in range(150):
                client.ask(f"RCPT TO:<r{number}@example.test>")
            client.ask("DATA")
            client.send(lab.dotted(CLEAN))
            self.assertEqual(client.reply(), TAKEN + "\r\n")
        session = gateway.logged("^verdict ")[0].split(" s=")[1].split()[0]
        first, second = self.rspamd.told()
        self.assertEqual(first, ["127.0.0.1", "caf?.example", "ann@example.test",
                                 "bob@example.test", "nil", session + ".1", "gate.example",
                                 str(len(CLEAN))])
        self.assertEqual(second[2:4], ["", ",".join(f"r{n}@example.test" for n in range(100))])

    def test_user(self):
        """Who has authenticated, by name if that is known; not who has tried."""
        gateway = self.by(self.rspamd.url)
        for auth, user in (("AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldHM=", "alice@example.org"),
                           ("AUTH PLAIN AGV2ZQBn", "nil"),
                           ("AUTH GSSAPI YWxpY2U=", "authenticated")):
            with lab.Client(("127.0.0.1", gateway.port), 30) as client:
                client.hello()
                self.assertRegex(client.ask(auth), "^535" if user == "nil" else "^235")
                self.assertEqual(client.submit(CLEAN)[-1], TAKEN + "\r\n")
            self.assertEqual(self.rspamd.told()[-1][4], user)

    # -- what it would change

    OLD = [b"X-Spamd-Bar: ----", b"X-Old: 1", b"X-Third: 1", b"X-OLD: 2", b"X-Third: 2",
           b"X-Spam-Status: No,\r\n lied", b"X-Third: 3", b"X-Last: 1"]

    @staticmethod
    def wishing(subject):
        """A message that comes with fields which rspamd removes."""
        return (b"\r\n".join([b"X-Wish: change", *Rspamd.OLD, b""])
                + lab.mail(b"hello", subject=subject))

    def fields(self, message):
        head = message.partition(b"\r\n\r\n")[0]
        return re.sub(rb"\r\n[ \t]", b" ", head).split(b"\r\n")

    def held(self, **options):
        return self.by(self.rspamd.url, **{"delivery": "hold", "nat_header_type": "none",
                                           "proxy_name": '"gate.example"', **options})

    def results(self, message, **options):
        """The fields that are put on top, by whoever."""
        gateway = self.held(result_headers="{spam, auth}", on_spam_suspect="pass", **options)
        self.assertEqual(self.submit(gateway, message), TAKEN)
        fields = self.fields(self.sink.messages[-1])
        return fields[:-len(self.fields(message))]

    def test_result_headers(self):
        """Ours stand above rspamd's, of which there are none that contradict them."""
        fields = self.results(lab.mail(subject="points 7"))
        self.assertEqual(fields[:4], [
            b"Authentication-Results: gate.example; none", b"X-Spam-Flag: YES",
            b"X-Spam-Score: 7.00", b"X-Spam-Status: Yes, score=7.00 by=rspamd "
            b"found=add-header:POINTS"])
        self.assertCountEqual(fields[4:], [b"X-Spamd-Bar: +++++++", b"X-Spam-Level: *******"])

    def test_result_headers_with_results(self):
        """What rspamd knows stays; ours says so if that is nothing."""
        message = b"X-Sender: allowed\r\n" + lab.mail(subject="points 1")
        name = b"Authentication-Results: "
        for options, ours in (({}, []), ({"spf": "incoming"}, [b"spf="])):
            found = [field for field in self.results(message, **options)
                     if field.startswith(name)]
            self.assertEqual(len(found), len(ours) + 1, found)
            for field, words in zip(found, [*ours, b"spf=pass"]):
                self.assertTrue(field.startswith(name + b"gate.example; " + words), found)

    def test_headers(self):
        """Of milter_headers and others: what they remove was in the message before, what they
        add is on top, and the rest stays byte for byte."""
        for delivery in ("hold", "auto"):
            gateway = self.held(delivery=delivery)
            message = self.wishing("points 3")
            self.assertEqual(self.submit(gateway, message), TAKEN)
            fields = self.fields(self.sink.messages[-1])
            self.assertCountEqual(fields[:6], [
                b"Authentication-Results: gate.example; none", b"X-Spamd-Bar: +++", b"X-Spam-Level: ***", b"X-Spam-Status: No, score=3.00",
                b"X-Twice: a", b"X-Twice: b X-Evil: c"])
            self.assertLess(fields.index(b"X-Twice: a"), fields.index(b"X-Twice: b X-Evil: c"))
            self.assertEqual(fields[6:], [b"X-Wish: change", b"X-Third: 1", b"X-Third: 2",
                                          b"X-Last: 1", *self.fields(lab.mail(subject="points 3"))])
            self.assertTrue(self.sink.messages[-1].endswith(b"\r\n\r\nhello\r\n"))

    def test_no_headers(self):
        """Not if that is not wanted, nor where the server has the header already."""
        message = self.wishing("points 3")
        self.assert_delivered(self.held(rspamd_headers="no"), message)
        self.assert_delivered(self.by(self.rspamd.url, nat_header_type="none"), message)

    def test_subject(self):
        """Its new subject marks a message that is to be marked, and no other."""
        for subject, new in (("points 9", b"*** SPAM *** points 9"),
                             ("points 9 caf\xe9", b"=?UTF-8?Q?=2A=2A=2A_SPAM_")):
            message = lab.mail(b"hello", subject=subject)
            for action, expected in (("pass", subject.encode()), ("tag", new)):
                self.assertEqual(self.submit(self.held(on_spam_suspect=action), message), TAKEN)
                subjects = [field for field in self.fields(self.sink.messages[-1])
                            if field.lower().startswith(b"subject:")]
                self.assertEqual(len(subjects), 1)
                self.assertTrue(subjects[0].startswith(b"Subject: " + expected), subjects)

    def test_two(self):
        second = spam.Rspamd()
        self.addCleanup(second.stop)
        self.check_two(self.rspamd, second, lambda daemon: daemon.url)

    def test_sizes(self):
        self.check_sizes(self.rspamd, lambda daemon: daemon.url)

    def test_beside_libclamav(self):
        self.check_beside_libclamav(self.rspamd, lambda daemon: daemon.url)

    def test_hangs(self):
        self.check_hangs(self.rspamd, lambda daemon: daemon.url)

    def test_cancel(self):
        self.check_cancel(self.rspamd, lambda daemon: daemon.url)

    def test_killed(self):
        self.check_killed(self.by(self.rspamd.url), self.rspamd, CLEAN)


class Both(Case, unittest.TestCase):
    def test_both(self):
        """Each finds what it knows; one that fails is not made up for by the other."""
        spamd, rspamd = spam.Spamd(), spam.Rspamd()
        self.addCleanup(spamd.stop)
        self.addCleanup(rspamd.stop)
        gateway = self.gateway(
            PROGRAM, antivirus_type="off", antispam_type="{spamassassin, rspamd}",
            antispam_path=f'{{"{spamd.socket}"}}', rspamd_url=f'{{"{rspamd.url}"}}')
        self.assert_delivered(gateway, CLEAN)
        self.assert_refused(gateway, lab.mail(b"FOUR-POINTS, THREE-POINTS"), SPAM)
        self.assert_refused(gateway, points(15), SPAM)
        self.assert_refused(gateway, GTUBE, SPAM)
        rspamd.kill()
        self.assert_refused(gateway, CLEAN, self.FAILED)
        self.assert_refused(gateway, GTUBE, SPAM)

    def test_results(self):
        """spamd's finding is what is told, above what rspamd has to say."""
        spamd, rspamd = spam.Spamd(), spam.Rspamd()
        self.addCleanup(spamd.stop)
        self.addCleanup(rspamd.stop)
        gateway = self.gateway(
            PROGRAM, antivirus_type="off", antispam_type="{spamassassin, rspamd}",
            antispam_path=f'{{"{spamd.socket}"}}', rspamd_url=f'{{"{rspamd.url}"}}',
            delivery="hold", nat_header_type="none", on_spam="tag", result_headers="{spam}")
        message = lab.mail(b"FOUR-POINTS, THREE-POINTS")
        self.assertEqual(self.submit(gateway, message), TAKEN)
        head = self.sink.messages[-1].partition(b"\r\n\r\n")[0]
        self.assertRegex(head, rb"^X-Spam-Flag: YES\r\nX-Spam-Score: [7-9]\.")
        self.assertRegex(head, rb"X-Spam-Status: Yes, score=[^ ]+ by=spamassassin,rspamd\s")
        self.assertEqual(head.count(b"X-Spam-Status"), 1)


if __name__ == "__main__":
    lab.need_root()
    lab.need_programs("spamd", "rspamd")
    lab.main()
