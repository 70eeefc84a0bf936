#!/usr/bin/python3
"""Scanners that do as they are told: each step of a protocol, and each way to fail there.

    scripted_test.py PROGRAM [unittest arguments, as: Scripted.test_name]

Whatever a scanner does, a message that it has not called clean is not delivered, the client
gets an answer, and in time; another scanner of the same engine stands in for it as long as
nothing of an answer has come.
"""
import concurrent.futures
import pathlib
import socket
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import scanners                         # noqa: E402

PROGRAM = lab.program()
TAKEN = "250 2.0.0 Taken"
FAILED = "451 4.3.0 Message could not be checked for viruses, local error"
MESSAGE = lab.mail(*[b"%070d" % number for number in range(40000)])     # 2.9 MB
OPTIONS = (b"ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nISTag: \"1\"\r\nPreview: 1024\r\n"
           b"Options-TTL: 60\r\nAllow: 204\r\nEncapsulated: null-body=0\r\n\r\n")
UNCHANGED = b"ICAP/1.0 204 No Content\r\nISTag: \"1\"\r\n\r\n"
BABBLE = b"\r\n\xff\0 what is it that you want of me?\r\n\r\n" * 20


class Over(Exception):
    """The talk has come to the step at which it fails."""


class Talk:
    """One connection, read by the byte; step() says where it stands."""

    def __init__(self, sock, steps, step, how, slow):
        self.socket, self.steps, self.failing, self.how = sock, steps, step, how
        self.slow = slow
        self.file = sock.makefile("rb", buffering=4096)

    def step(self, name):
        assert name in self.steps, name
        if name != self.failing:
            return
        if self.how == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self.how == "babble":
            self.say(BABBLE)
            self.drain()
        elif self.how == "hang":
            self.socket.settimeout(20)
            time.sleep(4)
        raise Over

    def drain(self):
        """Until the gateway has had enough of it."""
        self.socket.settimeout(10)
        while self.socket.recv(65536):
            pass

    def say(self, raw):
        for piece in [raw[i:i + 1] for i in range(len(raw))] if self.slow else [raw]:
            self.socket.sendall(piece)
            time.sleep(0.001 if self.slow else 0)

    def read(self, size):
        raw = self.file.read(size)
        if len(raw) < size:
            raise Over
        if self.slow:
            time.sleep(0.0001)
        return raw

    def line(self):
        raw = self.file.readline(9000)
        if not raw.endswith(b"\r\n"):
            raise Over
        return raw[:-2]

    def end(self):
        self.file.close()
        self.socket.close()


class Clamd(Talk):
    STEPS = ("call", "command", "middle", "all", "half")
    PREFERENCE = "antivirus_path"

    def hold(self):
        self.step("call")
        assert self.read(10) == b"zINSTREAM\0"
        self.step("command")
        chunks = 0
        while size := struct.unpack(">I", self.read(4))[0]:
            self.read(size)
            chunks += 1
            if chunks == 10:
                self.step("middle")
        self.step("all")
        self.say(b"stream:")
        self.step("half")
        self.say(b" OK\0")


class Icap(Talk):
    STEPS = ("call", "options", "options half", "options told", "request", "preview", "continued",
             "middle", "all", "half", "content")
    PREFERENCE = "icap_url"

    def head(self):
        lines = []
        while row := self.line():
            lines.append(row)
        return lines

    def chunk(self):
        """One of the message; what ends it is empty."""
        size, _, rest = self.line().partition(b";")
        self.ieof = rest.strip() == b"ieof"
        raw = self.read(int(size, 16))
        self.read(2)
        return raw

    def hold(self):
        self.step("call")
        first = self.line()
        if first.startswith(b"OPTIONS "):
            self.head()
            self.step("options")
            self.say(OPTIONS[:40])
            self.step("options half")
            self.say(OPTIONS[40:])
            self.step("options told")
            first = self.line()
        assert first.startswith(b"RESPMOD "), first
        self.step("request")
        self.head(), self.head(), self.head()
        size = 0
        while raw := self.chunk():
            size += len(raw)
        assert size == 1024 and not self.ieof
        self.step("preview")
        self.say(b"ICAP/1.0 100 Continue\r\n\r\n")
        self.step("continued")
        while raw := self.chunk():
            size += len(raw)
            if size > 500000:
                self.step("middle")
        self.step("all")
        if self.failing == "content":
            self.say(b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n"
                     b"HTTP/1.1 200 OK\r\n\r\n8\r\nReceived\r\n")
            self.step("content")
        self.say(UNCHANGED[:20])
        self.step("half")
        self.say(UNCHANGED[20:])


class Server:
    """Serves talks that fail at STEP in the way HOW; None: they are as they should be."""

    def __init__(self, kind, step=None, how=None, slow=False):
        self.kind, self.failing, self.how, self.slow = kind, step, how, slow
        self.socket = socket.create_server(("127.0.0.1", 0))
        port = self.socket.getsockname()[1]
        self.name = f"127.0.0.1:{port}" if kind is Clamd else f"icap://127.0.0.1:{port}/av"
        self.talks, self.troubles = 0, []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.socket.accept()
            except OSError:
                return
            self.talks += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        talk = self.kind(sock, self.kind.STEPS, self.failing, self.how, self.slow)
        try:
            talk.hold()
        except (Over, OSError):
            pass
        except AssertionError as trouble:
            self.troubles.append(trouble)
        talk.end()

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Scripted(scanners.Case, unittest.TestCase):
    def ask(self, kind, *servers, **options):
        """The reply to a message that a new gateway has them look at, and how long it took."""
        listed = ", ".join(f'"{server.name}"' for server in servers)
        gateway = self.new_gateway(
            PROGRAM, antivirus_type="clamd" if kind is Clamd else "icap",
            **{kind.PREFERENCE: f"{{{listed}}}"}, **options)
        try:
            return self.timed(gateway, MESSAGE)
        finally:
            for server in servers:
                server.stop()
            gateway.stop()

    @staticmethod
    def outcome(kind, step, how):
        """What becomes of a message: with the one that fails alone, and with another."""
        before = ("call", "options", "options half") if kind is Icap else ()
        if how == "hang" or step in ("half", "content"):
            return FAILED, FAILED
        if how == "babble":
            return FAILED, TAKEN if step in before else FAILED
        if step == "options told":      # it is called again, and told what it wants to hear
            return TAKEN, TAKEN
        return FAILED, TAKEN

    def try_failure(self, kind, step, how):
        first, second, good = Server(kind, step, how), Server(kind, step, how), Server(kind)
        replies = (self.ask(kind, first, timeout_scanner=1),
                   self.ask(kind, second, good, timeout_scanner=2))
        self.assertEqual((replies[0][0], replies[1][0]), self.outcome(kind, step, how))
        self.assertLess(max(replies[0][1], replies[1][1]), 10)
        self.assertEqual(first.troubles + second.troubles + good.troubles, [])

    def check_all(self, kind):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            tries = {pool.submit(self.try_failure, kind, step, how): (step, how)
                     for step in kind.STEPS for how in ("close", "reset", "babble", "hang")}
            for one in concurrent.futures.as_completed(tries):
                with self.subTest(tries[one]):
                    one.result()

    def test_clamd_fails(self):
        self.check_all(Clamd)

    def test_icap_fails(self):
        self.check_all(Icap)

    def test_slow(self):
        """By the byte, and reading slowly: that is no failure."""
        for kind in (Clamd, Icap):
            server = Server(kind, slow=True)
            self.assertEqual(self.ask(kind, server)[0], TAKEN)
            self.assertEqual(server.troubles, [])


if __name__ == "__main__":
    lab.main()
