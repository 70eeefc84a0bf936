"""Scanners that do as they are told: each step of a protocol, and each way to fail there."""
import concurrent.futures
import contextlib
import socket
import struct
import threading
import time

import lab
import scanners

MESSAGE = lab.mail(*[b"%070d" % number for number in range(40000)])     # 2.9 MB
BABBLE = b"\r\n\xff\0 what is it that you want of me?\r\n\r\n" * 20


class Over(Exception):
    """The talk has come to the step at which it fails."""


class Talk:
    """One connection, read by the byte; step() says where it stands.

    Of a scanner: STEPS, by name; OPTIONS of a gateway that asks it, and SERVERS, the one that
    has its servers, each a URL with its address in it."""
    STEPS, OPTIONS, SERVERS, URL = (), {}, "", "{}"

    def __init__(self, sock, step, how, slow):
        self.socket, self.failing, self.how, self.slow = sock, step, how, slow
        self.file = sock.makefile("rb", buffering=4096)

    def step(self, name):
        assert name in self.STEPS, name
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


class Server:
    """Serves talks that fail at STEP in the way HOW; None: they are as they should be."""

    def __init__(self, kind, step=None, how=None, slow=False):
        self.kind, self.failing, self.how, self.slow = kind, step, how, slow
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.name = kind.URL.format("127.0.0.1:%d" % self.socket.getsockname()[1])
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
        talk = self.kind(sock, self.failing, self.how, self.slow)
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


class Case(scanners.Case):
    """TIMEOUT is the option that says how long to wait for an answer."""
    TIMEOUT = ""

    def ask(self, kind, *servers, **options):
        """The reply to a message that a new gateway has them look at, and how long it took."""
        gateway = self.new_gateway(
            self.PROGRAM, **kind.OPTIONS, **options,
            **{kind.SERVERS: scanners.listed(*(server.name for server in servers))})
        try:
            return self.timed(gateway, MESSAGE)
        finally:
            for server in servers:
                server.stop()
            gateway.stop()

    def by(self, server, **options):
        kind = server.kind
        return self.new_gateway(self.PROGRAM, **kind.OPTIONS, **options,
                                **{kind.SERVERS: scanners.listed(server.name)})

    def check_busy(self, kind, failed):
        """Messages that take too long are not held against a scanner that answers others."""
        server = Server(kind)
        self.addCleanup(server.stop)
        gateway = self.by(server, **{self.TIMEOUT: 1})
        with contextlib.ExitStack() as stack:
            slow = [stack.enter_context(lab.Client(("127.0.0.1", gateway.port), 30))
                    for _ in range(4)]
            for client in slow:
                client.hello()
                for command in ("MAIL FROM:<a@b.c>", "RCPT TO:<d@e.f>", "DATA"):
                    client.ask(command)
            for client in slow:
                client.send(lab.dotted(lab.mail(b"for ever")))
            self.assertTrue(lab.wait_until(lambda: server.talks == len(slow), 5))
            self.assertEqual(self.submit(gateway, lab.mail(b"soon")), scanners.TAKEN)
            for client in slow:
                self.assertEqual(client.reply().rstrip(), failed)
        self.assertEqual(gateway.logged("^trouble"), [])

    def try_failure(self, kind, step, how):
        first, second, good = Server(kind, step, how), Server(kind, step, how), Server(kind)
        replies = (self.ask(kind, first, **{self.TIMEOUT: 1}),
                   self.ask(kind, second, good, **{self.TIMEOUT: 2 if how == "hang" else 3}))
        for (reply, _), wanted in zip(replies, self.outcome(kind, step, how)):
            self.assertIn(reply, wanted if isinstance(wanted, tuple) else (wanted,))
        self.assertLess(max(replies[0][1], replies[1][1]), 10)
        self.assertEqual(first.troubles + second.troubles + good.troubles, [])

    def check_all(self, kind):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            tries = {pool.submit(self.try_failure, kind, step, how): (step, how)
                     for step in kind.STEPS for how in ("close", "reset", "babble", "hang")}
            for one in concurrent.futures.as_completed(tries):
                with self.subTest(tries[one]):
                    one.result()

    def check_slow(self, kind):
        """By the byte, and reading slowly: that is no failure."""
        server = Server(kind, slow=True)
        self.assertEqual(self.ask(kind, server)[0], scanners.TAKEN)
        self.assertEqual(server.troubles, [])
