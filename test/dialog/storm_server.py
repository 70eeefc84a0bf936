"""What the server of a storm says."""
import random

from storm_pieces import Pieces
from storm_wire import is_binary, size_of


class Server(Pieces):
    """What it says to each line; a matter of chance, but of the same chance for the same
    seed.  Says None while it listens, and when it is lost."""

    def __init__(self, seed, loss, chunking=False):
        self.chunking = chunking
        self.chance = random.Random(f"{seed} server")
        self.kind = self.chance.random() < 0.7      # takes most of what it is asked
        self.loss = loss
        self.body = self.opaque = self.ended = self.lost = False
        self.said = self.heard = self.last = 0
        self.half = b""                 # of a reply, the last that it says
        self.authenticated = False
        self.content = []
        self.completed = []             # (content, code, with authentication) of messages
        self.recipients = None          # None: no mail is open
        self.binary = False             # that mail has no lines
        self.largest = 0                # bytes, of those that were completed
        self.begin_pieces(seed)

    def reply(self, code, *lines):
        self.said += 1
        self.last = code
        lines = lines or (b"reply %d" % self.said,)
        out = b"".join(b"%d-%s\r\n" % (code, line) for line in lines[:-1])
        return out + b"%d %s\r\n" % (code, lines[-1])

    def greet(self):
        return self.unless_lost(lambda: self.reply(220, b"mx.example", b"ESMTP"))

    def hear(self, line):
        return self.unless_lost(lambda: self.listen(line))

    def unless_lost(self, say):
        """It is lost when it has heard so many lines, whatever it would say then."""
        if self.lost:
            return None
        self.heard += 1
        if self.loss.who != "server" or self.heard <= self.loss.at:
            return say()
        self.lost = True
        if self.loss.instead == "after":
            return say()
        self.half = b"25" if self.loss.instead == "half" else b""
        return None

    def listen(self, line):
        if self.body and line != b".":
            self.content.append(line)
            return None
        if self.body:
            self.body = False
            code = self.choose(250, 250, 451, 554)
            self.completed.append((b"\n".join(self.content), code, self.authenticated))
            self.largest = max(self.largest, size_of(self.content))
            self.content, self.recipients = [], None
            return self.reply(code)
        if self.opaque:                 # RFC 4954 section 4: "*" cancels
            code = 501 if line == b"*" else self.chance.choice((235, 235, 334, 535))
            self.opaque = code == 334
            self.authenticated |= code == 235
            return self.reply(code)
        verb = line.split()[0].upper() if line.split() else b""
        return self.note(line, verb, self.obey(verb))

    def note(self, line, verb, reply):
        if reply[:1] != b"2":
            return reply
        if verb in (b"RSET", b"HELO", b"EHLO", b"QUIT"):
            self.recipients = None
        elif verb == b"MAIL":
            self.recipients, self.binary = 0, is_binary(line)
            self.mail += 1
        elif verb == b"RCPT" and self.recipients is not None:
            self.recipients += 1
        return reply

    def choose(self, *codes):
        if self.kind and self.chance.random() < 0.9:
            return codes[0]
        return self.chance.choice(codes)

    def obey(self, verb):
        if verb == b"QUIT":
            self.ended = True
            return self.reply(221)
        if verb == b"DATA" and self.chunking and (not self.recipients or self.binary):
            return self.reply(503)
        if verb == b"DATA":
            code = self.choose(354, 354, 503, 451)
            self.body = code == 354
            return self.reply(code)
        if verb == b"AUTH":
            code = self.choose(334, 334, 235, 503, 535)
            self.opaque = code == 334
            self.authenticated |= code == 235
            return self.reply(code)
        if verb == b"EHLO" and self.chance.random() < 0.9:
            return self.reply(250, b"mx.example", *self.offers())
        if verb == b"RSET":             # RFC 5321 4.1.1.5: always
            return self.reply(250)
        return self.reply(self.choose(250, 250, 250, 451, 550, 500),
                          *[b"x" * self.chance.randrange(60)] * self.chance.randrange(4))

    def offers(self):
        offers = [b"CHUNKING", b"mx.example", b"PIPELINING", b"8BITMIME"]
        offers += [b"ENHANCEDSTATUSCODES"] * (self.chance.random() < 0.5)
        offers += [self.chance.choice((b"SIZE", b"SIZE 100", b"SIZE 5000"))] * \
            (self.chance.random() < 0.5)
        if self.chunking:
            offers += [b"BINARYMIME"] * (self.chance.random() < 0.7)
            offers = offers[self.chance.random() < 0.1:]
        self.chance.shuffle(offers)
        return offers
