#!/usr/bin/python3
"""Each mail server behind the gateway, each client in front of it, each kind of message, in
both ways of delivery: what the client was told, what the log says, and every byte of what
lies in the mailbox.  All of that is printed as a table.

    servers_test.py PROGRAM [unittest arguments, as: Exim.test_hold_swaks]
"""
import concurrent.futures
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import clients                          # noqa: E402
import lab                              # noqa: E402
import postfix                          # noqa: E402
import unpacked                         # noqa: E402

PROGRAM = lab.program()
MARK = b"X-Begin: here\r\n"             # what stands above it, the server has added
AT_ONCE = 4                             # clients
DELIVERIES = ("stream", "hold")


def hard_lines():
    """100 KB of what has to be written in another way on the wire, or may get lost."""
    lines = [b".", b"..", b"...", b". ", b" .", b".a", b"From ann", b"QUIT", b"", b"\t ", b"."]
    for size in (997, 998, 999, 2048, 4096, 20000, 32000):      # OpenSMTPD takes 64 KB
        lines += [b"." + b"y" * size, bytes(range(0x80, 0x100)), "Grüße, 你好".encode(), b""]
    while sum(map(len, lines)) < 100_000:
        lines += [b".%d " % len(lines) + b"z" * 400, b".", b"\xff\xfe\xc0\x80"]
    return lines


def plain_lines():
    return [b"%02d: " % number + b"At noon? " * 8 for number in range(54)]


MESSAGES = {
    "plain": lab.mail(*plain_lines()),
    "hard": lab.mail(*hard_lines()),
    "mime": lab.mail_with(lab.random_bytes(40_000), name="photo.bin"),
    "empty": lab.mail(),
    "eicar": lab.mail(b"Look:", lab.EICAR),
    "zip": lab.infected_mail(),
}
# Without a Message-ID some servers would add one, below the mark.
MESSAGES = {name: MARK + b"Message-ID: <2@client.example>\r\n"
            + message.replace(b"Message-ID: <1@client.example>\r\n", b"")
            for name, message in MESSAGES.items()}
INFECTED = {"eicar", "zip"}

cells = {}              # by server, client, message and delivery: "ok", or what was not


def tearDownModule():
    rows = dict.fromkeys((server, client) for server, client, _, _ in cells)
    if not rows:
        return
    print(f"{'server':12}{'client':18}" + "".join(f"{name:9}" for name in MESSAGES)
          + f"({', '.join(DELIVERIES)})")
    for server, client in rows:
        print(f"{server:12}{client:18}" + "".join(
            "{:9}".format(" ".join(cells.get((server, client, name, delivery), "-")
                                   for delivery in DELIVERIES)) for name in MESSAGES))


def difference(got, sent):
    """Where what lies in the mailbox is not what was sent; nothing if it is."""
    at = got.find(MARK.replace(b"\r\n", b"\n"))
    if at < 0:
        return f"the mark has not arrived: {got[:200]!r}"
    got, sent = got[at:], sent.replace(b"\r\n", b"\n")
    if got == sent:
        return None
    differs = len(os.path.commonprefix([got, sent]))
    return (f"sent {len(sent)} bytes, {len(got)} arrived; from byte {differs} on: sent "
            f"{sent[differs:differs + 60]!r}, arrived {got[differs:differs + 60]!r}")


class Crossing:
    """All clients send all messages to one server, through one gateway."""

    def __init__(self, server, delivery, boxes):
        self.server, self.delivery, self.boxes = server, delivery, iter(boxes)
        self.gateway = lab.Gateway(PROGRAM, {
            "allow_root": "yes", "mode": "fixed", "fixed_server": '"127.0.0.1"',
            "fixed_server_port": server.port, "delivery": delivery})
        try:
            with lab.Client(("127.0.0.1", server.port)) as direct:
                self.chunking = "CHUNKING" in direct.hello()
            self.jobs = {name: [(next(self.boxes), message) for message in MESSAGES]
                         for name, client in clients.ALL.items() if not client.missing()}
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                self.replies = dict(zip(self.jobs, pool.map(self.send, self.jobs)))
            self.settle()
        finally:
            self.log = self.gateway.log()
            self.gateway.stop()

    def send(self, client):
        # After a refusal in passing the session ends; one that was held goes on.
        return clients.ALL[client].send(
            self.gateway.port, [(box + "@example.test", MESSAGES[message])
                                for box, message in self.jobs[client]],
            self.delivery == "hold")

    def settle(self):
        """Until the server has delivered what it took."""
        taken = [box for client, jobs in self.jobs.items()
                 for (box, _), reply in zip(jobs, self.replies[client])
                 if reply.startswith("250")]
        lab.wait_until(lambda: all(map(self.server.count, taken)), 30)
        if not lab.wait_until(self.server.queue_is_empty, 30):
            raise AssertionError("mail stays in the queue\n" + self.server.log()[-3000:])

    def fault(self, client, message, box, reply):
        """What is not as it has to be; nothing if all is."""
        infected = message in INFECTED
        if not reply.startswith("550" if infected else "250"):
            return f"the client was told {reply!r}"
        if infected and lab.EICAR_NAME not in reply:
            return f"the client was not told of what was found: {reply!r}"
        lines = [line for line in self.log.splitlines() if f" to={box}@" in line
                 and line.startswith(("verdict ", "found "))]
        wanted = "found" if infected else "verdict"
        if len(lines) != 1 or not lines[0].startswith(wanted) or \
                ("finding=virus" if infected else "finding=clean") not in lines[0] or \
                ("delivery=hold" in lines[0]) != (self.delivery == "hold") or \
                (" chunks=" in lines[0]) != (self.chunking and clients.ALL[client].chunks):
            return f"the log says {lines}"
        mails = self.server.delivered(box)
        if len(mails) != (0 if infected else 1):
            return f"{len(mails)} mails were delivered\n{self.server.log()[-3000:]}"
        if infected:
            return None
        return difference(mails[0], clients.ALL[client].makes_of(MESSAGES[message]))


class Case(unittest.TestCase):
    """For each client and way of delivery a test: see the end of this file."""
    maxDiff = 2000
    package = None      # that has to be unpacked

    @classmethod
    def setUpClass(cls):
        missing = cls.package and unpacked.missing(cls.package)
        if missing:
            raise unittest.SkipTest(missing)
        cls.crossings = {}
        cls.server = cls.Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def crossing(self, delivery):
        if delivery not in self.crossings:
            half = len(postfix.BOXES) // 2
            boxes = postfix.BOXES[DELIVERIES.index(delivery) * half:]
            self.crossings[delivery] = None
            self.crossings[delivery] = Crossing(self.server, delivery, boxes)
        if self.crossings[delivery] is None:
            self.fail("the messages could not be sent, as was said before")
        return self.crossings[delivery]

    def check(self, delivery, client):
        missing = clients.ALL[client].missing()
        if missing:
            self.skipTest(missing)
        crossing = self.crossing(delivery)
        for (box, message), reply in zip(crossing.jobs[client], crossing.replies[client]):
            with self.subTest(message=message):
                fault = crossing.fault(client, message, box, reply)
                cell = (type(self).__name__, client, message, delivery)
                cells[cell] = "BAD" if fault else "ok"
                self.assertIsNone(fault)


class Postfix(Case):
    Server = postfix.Postfix


class Exim(Case):
    Server, package = unpacked.Exim, unpacked.Exim.package


class OpenSMTPD(Case):
    Server, package = unpacked.Smtpd, unpacked.Smtpd.package


def add_tests(case):
    for delivery in DELIVERIES:
        for client in clients.ALL:
            def test(self, delivery=delivery, client=client):
                self.check(delivery, client)
            setattr(case, f"test_{delivery}_{client.replace('-', '_')}", test)


add_tests(Postfix)
add_tests(Exim)
add_tests(OpenSMTPD)


if __name__ == "__main__":
    lab.need_root()
    lab.need_programs("postfix", "postconf", "openssl", "saslpasswd2")
    lab.main()
