#!/usr/bin/env python3
"""Many random sessions at once, each held against a model of what should come of it.

usage: storm.py PROGRAM [SECONDS [SEED]]

Clients pipeline without manners, in segments cut anywhere; servers accept and refuse by
chance; some mails carry a virus, some peers break off.  The model (Model) knows from the
seed alone what the server must get and what the client must get, byte by byte.
"""
import os
import random
import selectors
import socket
import struct
import sys
import time

import dialog
import gateway as gateways
import story as stories

AT_ONCE = 24
LIMIT = 60                      # seconds for one session
TAKEOVER_COMMANDS = 10
DELIVERIES = (("stream", 1), ("hold", 1), ("auto", 1), ("auto", 1000), ("auto", 10000))
COMMAND_MAX = 2046              # without CRLF
REFUSED = (b"XCLIENT", b"XFORWARD", b"TURN", b"ATRN", b"BURL", b"XEXCH50")
VIRUS = b"550 %sVirus found: Eicar-Test.UNOFFICIAL\r\n"
LOST = (b"421 gate.example The connection to the mail server was lost\r\n",
        b"421 4.4.2 gate.example The connection to the mail server was lost\r\n")

GO_AHEAD = b"354 Go ahead, and end with a lone dot\r\n"

COMMANDS = (b"NOOP", b"RSET", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"DATA", b"DATA",
            b"HELO x", b"EHLO x", b"EHLO y", b"AUTH PLAIN", b"AUTH LOGIN eHg=", b"VRFY x",
            b"FOO", b"", b".", b"..", b"*", b"HELP", b"mail from:<> SIZE=1",
            b"XCLIENT ADDR=1", b"xforward x", b"BURL x", b"EXPN " + b"x" * 1000,
            b"NOOP\rQUIT")
TEXTS = (b"Subject: x", b"", b"..", b"..QUIT", b"...", b"DATA", b"RCPT TO:<e@f>", b"RSET",
         b"text " * 20, b"y" * 3000, b"a.b", b"MAIL FROM:<g@h>", b"XCLIENT x", b"* *")


class Server:
    """What a server says to each line; a matter of chance, but of the same chance for the
    same seed.  Says None while it listens."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.body = self.opaque = self.ended = False
        self.said = 0

    def reply(self, code, *lines):
        self.said += 1
        lines = lines or (b"reply %d" % self.said,)
        out = b"".join(b"%d-%s\r\n" % (code, line) for line in lines[:-1])
        return out + b"%d %s\r\n" % (code, lines[-1])

    def greet(self):
        return self.reply(220, b"mx.example", b"ESMTP")

    def hear(self, line):
        if self.body:
            if line != b".":
                return None
            self.body = False
            return self.reply(self.chance.choice((250, 250, 451, 554)))
        if self.opaque:                 # RFC 4954 section 4: "*" cancels
            code = 501 if line == b"*" else self.chance.choice((235, 334, 535))
            self.opaque = code == 334
            return self.reply(code)
        return self.obey(line.split()[0].upper() if line.split() else b"")

    def obey(self, verb):
        chance = self.chance
        if verb == b"QUIT":
            self.ended = True
            return self.reply(221)
        if verb == b"DATA" and chance.random() < 0.6:
            self.body = True
            return self.reply(354)
        if verb == b"AUTH" and chance.random() < 0.7:
            self.opaque = True
            return self.reply(334)
        if verb == b"EHLO" and chance.random() < 0.8:
            offers = [b"mx.example", b"PIPELINING", b"8BITMIME", b"CHUNKING"]
            if chance.random() < 0.5:
                offers.append(b"ENHANCEDSTATUSCODES")
            chance.shuffle(offers)
            return self.reply(250, *([b"mx.example"] + offers))
        if verb in (b"DATA", b"AUTH"):
            return self.reply(503)
        if verb == b"RSET":             # RFC 5321 4.1.1.5: always
            return self.reply(250)
        return self.reply(chance.choice((250, 250, 250, 451, 550, 500)),
                          *[b"x" * chance.randrange(60)] * chance.randrange(4))


class Model:
    """The session as it must go: what the server gets, what the client gets."""

    def __init__(self, seed, lines, delivery=("stream", 0)):
        self.server = Server(seed)
        self.delivery, self.hold_max = delivery
        self.recipients, self.declared = None, 0    # None: no mail is open
        self.held = self.refused = None     # lines of a held message; the server's no to it
        self.size = 0
        self.to_server, self.to_client = bytearray(), bytearray()
        self.enhanced = self.infected = self.over = False
        self.taken_over = None          # number of commands since
        self.chunk = 0                  # bytes of a refused BDAT that are still to come
        self.to_client += self.server.greet()
        for line in lines:
            if not self.over:
                self.take(line)

    def take(self, line):
        if self.chunk > 0:
            self.chunk -= len(line) + 2
        elif self.taken_over is not None:
            self.take_over(line)
        elif self.held is not None:
            self.take_held(line)
        elif self.server.body:
            self.take_content(line)
        else:
            self.take_command(line)

    def take_content(self, line):
        self.infected |= stories.EICAR in line
        line = line.replace(b"\r", b"\r\n")         # the stray one
        if line == b"." and self.infected:
            self.to_client += VIRUS % (b"5.7.1 " if self.enhanced else b"")
            self.taken_over = 0
            return
        self.pass_on(line)

    def pass_on(self, line):
        self.to_server += line + b"\r\n"
        return self.hear(line)

    def is_to_be_held(self):
        if self.delivery == "stream" or not self.recipients:
            return False
        return self.delivery == "hold" or self.declared <= self.hold_max

    def take_held(self, line):
        """The server hears of it when its end has come, or when it has grown too large."""
        self.infected |= stories.EICAR in line
        line = line.replace(b"\r", b"\r\n")
        if line == b".":
            self.decide()
            return
        self.held.append(line)
        self.size += len(line[1:] if line.startswith(b".") else line) + 2
        if self.delivery == "auto" and self.size > self.hold_max and not self.refused:
            self.offer()

    def offer(self):
        """DATA, and what there is of the message.  False: the server does not want it."""
        self.to_server += b"DATA\r\n"
        reply = self.server.hear(b"DATA")
        if not self.server.body:
            self.refused = reply
            return False
        for line in self.held:
            self.pass_on(line)
        self.held = None
        return True

    def decide(self):
        if self.refused is None and not self.infected and self.offer():
            self.pass_on(b".")
            return
        self.to_client += self.refused or VIRUS % (b"5.7.1 " if self.enhanced else b"")
        self.to_server += b"RSET\r\n"
        self.server.hear(b"RSET")
        self.held = self.refused = self.recipients = None
        self.infected = False

    def note(self, line, code, ends_content):
        """What the server's reply means for the mail."""
        verb = line.split()[0].upper() if line.split() else b""
        if ends_content or (200 <= code <= 299 and verb in (b"RSET", b"HELO", b"EHLO")):
            self.recipients = None
        elif 200 <= code <= 299 and verb == b"MAIL":
            self.recipients = 0
            self.declared = 1 if b"SIZE=1" in line else 0
        elif 200 <= code <= 299 and verb == b"RCPT" and self.recipients is not None:
            self.recipients += 1

    def hear(self, line):
        in_content = self.server.body
        reply = self.server.hear(line)
        if reply:
            self.note(line, int(reply[:3]), in_content)
        if reply and line.upper().startswith(b"EHLO") and reply[:3] == b"250":
            reply = self.offers(reply)
        elif reply and line.upper().startswith(b"HELO") and reply[:3] == b"250":
            self.enhanced = False
        self.to_client += reply or b""
        self.over = self.server.ended

    def offers(self, reply):
        lines = [line[4:] for line in reply.split(b"\r\n")[:-1]]
        lines = lines[:1] + [line for line in lines[1:] if line != b"CHUNKING"]
        self.enhanced = b"ENHANCEDSTATUSCODES" in lines[1:]
        return b"".join(b"250-%s\r\n" % line for line in lines[:-1]) + \
            b"250 %s\r\n" % lines[-1]

    def say(self, code, enhanced, text):
        self.to_client += b"%d " % code + (enhanced + b" " if self.enhanced else b"") + \
            text + b"\r\n"

    def take_command(self, line):
        verb = line.split()[0].upper() if line.split() else b""
        if not self.server.opaque and len(line) > COMMAND_MAX:
            self.say(500, b"5.5.2", b"Line too long")
        elif not self.server.opaque and verb == b"BDAT":
            self.say(502, b"5.5.1", b"Command not implemented")
            self.chunk = int(line.split()[1])
        elif b"\r" in line:
            if self.server.opaque:      # the server waits for an answer: it is cancelled
                self.to_server += b"*\r\n"
                self.server.hear(b"*")
            self.say(500, b"5.5.2", b"Stray control character in command")
        elif not self.server.opaque and verb in REFUSED:
            self.say(502, b"5.5.1", b"Command not implemented")
        elif not self.server.opaque and verb == b"DATA" and self.is_to_be_held():
            self.to_client += GO_AHEAD
            self.held, self.size = [], 0
        else:
            opaque = self.server.opaque
            self.to_server += line + b"\r\n"
            if opaque:                  # EHLO is no EHLO there
                self.to_client += self.server.hear(line)
            else:
                self.hear(line)

    def take_over(self, line):
        verb = line.split()[0].upper() if line.split() and b"\r" not in line else b""
        if verb == b"QUIT":
            self.say(221, b"2.0.0", b"gate.example Closing connection")
            self.over = True
            return
        self.taken_over += 1 if verb != b"BDAT" else TAKEOVER_COMMANDS + 1
        if self.taken_over > TAKEOVER_COMMANDS:
            self.say(554, b"5.5.0",
                     b"gate.example Too many commands after a refused message")
            self.over = True
        elif verb in (b"HELO", b"EHLO"):
            self.to_client += b"250 gate.example Hello\r\n"
        elif verb in (b"NOOP", b"RSET"):
            self.say(250, b"2.0.0", b"OK")
        elif verb == b"MAIL":
            self.say(451, b"4.3.0", b"Session is over, please try again later")
        elif verb in (b"RCPT", b"DATA"):
            self.say(503, b"5.5.1", b"MAIL first")
        else:
            self.say(502, b"5.5.1", b"Command not implemented")


def make_lines(chance):
    lines = []
    for _ in range(chance.randrange(25)):
        lines.append(chance.choice(COMMANDS))
        if chance.random() < 0.1:
            chunk = [chance.choice(TEXTS + COMMANDS) for _ in range(chance.randrange(9))]
            size = sum(len(line) + 2 for line in chunk)
            lines += [b"BDAT %d" % size] + chunk
        if chance.random() < 0.25:
            lines += [b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"DATA"]
            lines += [chance.choice(TEXTS) for _ in range(chance.randrange(12))]
            if chance.random() < 0.15:
                lines.append(stories.EICAR)
            lines.append(b".")
    # Whatever state that has led to, this ends it: a body by the dot, AUTH by the star.
    return lines + [b"*"] * 3 + [b".", b"QUIT"] * 6


class Session:
    """A client and its server, driven by one selector."""

    def __init__(self, seed, address, delivery):
        self.seed, self.chance = seed, random.Random(seed)
        lines = make_lines(self.chance)
        self.model = Model(seed, lines, delivery)
        self.server_words = Server(seed)
        self.client_out = bytearray(b"".join(line + b"\r\n" for line in lines))
        self.server_out = bytearray()
        self.client_in, self.server_in, self.heard = bytearray(), bytearray(), 0
        self.client_ended = self.server_ended = False
        self.half_closes = self.chance.random() < 0.3
        # Some break off after so many bytes.
        self.breaker = self.chance.choice(("client", "server") + (None,) * 6)
        self.breaks_at = self.chance.randrange(1, 1500)
        self.began = time.monotonic()
        self.server = None
        self.client = socket.socket()
        self.client.bind(("127.0.0.1", 0))
        self.client.setblocking(False)
        self.client.connect_ex(address)

    def some(self, data):
        """A piece of what is to be sent, cut anywhere."""
        return bytes(data[:self.chance.choice((1, 2, 3, 7, 50, 1460, 65536))])

    def send(self, sock, data):
        try:
            del data[:sock.send(self.some(data))]
        except BlockingIOError:
            pass
        except OSError:
            data.clear()

    def receive(self, sock, data):
        """False at the end."""
        try:
            new = sock.recv(self.chance.choice((1, 10, 4096)))
        except BlockingIOError:
            return True
        except OSError:
            return False
        data += new
        return bool(new)

    def break_off(self, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def accept(self, sock):
        self.server = sock
        sock.setblocking(False)
        self.server_out += self.server_words.greet()

    def on_client(self, can_read, can_write):
        if can_write and self.client_out:
            self.send(self.client, self.client_out)
            if not self.client_out and self.half_closes:
                try:
                    self.client.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
        if can_read and not self.receive(self.client, self.client_in):
            self.client_ended = True
            self.client.close()
        elif self.breaker == "client" and len(self.client_in) > self.breaks_at:
            self.client_ended = True
            self.break_off(self.client)

    def on_server(self, can_read, can_write):
        if can_read:
            self.server_ended = not self.receive(self.server, self.server_in)
            self.answer()
        if can_write and self.server_out:
            self.send(self.server, self.server_out)
        if self.server_words.ended and not self.server_out:
            self.server_ended = True
        if self.server_ended:
            self.server.close()
        elif self.breaker == "server" and len(self.server_in) > self.breaks_at:
            self.server_ended = True
            self.break_off(self.server)

    def answer(self):
        while not self.server_words.ended:
            end = self.server_in.find(b"\r\n", self.heard)
            if end < 0:
                return
            reply = self.server_words.hear(bytes(self.server_in[self.heard:end]))
            self.heard = end + 2
            self.server_out += reply or b""

    def over(self):
        return self.client_ended and (self.server_ended or self.server is None)

    def wishes(self):
        """(socket, events, handler) of each side that is still there."""
        read, write = selectors.EVENT_READ, selectors.EVENT_WRITE
        if not self.client_ended:
            yield self.client, read | (write if self.client_out else 0), self.on_client
        if self.server and not self.server_ended:
            yield self.server, read | (write if self.server_out else 0), self.on_server

    def check(self):
        """What went wrong, or None."""
        got, must = bytes(self.client_in), bytes(self.model.to_client)
        sent, should = bytes(self.server_in), bytes(self.model.to_server)
        if self.breaker is None:
            if got != must:
                return differ("the client", got, must)
            return None if sent == should else differ("the server", sent, should)
        for lost in LOST:
            if got.endswith(lost) and self.breaker == "server":
                got = got[:-len(lost)]
        if not must.startswith(got):
            return differ("the client", got, must)
        return None if should.startswith(sent) else differ("the server", sent, should)


def differ(who, got, must):
    at = next((i for i, (a, b) in enumerate(zip(got, must)) if a != b),
              min(len(got), len(must)))
    return f"{who}, byte {at} of {len(must)}:\n" \
           f"    should get ...{must[max(at - 60, 0):at + 100]!r}\n" \
           f"    but it got ...{got[max(at - 60, 0):at + 100]!r}"


class Storm:
    def __init__(self, program, seed):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.listener.setblocking(False)
        self.seed, self.sessions, self.held, self.faults = seed, [], 0, 0
        chance = random.Random(seed)
        self.delivery = chance.choice(DELIVERIES)
        self.story = stories.Story("storm", config=[
            "antivirus_type = libclamav", "log_level = info", "timeout_close = 2",
            "earlytalker = no",
            "chunking = no", f"delivery = {self.delivery[0]}", f"hold_max_size = {self.delivery[1]}",
            f"on_takeover_cmds = {TAKEOVER_COMMANDS}",
            f"pipeline_size = {chance.choice((1, 2, 5, 128))}",
            f"relay_buffer = {chance.choice((65536, 262144))}",
            f"buffer_size = {chance.choice((512, 65536))}",
            f"spool_memory_each = {chance.choice((4096, 262144))}"])
        self.address = dialog.free_address(self.story, "whole",
                                           self.listener.getsockname()[1])
        self.gateway = gateways.Gateway(self.story, self.address,
                                        self.listener.getsockname())
        self.gateway.start(program, self.story)

    def begin(self):
        self.seed += 1
        self.sessions.append(Session(self.seed, self.address, self.delivery))
        # One after the other, so that the next connection to the server is this one's.
        self.listener.settimeout(10)
        self.sessions[-1].accept(self.listener.accept()[0])

    def turn(self):
        selector = selectors.DefaultSelector()
        for session in self.sessions:
            for sock, events, handler in session.wishes():
                selector.register(sock, events, handler)
        for key, events in selector.select(0.1):
            if key.fileobj.fileno() >= 0:
                key.data(bool(events & selectors.EVENT_READ),
                         bool(events & selectors.EVENT_WRITE))
        selector.close()

    def harvest(self):
        for session in list(self.sessions):
            late = time.monotonic() - session.began > LIMIT
            if not session.over() and not late:
                continue
            self.sessions.remove(session)
            self.held += 1
            fault = session.check() or ("it does not end" if late else None)
            if fault:
                self.faults += 1
                print(f"seed {session.seed}: {fault}")

    def run(self, seconds):
        deadline = time.monotonic() + seconds
        while self.sessions or time.monotonic() < deadline:
            while len(self.sessions) < AT_ONCE and time.monotonic() < deadline \
                    and self.faults < 5:
                self.begin()
            if not self.sessions:
                break
            self.turn()
            self.harvest()


def main():
    program = os.path.abspath(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(10**9)
    print(f"storm.py {sys.argv[1]} {seconds:g} {seed}", flush=True)
    storm = Storm(program, seed)
    try:
        storm.run(seconds)
        storm.gateway.check_tidy(storm.story)
        storm.gateway.stop(storm.story)
    except (AssertionError, OSError) as complaint:
        storm.faults += 1
        print(f"{complaint}\n{storm.gateway.log()[-3000:]}")
    storm.gateway.fini(False)
    print(f"{storm.held} sessions, {storm.faults} faults")
    return 1 if storm.faults else 0


if __name__ == "__main__":
    sys.exit(main())
