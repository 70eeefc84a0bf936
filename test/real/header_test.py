#!/usr/bin/python3
"""The header that the gateway puts into mail, as Postfix delivers it.

    header_test.py PROGRAM [unittest arguments, as: Place.test_blank]
"""
import pathlib
import re
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import postfix                          # noqa: E402

PROGRAM = lab.program()
ID = rb"(\d{10,11})\.([0-9a-z]{8})\.(\d+)"

server = None
gateways = {}


def setUpModule():
    global server
    lab.need_root()
    lab.need_programs("postfix", "postconf", "openssl", "saslpasswd2")
    server = postfix.Postfix()
    try:
        for address in ("127.0.0.1", "::1"):
            gateways[address] = lab.Gateway(PROGRAM, {
                "port": lab.free_port(), "allow_root": "yes",
                "mode": "fixed", "fixed_server": '"127.0.0.1"',
                "local_servers": "yes", "fixed_server_port": server.port,
                "nat_header_type": "generic", "abuse": '"abuse@example.org"'}, listen=address)
    except BaseException:
        tearDownModule()
        raise


def tearDownModule():
    for gateway in gateways.values():
        gateway.stop()
    server.stop()


class Case(unittest.TestCase):
    maxDiff = 4000
    boxes = 0

    def deliver(self, where, *messages):
        """Returns the address and port that the client had, and what arrived, in order."""
        Case.boxes += 1
        box = f"box{Case.boxes}"
        with lab.Client(where, seconds=30) as client:
            ours = client.socket.getsockname()[:2]
            client.hello()
            for message in messages:
                replies = client.submit(message, box + "@example.test")
                self.assertRegex(replies[-1], "^250 ")
            client.ask("QUIT")
        self.assertTrue(lab.wait_until(lambda: server.count(box) >= len(messages), 30),
                        server.log()[-3000:])
        return ours, [mail.replace(b"\r\n", b"\n") for mail in server.delivered(box)]

    def through(self, *messages, address="127.0.0.1"):
        return self.deliver((address, gateways[address].port), *messages)

    @staticmethod
    def without_trace(mail):
        """What is left without the fields that Postfix puts on top."""
        added = rb"(Return-Path|X-Original-To|Delivered-To): .*\n|Received: .*\n(?:[ \t].*\n)*"
        while found := re.match(added, mail):
            mail = mail[found.end():]
        return mail


class Words(Case):
    def check(self, address, literal):
        before = int(time.time())
        ours, mails = self.through(lab.mail(b"Hello"), lab.mail(b"again"), address=address)
        sessions = set()
        for number, mail in enumerate(sorted(mails, key=lambda mail: b"again" in mail), 1):
            found = re.match(
                rb"X-Nat-Received: from \[" + re.escape(literal) + rb"\]:%d \[ident-empty\]\n"
                rb"\tby gate\.example with TPROXY id " % ours[1] + ID +
                rb"\n\tabuse-to abuse@example\.org\n(Subject: test\n.*)",
                self.without_trace(mail), re.S)
            self.assertTrue(found, mail)
            # The clock that the gateway reads is a tick behind.
            self.assertIn(int(found[1]), range(before - 1, int(time.time()) + 1))
            self.assertEqual(int(found[3]), number)
            sessions.add(found[2].decode())
        (session,) = sessions
        log = gateways[address].log()
        self.assertRegex(log, rf"(?m)^mail s={session} t=2 ")
        self.assertRegex(log, rf"(?m)^connect s={session} client=\S+:{ours[1]} ")

    def test_ipv4(self):
        self.check("127.0.0.1", b"127.0.0.1")

    def test_ipv6(self):
        self.check("::1", b"IPv6:::1")


class Place(Case):
    """Whatever a mail begins with: Postfix makes of it what it does without a gateway, but
    for our header."""

    def check(self, message):
        _, (direct,) = self.deliver(("127.0.0.1", server.port), message)
        _, (through,) = self.through(message)
        ours = rb"(?m)^X-Nat-Received: .*\n(?:\t.*\n)*"
        self.assertEqual(len(re.findall(ours, through)), 1, through)
        head = through.split(b"\n\n", 1)[0]
        self.assertRegex(head + b"\n", ours, "it stands in the header")
        self.assertRegex(head, rb"(?m)^\tabuse-to abuse@example\.org$", "nothing goes on it")
        self.assertEqual(self.without_trace(re.sub(ours, b"", through)),
                         self.without_trace(direct))
        return self.without_trace(through)

    def test_usual(self):
        self.assertTrue(self.check(lab.mail(b"Hello")).startswith(b"X-Nat-Received: "))

    def test_no_header(self):
        self.check(b"\r\nHello\r\n")

    def test_nothing(self):
        self.check(b"")

    def test_first_line_is_no_header(self):
        self.check(b"Hello, this is\r\nSubject: not one\r\n\r\ntext\r\n")

    def test_blank(self):
        self.check(b" [ident forged]\r\nSubject: not one\r\n\r\ntext\r\n")

    def test_tab(self):
        self.check(b"\tabuse-to nobody@example.org\r\nSubject: not one\r\n\r\ntext\r\n")

    def test_nul(self):
        self.check(b"\0 forged\r\nSubject: not one\r\n\r\ntext\r\n")

    def test_form_feed(self):
        self.check(b"\f forged\r\nSubject: not one\r\n\r\ntext\r\n")

    def test_mailbox_line(self):
        """As patches by mail have it; Postfix makes a header of its own of it."""
        got = self.check(b"From ann@example.test Mon Sep 17 00:00:00 2001\r\n" + lab.mail(b"x"))
        self.assertRegex(got, rb"\AX-Mailbox-Line: From ann@example\.test Mon .*\n"
                              rb"X-Nat-Received: .*\n(\t.*\n)*Subject: test\n")

    def test_quoted_mailbox_line(self):
        self.check(b">From ann\r\n" + lab.mail(b"x"))

    def test_mailbox_line_and_blank(self):
        self.check(b"From ann\r\n forged\r\nSubject: not one\r\n\r\ntext\r\n")


class Scanned(Case):
    """A virus is found wherever the header stands."""

    def check(self, before):
        where = ("127.0.0.1", gateways["127.0.0.1"].port)
        with lab.Client(where, seconds=30) as client:
            client.hello()
            replies = client.submit(before + lab.infected_mail(), "box99@example.test")
            self.assertRegex(replies[-1], rf"^550 .*{lab.EICAR_NAME}")
        self.assertEqual(server.count("box99"), 0)

    def test_usual(self):
        self.check(b"")

    def test_mailbox_line(self):
        self.check(b"From ann@example.test Mon Sep 17 00:00:00 2001\r\n")

    def test_quoted_mailbox_line(self):
        self.check(b">From ann\r\n")


if __name__ == "__main__":
    lab.main()
