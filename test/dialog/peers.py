"""Scripted clients and servers: sockets that do what a dialog says, all in one thread."""
import collections
import re
import select
import socket
import struct
import time

from story import show
from unread import Unread

PATIENCE = 30               # seconds; only a failing dialog waits that long
TAKING = 0.02               # seconds that the gateway gets to read one piece
EOF = object()              # in a queue: no more will be sent


def cut(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


class Peer:
    """One connected socket.  It reads only while a step expects something of it."""

    def __init__(self, name, sock):
        self.name, self.sock = name, sock
        self.input = bytearray()
        self.slow = False           # the other side does not read what we send
        self.ended = None           # how the other side ended: eof or reset
        self.closed = False
        self.queue = collections.deque()
        self.unread = Unread(sock)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pieces(self, data, way):
        """Byte by byte, or so many by so many; of a very long text only both ends."""
        if not way.isdigit():
            return [data]
        size, edge = int(way), 3000
        if len(data) <= 3 * edge:
            return cut(data, size)
        return cut(data[:edge], size) + cut(data[edge:-edge], 1460) + \
            cut(data[-edge:], size)

    def send(self, data, way, final):
        self.queue.extend(self.pieces(data, way))
        if final:
            self.queue.append(EOF)
        self.flush()

    def finish(self):
        self.queue.append(EOF)
        self.flush()

    def flush(self):
        """Hands to the kernel what it takes."""
        while self.queue and not self.closed:
            data = self.queue[0]
            try:
                if data is EOF:
                    self.sock.shutdown(socket.SHUT_WR)
                    self.queue.popleft()
                    continue
                behind = self.queue[1] if len(self.queue) > 1 else None
                flags = socket.MSG_MORE if behind is EOF else 0
                sent = self.sock.send(data, flags)
            except BlockingIOError:
                return
            except OSError:                 # it is gone; what we expect of it will tell
                self.queue.clear()
                return
            if sent < len(data):
                self.queue[0] = data[sent:]
                continue
            self.queue.popleft()
            if behind is not EOF:
                self.wait_until_taken()

    def wait_until_taken(self):
        """So that what is two segments here is read as two there.  One who does not read
        now is left alone, or else back-pressure would take hours."""
        deadline = time.monotonic() + (0 if self.slow else TAKING)
        while self.unread.bytes() > 0:
            if time.monotonic() > deadline:
                self.slow = True
                return
            time.sleep(0)
        self.slow = False

    def receive(self):
        try:
            data = self.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            self.ended = "reset"
            return
        if data:
            self.input += data
        else:
            self.ended = "eof"

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
        self.ended = "reset"

    def close(self):
        self.closed = True
        self.sock.close()
        self.unread.close()


class Peers:
    """All clients and servers of one dialog."""

    def __init__(self, listener, gateway_address, way, window):
        self.listener, self.gateway_address, self.way = listener, gateway_address, way
        self.window = window
        self.all = {}

    def get(self, name):
        """The peer of that name; it comes into being when the story first mentions it."""
        if name in self.all:
            return self.all[name]
        if name[0] == "C":
            family = socket.AF_INET6 if ":" in self.gateway_address[0] else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            if self.window:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.window)
            sock.settimeout(PATIENCE)
            sock.connect(self.gateway_address)
        else:
            client = "C" + name[1:]
            if client not in self.all:
                self.get(client)
            if not select.select([self.listener], [], [], PATIENCE)[0]:
                raise AssertionError(f"no connection came to {name}")
            sock, _ = self.listener.accept()
        self.all[name] = Peer(name, sock)
        return self.all[name]

    def pump(self, seconds, reader=None):
        """Sends what waits, reads what comes to READER, for at most SECONDS."""
        writers = [p for p in self.all.values() if p.queue and not p.closed]
        readers = [reader] if reader and not reader.ended and not reader.closed else []
        if not writers and not readers:
            time.sleep(seconds)
            return
        can_read, can_write, _ = select.select(
            [p.sock for p in readers], [p.sock for p in writers], [], seconds)
        for peer in writers:
            if peer.sock in can_write:
                peer.flush()
        if can_read:
            reader.receive()

    def pump_until(self, done, reader, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.pump(min(left, 0.1), reader)
        return True

    def pause(self, seconds):
        self.pump_until(lambda: False, None, seconds)

    def expect(self, name, data):
        """Exactly these bytes come next."""
        peer = self.get(name)
        checked = 0
        while checked < len(data):
            self.pump_until(lambda: len(peer.input) > checked or peer.ended, peer)
            size = min(len(peer.input), len(data))
            same = peer.input[checked:size] == data[checked:size]
            if not same or size == checked:
                break
            checked = size
        else:
            del peer.input[:checked]
            return
        while peer.input[checked:checked + 1] == data[checked:checked + 1] != b"":
            checked += 1
        start = bytes(data).rfind(b"\n", 0, checked) + 1
        raise AssertionError(
            f"{name} should get    {show(data[start:], 160)}\n"
            f"    but it got      {show(peer.input[start:], 160)}"
            f"{' and then ' + peer.ended if peer.ended else ''}")

    def expect_like(self, name, pattern):
        """One line comes next, and the pattern describes all of it."""
        peer = self.get(name)
        self.pump_until(lambda: b"\n" in peer.input or peer.ended, peer)
        line, newline, rest = bytes(peer.input).partition(b"\n")
        if newline and line.endswith(b"\r") and \
           re.fullmatch(pattern, line[:-1].decode("latin-1")):
            peer.input = bytearray(rest)
            return
        raise AssertionError(f"{name} should get a line like    {pattern}\n"
                             f"    but it got     {show(line + newline)} {peer.ended or ''}")

    def expect_end(self, name, endings):
        peer = self.get(name)
        self.pump_until(lambda: peer.input or peer.ended, peer)
        if peer.input or peer.ended not in endings:
            got = show(peer.input) or peer.ended or "nothing"
            raise AssertionError(f"{name} should get {' or '.join(endings)}\n"
                                 f"    but it got   {got}")

    def expect_rest(self, name):
        """Anything may come, then the end of the connection; but no end of a message."""
        peer = self.get(name)
        if not self.pump_until(lambda: peer.ended, peer):
            raise AssertionError(f"{name} should get the end of the connection\n"
                                 f"    but it got   {show(peer.input[-80:])}")
        assert b"\r\n.\r\n" not in peer.input, f"{name} got the end of a message"
        del peer.input[:]

    def expect_nothing(self, name, seconds):
        peer = self.get(name)
        if self.pump_until(lambda: peer.input or peer.ended, peer, seconds):
            raise AssertionError(f"{name} should get nothing for {seconds} s\n"
                                 f"    but it got   {show(peer.input) or peer.ended}")

    def expect_absent(self, seconds):
        """The gateway does not even connect to the server."""
        if select.select([self.listener], [], [], seconds)[0]:
            raise AssertionError("the server got a connection, and should not have")

    def farewell(self):
        """The story is over.  Whoever was left closes too; all connections must end, and
        nothing may have come that the story does not tell."""
        for name, peer in self.all.items():
            if peer.closed:
                continue
            self.expect_end(name, ("eof", "reset"))
            peer.close()

    def fini(self):
        for peer in self.all.values():
            peer.close()
        self.listener.close()
