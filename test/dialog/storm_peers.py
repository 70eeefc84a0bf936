"""A client and its server in a storm: sockets, cut and broken off as the plan says."""
import random
import selectors
import socket
import struct
import time

from storm_server import Server

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def break_off(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def half_close(sock):
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Side:
    """What one of them has sent, has to send, and has got."""

    def __init__(self, sock, chance, pieces):
        self.sock, self.chance, self.pieces = sock, chance, pieces
        self.out, self.got, self.sent = bytearray(), bytearray(), 0
        self.at_eof = self.ended = False
        sock.setblocking(False)

    def send(self):
        try:
            size = self.sock.send(bytes(self.out[:self.chance.choice(self.pieces)]))
        except BlockingIOError:
            return
        except OSError:
            self.out.clear()
            return
        self.sent += size
        del self.out[:size]

    def receive(self):
        """False at the end."""
        try:
            new = self.sock.recv(self.chance.choice((10, 4096, 4096)))
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.got += new
        return bool(new)

    def end(self, how=None):
        self.ended = True
        if how == "rst":
            break_off(self.sock)
        else:
            self.sock.close()


class Session:
    """One plan, carried out."""

    def __init__(self, plan, host, address):
        self.plan, self.loss = plan, plan.loss
        chance = random.Random(f"{plan.seed} pieces")
        sock = socket.socket()
        sock.bind((host, 0))
        sock.connect(address)
        self.client = Side(sock, chance, plan.pieces)
        self.client.out += plan.wire
        self.chance = chance
        self.server, self.words, self.heard = None, Server(plan.seed, plan.loss,
                                                           plan.world), 0
        self.tale = bytearray()             # what the server heard, each mail in one piece
        self.events = []                    # (who, sends or gets, bytes), as they were seen
        self.began = time.monotonic()
        self.half_closed = self.server_left = False

    def accept(self, sock):
        self.server = Side(sock, self.chance, self.plan.pieces)
        self.say(self.words.greet())

    def say(self, reply):
        self.server.out += (reply or b"") + self.words.besides

    # ---- the client ----------------------------------------------------------------------

    def on_client(self, events):
        side = self.client
        if events & WRITE and side.out:
            at = side.sent
            sending = bytes(side.out[:70000])
            side.send()
            self.see("C", ">", sending[:side.sent - at])
        if not side.out and self.plan.half_closes and not self.half_closed:
            self.half_closed = True
            half_close(side.sock)
        if events & READ:
            self.get("C", side)
            if side.at_eof:
                side.end()
        if not side.ended and self.client_breaks():
            side.end(self.loss.how)

    def client_breaks(self):
        done = self.client.sent if self.loss.instead == "sent" else len(self.client.got)
        return self.loss.who == "client" and done > self.loss.at

    def get(self, who, side):
        at = len(side.got)
        side.at_eof = not side.receive()
        self.see(who, "<", bytes(side.got[at:]))

    def see(self, who, way, data):
        if data:
            self.events.append((who, way, data))

    # ---- the server ----------------------------------------------------------------------

    def on_server(self, events):
        side = self.server
        if events & READ:
            self.get("S", side)
            self.answer()
        if events & WRITE and side.out and not side.ended:
            sending, at = bytes(side.out), side.sent
            side.send()
            self.see("S", ">", sending[:side.sent - at])
        if not side.ended and not side.out:
            self.leave()

    def leave(self):
        """It has said its last word, or nobody says more to it."""
        if self.server.at_eof or (self.words.lost and self.loss.how == "rst"):
            self.server.end(self.loss.how if self.words.lost else None)
        elif self.leaves():
            self.server_left = True
            half_close(self.server.sock)

    def leaves(self):
        return (self.words.lost or self.words.ended) and not self.server_left

    def answer(self):
        while not self.words.ended:
            end = self.server.got.find(b"\r\n", self.heard)
            if end < 0:
                return
            line = bytes(self.server.got[self.heard:end])
            words = line.split()
            listens = self.words.body or self.words.opaque
            if words[:1] == [b"BDAT"] and self.plan.world.chunking and not listens:
                if not self.answer_piece(end + 2, int(words[1]), len(words) > 2):
                    return
                continue
            reply = self.words.hear(line)
            self.tale += line + b"\r\n"
            self.heard = end + 2
            self.say(reply)

    def answer_piece(self, at, size, last):
        """False: it has not come whole."""
        content = bytes(self.server.got[at:at + size])
        if len(content) < size:
            self.words.hear_part(content)
            return False
        self.heard = at + size
        if last:
            self.tale += b"BDAT LAST\r\n" + self.words.come(content) + b"\r\n"
            self.say(self.words.hear_last(content))
        else:
            self.server.out += self.words.hear_piece(content)
        return True

    def told_server(self):
        """All that the server got; of a mail by chunks once, whatever pieces it came in."""
        if not self.server:
            return b""
        rest = bytes(self.server.got[self.heard:])
        is_piece = self.words.chunking and b"BDAT "[:len(rest)] == rest[:5]
        return bytes(self.tale) + (b"" if is_piece else rest)

    # ---- the loop ------------------------------------------------------------------------

    def over(self):
        return self.client.ended and (self.server is None or self.server.ended)

    def wishes(self):
        """(socket, events, handler) of each side that is still there."""
        if not self.client.ended:
            yield self.client.sock, READ | (WRITE if self.client.out else 0), self.on_client
        if self.server and not self.server.ended:
            reads = READ if not self.server.at_eof else 0
            writes = WRITE if self.server.out or self.leaves() else 0
            yield self.server.sock, reads | writes, self.on_server
