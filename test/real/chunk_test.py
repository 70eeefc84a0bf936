#!/usr/bin/python3
"""Messages that come by chunks (BDAT), with Postfix behind, in passing and held.

    chunk_test.py PROGRAM [unittest arguments, as: Passing.test_bytes]
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import postfix_test as passing          # noqa: E402

MARK = passing.MARK


def setUpModule():
    passing.setUpModule()


def tearDownModule():
    passing.tearDownModule()


class Passing(passing.Case):
    options = {}

    def setUp(self):
        self.server_side = passing.gateway
        passing.gateway = passing.new_gateway(**self.options)
        super().setUp()

    def tearDown(self):
        passing.gateway.stop()
        passing.gateway = self.server_side

    def begin(self, client):
        self.assertReply(client.ask("MAIL FROM:<ann@example.test>"), "250")
        self.assertReply(client.ask(f"RCPT TO:<{self.address}>"), "250")

    def chunks(self, client, content, size):
        """All at once; returns the reply to the last."""
        self.begin(client)
        parts = [content[at:at + size] for at in range(0, len(content), size)]
        client.send(b"".join(b"BDAT %d\r\n" % len(part) + part for part in parts) +
                    b"BDAT 0 LAST\r\n")
        for part in parts[:-1]:
            self.assertReply(client.reply(), "250")
        return [client.reply(), client.reply()][-1]

    def test_offered(self):
        """Postfix has CHUNKING, and no BINARYMIME."""
        with self.talk() as client:
            keywords = [line[4:] for line in client.hello().splitlines()]
        self.assertIn("CHUNKING", keywords)
        self.assertNotIn("BINARYMIME", keywords)

    def test_bytes(self):
        lines = [b".", b"..", b". x", b"BDAT 5 LAST", b"\xff\x80", b"x" * 900] * 300
        content = MARK + lab.mail(*lines)
        with self.talk() as client:
            client.hello()
            self.assertReply(self.chunks(client, content, 7001), "250")
            self.assertReply(client.ask("QUIT"), "221")
        self.assertSame(self.arrived(1)[0], content)

    def test_single_bytes(self):
        content = MARK + lab.mail(b".", b"QUIT", b"end")
        with self.talk() as client:
            client.hello()
            self.assertReply(self.chunks(client, content, 1), "250")
        self.assertSame(self.arrived(1)[0], content)

    def test_infected(self):
        """The session lives on, and so does the next mail."""
        clean = MARK + lab.mail(b"clean")
        with self.talk() as client:
            client.hello()
            self.assertReply(self.chunks(client, lab.infected_mail(), 50), "550 5.7.1")
            self.assertReply(self.chunks(client, clean, 50), "250")
            self.assertReply(client.submit(clean, self.address)[-1], "250")
            self.assertReply(client.ask("QUIT"), "221")
        self.arrived(2)
        self.assertFalse(self.logged("^takeover"))

    def test_client_lost(self):
        with self.talk() as client:
            client.hello()
            self.begin(client)
            client.send(b"BDAT 20\r\n" + b"x" * 18 + b"\r\nBDAT 100 LAST\r\nhalf")
            self.assertReply(client.reply(), "250")
        self.nothing_arrived()


class Held(Passing):
    options = {"delivery": "hold"}


if __name__ == "__main__":
    lab.main()
