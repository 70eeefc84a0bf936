#!/usr/bin/python3
"""Dovecot behind the gateway, which takes mail by LMTP; clients of SMTP and of LMTP in front.

    lmtp_test.py PROGRAM [unittest arguments, as: Held.test_smtp]
"""
import pathlib
import re
import smtplib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import dovecot                          # noqa: E402
import lab                              # noqa: E402

PROGRAM = lab.program()
MARK = b"X-Begin: here\r\n"             # what stands above it, Dovecot has added
SENDER = "ann@example.test"

server = None
boxes = 0


def setUpModule():
    global server
    lab.need_root()
    lab.need_programs("dovecot")
    if not pathlib.Path("/usr/lib/dovecot/lmtp").exists():
        lab.skip_all("not installed: dovecot-lmtpd (sh test/install.sh test)")
    server = dovecot.Dovecot()


def tearDownModule():
    server.stop()


def new_gateway(port, **options):
    return lab.Gateway(PROGRAM, {
        "allow_root": "yes", "mode": "fixed", "fixed_server": '"127.0.0.1"',
        "fixed_server_port": port, **options})


def address(box):
    return f"{box}@example.test"


class Ways:
    """What holds for both ways to deliver."""
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.gateway = new_gateway(server.port, **cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()

    def setUp(self):
        self.log_from = len(self.gateway.log())

    def new_boxes(self, count):
        global boxes
        boxes += count
        return [f"box{boxes - i}" for i in range(count)]

    def open(self, kind):
        client = kind("127.0.0.1", self.gateway.port, local_hostname="client.example")
        client.sock.settimeout(30)
        self.addCleanup(client.close)
        client.ehlo_or_helo_if_needed()
        return client

    def begin(self, client, *names):
        """The codes of RCPT; DATA is answered with 354."""
        self.assertEqual(client.mail(SENDER)[0], 250)
        codes = [client.rcpt(address(name))[0] for name in names]
        self.assertEqual(client.docmd("DATA")[0], 354)
        return codes

    def send(self, client, message, replies):
        """The replies to MESSAGE; one too many would be taken for the next command's."""
        client.send(lab.dotted(message))
        return [client.getreply() for _ in range(replies)]

    def codes(self, replies):
        return [code for code, _ in replies]

    def submit(self, client, names, message, replies):
        self.begin(client, *names)
        return self.codes(self.send(client, message, replies))

    def assertHas(self, box, *messages):
        got = [mail[mail.find(MARK.replace(b"\r\n", b"\n")):] for mail in server.delivered(box)]
        self.assertEqual(sorted(got), sorted(m.replace(b"\r\n", b"\n") for m in messages))

    def logged(self, pattern):
        found = lab.wait_until(
            lambda: re.search(pattern, self.gateway.log()[self.log_from:], re.M), 10)
        self.assertTrue(found, f"{pattern} is not in the log:\n"
                        + self.gateway.log()[self.log_from:])

    message = MARK + lab.mail(b"At noon?", b".", b"..two", b"")
    big = MARK + lab.mail(*[b".line %d" % i + b"x" * (i % 70) for i in range(20000)])

    def test_smtp(self):
        names = self.new_boxes(3)
        client = self.open(smtplib.SMTP)
        self.assertFalse(client.sendmail(SENDER, [address(name) for name in names], self.message))
        self.assertFalse(client.sendmail(SENDER, [address(name) for name in names], self.big))
        self.assertEqual(client.quit()[0], 221)
        for name in names:
            self.assertHas(name, self.message, self.big)
        self.logged(r"^delivered .*accepted=yes code=250 .*rcpts=3 took=3 refused=0")
        self.logged(r"^close .*end=client-quit .*mails=2 delivered=2")

    def test_smtp_helo(self):
        names = self.new_boxes(2)
        with lab.Client(("127.0.0.1", self.gateway.port)) as client:
            client.reply()
            self.assertRegex(client.ask("HELO client.example"), r"^250 [^\n]*\n$")
            client.ask("MAIL FROM:<ann@example.test>")
            for name in names:
                client.ask(f"RCPT TO:<{address(name)}>")
            client.ask("DATA")
            client.send(lab.dotted(self.message))
            self.assertRegex(client.reply(), r"^250 ")
            self.assertRegex(client.ask("NOOP"), r"^250 ")
            self.assertRegex(client.ask("QUIT"), r"^221 ")
        for name in names:
            self.assertHas(name, self.message)

    def test_lmtp(self):
        names = self.new_boxes(3)
        client = self.open(smtplib.LMTP)
        self.begin(client, *names)
        replies = self.send(client, self.big, 3)
        self.assertEqual(self.codes(replies), [250] * 3)
        for name, (_, words) in zip(names, replies):
            self.assertIn(address(name).encode(), words)
            self.assertHas(name, self.big)
        self.assertEqual(client.quit()[0], 221)

    def test_the_same_twice(self):
        [name] = self.new_boxes(1)
        client = self.open(smtplib.LMTP)
        self.assertEqual(self.submit(client, [name, name], self.message, 2), [250, 250])
        self.assertEqual(client.noop()[0], 250)

    def test_unknown_recipient(self):
        names = self.new_boxes(2)
        for kind, replies in ((smtplib.SMTP, 1), (smtplib.LMTP, 2)):
            client = self.open(kind)
            self.assertEqual(self.begin(client, names[0], "nobody", names[1]), [250, 550, 250])
            self.assertEqual(self.codes(self.send(client, self.message, replies)),
                             [250] * replies)
            self.assertEqual(client.quit()[0], 221)
        for name in names:
            self.assertHas(name, self.message, self.message)

    def test_no_recipient(self):
        client = self.open(smtplib.SMTP)
        client.mail(SENDER)
        self.assertEqual(client.rcpt(address("nobody"))[0], 550)
        self.assertEqual(client.docmd("DATA")[0], 503)
        self.assertEqual(client.quit()[0], 221)

    def test_mixed_lmtp(self):
        [name] = self.new_boxes(1)
        client = self.open(smtplib.LMTP)
        replies = self.submit(client, ["full", name, "broken"], self.message, 3)
        self.assertEqual([code // 100 for code in replies], [5, 2, 4])
        self.assertHas(name, self.message)
        self.assertEqual(client.quit()[0], 221)
        self.logged(r"^delivered .*accepted=some code=4.. .*rcpts=3 took=1 refused=2")
        self.logged(r"^close .*mails=1 delivered=1")

    def test_mixed_smtp(self):
        [name] = self.new_boxes(1)
        client = self.open(smtplib.SMTP)
        replies = self.submit(client, [name, "full", "broken"], self.message, 1)
        self.assertEqual(replies[0] // 100, 4)
        replies = self.submit(client, [name, "full"], self.message, 1)
        self.assertEqual(replies[0] // 100, 5)
        self.assertHas(name, self.message, self.message)
        self.assertEqual(client.quit()[0], 221)
        self.logged(r"^delivered .*accepted=some code=5.. .*rcpts=2 took=1 refused=1")
        self.logged(r"^close .*mails=2 delivered=0")

    def infected(self, client, replies):
        """The codes; what was clean before and what may come behind is delivered."""
        names = self.new_boxes(2)
        self.assertEqual(self.submit(client, names, self.message, replies), [250] * replies)
        self.assertEqual(self.submit(client, names, lab.infected_mail(), replies),
                         [550] * replies)
        self.behind(client, names, replies)

    def test_infected_smtp(self):
        self.infected(self.open(smtplib.SMTP), 1)

    def test_infected_lmtp(self):
        self.infected(self.open(smtplib.LMTP), 2)


class Held(Ways, unittest.TestCase):
    """The session goes on."""
    options = {"server_protocol": "lmtp", "delivery": "hold"}

    def behind(self, client, names, replies):
        self.assertEqual(self.submit(client, names, self.big, replies), [250] * replies)
        self.assertEqual(client.quit()[0], 221)
        for name in names:
            self.assertHas(name, self.message, self.big)

    def test_group(self):
        """Two mails and QUIT in one segment."""
        names = self.new_boxes(2)
        envelope = "".join([f"MAIL FROM:<{SENDER}>\r\n",
                            *(f"RCPT TO:<{address(name)}>\r\n" for name in names),
                            "DATA\r\n"]).encode()
        with lab.Client(("127.0.0.1", self.gateway.port)) as client:
            client.hello()
            client.send(envelope + lab.dotted(self.message) + envelope +
                        lab.dotted(lab.infected_mail()) + b"QUIT\r\n")
            replies = [client.reply()[:3] for _ in range(11)]
        self.assertEqual(replies, ["250", "250", "250", "354", "250",
                                   "250", "250", "250", "354", "550", "221"])
        for name in names:
            self.assertHas(name, self.message)


class Streamed(Ways, unittest.TestCase):
    """The server is gone after a refusal."""
    options = {"server_protocol": "lmtp", "delivery": "stream"}

    def behind(self, client, names, replies):
        self.assertEqual(client.mail(SENDER)[0], 451)
        self.assertEqual(client.quit()[0], 221)
        for name in names:
            self.assertHas(name, self.message)


class ByItself(unittest.TestCase):
    """Nothing is set: a client of LMTP finds its server by itself."""

    def test_lmtp(self):
        gateway = new_gateway(server.port, delivery="hold")
        self.addCleanup(gateway.stop)
        with smtplib.LMTP("127.0.0.1", gateway.port, local_hostname="client.example") as client:
            client.ehlo_or_helo_if_needed()
            for message, code in ((Ways.message, 250), (lab.infected_mail(), 550)):
                client.mail(SENDER)
                for name in ("box59", "box60"):
                    self.assertEqual(client.rcpt(address(name))[0], 250)
                client.docmd("DATA")
                client.send(lab.dotted(message))
                self.assertEqual([client.getreply()[0] for _ in range(2)], [code, code])
        self.assertEqual([len(server.delivered(name)) for name in ("box59", "box60")], [1, 1])


class Released(unittest.TestCase):
    """A message that was kept is sent to the mailboxes later."""

    def setUp(self):
        self.gateway = new_gateway(server.port, server_protocol="lmtp", delivery="hold",
                                   spool_leave_on="{virus}")
        self.addCleanup(self.gateway.clear)

    def keep(self, *names):
        """Its id."""
        with smtplib.SMTP("127.0.0.1", self.gateway.port, local_hostname="c.example") as client:
            with self.assertRaises(smtplib.SMTPDataError):
                client.sendmail(SENDER, [address(name) for name in names], lab.infected_mail())
        self.assertTrue(self.gateway.wait_for_log(r"^kept "))
        return re.search(r"^kept .*\bid=(\S+)", self.gateway.log(), re.M)[1]

    def release(self, name):
        return subprocess.run(
            [PROGRAM, "--quarantine", self.gateway.directory + "/conf", "release", name],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=60, check=False, text=True)

    def test_all(self):
        done = self.release(self.keep("box57", "box58"))
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual([len(server.delivered(name)) for name in ("box57", "box58")], [1, 1])

    def test_some(self):
        done = self.release(self.keep("full", "box56"))
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"1 of 2 recipients are refused.*RCPT full@.*: 552 ")
        self.assertEqual(len(server.delivered("box56")), 1)


class Introduced(unittest.TestCase):
    """XCLIENT, which Dovecot takes from those that it trusts."""

    def test_address(self):
        trusting = dovecot.Dovecot(trusted="127.0.0.0/8")
        self.addCleanup(trusting.stop)
        gateway = new_gateway(trusting.port, mode='"fixed+xclient"', xclient_name="no",
                              server_protocol="lmtp")
        self.addCleanup(gateway.stop)
        with smtplib.SMTP("127.0.0.1", gateway.port, local_hostname="client.example",
                          source_address=("127.0.0.9", 0)) as client:
            self.assertFalse(client.sendmail(SENDER, [address("box1")], Ways.message))
        [mail] = trusting.delivered("box1")
        self.assertRegex(mail, rb"(?s)^.*Received: from client\.example \(\[127\.0\.0\.9\]\)")


if __name__ == "__main__":
    lab.main()
