"""What the server of a storm says."""
import random
import re

from storm_pieces import Pieces
from storm_wire import is_binary, size_of

HELLOS = (b"HELO", b"EHLO", b"LHLO")
BABBLE = (b"250 by the way\r\n", b"220 hello\r\n", b"250-two\r\n250 lines\r\n", b"500 what\r\n")


def whole_replies(said):
    """One by one; without what is no whole one at the end."""
    return re.findall(rb"(?:\d{3}-.*\r\n)*\d{3} .*\r\n", said or b"")


class Server(Pieces):
    """What it says to each line; a matter of chance, but of the same chance for the same
    seed.  Says None while it listens, and when it is lost."""

    def __init__(self, seed, loss, world):
        self.chunking, self.lmtp = world.chunking, world.lmtp
        self.chance = random.Random(f"{seed} server")
        self.kind = self.chance.random() < 0.7      # takes most of what it is asked
        self.loss = loss
        self.body = self.opaque = self.ended = self.lost = False
        self.said = self.heard = self.messages = self.last = 0
        self.besides = b""              # said with the last reply, or instead of it
        self.farewell = b""             # a 421 of which nobody knows when it is heard
        self.authenticated = self.babbled = False
        self.content = []
        self.completed = []             # (content, codes, with authentication) of messages
        self.recipients = None          # None: no mail is open
        self.binary = False             # that mail has no lines
        self.largest = 0                # bytes, of those that were completed
        self.begin_pieces(seed)

    def reply(self, code, *lines):
        self.said += 1
        lines = lines or (b"reply %d" % self.said,)
        out = b"".join(b"%d-%s\r\n" % (code, line) for line in lines[:-1])
        return out + b"%d %s\r\n" % (code, lines[-1])

    def greet(self):
        return self.unless_lost(lambda: self.reply(220, b"mx.example", b"ESMTP"))

    def hear(self, line):
        self.messages += self.body and line == b"."
        return self.unless_lost(lambda: self.listen(line))

    def unless_lost(self, say):
        """It is lost when it has heard so many lines, or messages, whatever it would say
        then."""
        self.besides = b""
        if self.lost:
            return None
        self.heard += 1
        ends = self.loss.who == "server" and (
            self.heard > self.loss.at or 0 < self.loss.message <= self.messages)
        said = self.lose(say) if ends else say()
        codes = [int(reply[:3]) for reply in whole_replies((said or b"") + self.besides)]
        self.last = ([self.last] + codes)[-1]
        return said

    def lose(self, say):
        """Of several replies that are due some may be said before it is lost."""
        how = self.loss.instead
        if how == "babble":
            return self.babble(say())
        self.lost = True
        if how in ("after", "farewell"):
            said = say()
            self.besides = self.farewell = b"" if how == "after" else self.reply(421)
            return said
        replies = whole_replies(say()) if self.body and self.lmtp else []
        some = self.chance.randrange(1, len(replies)) if len(replies) > 1 else 0
        said = b"".join(replies[:some])
        self.besides = b"25" if how == "half" else b""
        if how == "busy":
            self.farewell, self.opaque = self.reply(421), False
        return said + self.farewell or None

    def babble(self, said):
        """Once, behind a reply, and not where content could be meant."""
        if said and said[:1] != b"3" and not self.babbled:
            self.babbled = True
            self.besides = random.Random(f"{self.seed} babble").choice(BABBLE)
        return said

    def listen(self, line):
        if self.body and line != b".":
            self.content.append(line)
            return None
        if self.body:
            self.body = False
            return self.take_message()
        if self.opaque:                 # RFC 4954 section 4: "*" cancels
            code = 501 if line == b"*" else self.chance.choice((235, 235, 334, 535))
            self.opaque = code == 334
            self.authenticated |= code == 235
            return self.reply(code)
        verb = line.split()[0].upper() if line.split() else b""
        return self.note(line, verb, self.obey(verb))

    def replies_due(self):
        """To content.  Without a recipient LMTP has none, but somebody must say so."""
        return max(self.recipients or 0, 1) if self.lmtp else 1

    def take_message(self):
        mixes = self.lmtp and self.chance.random() < 0.5
        choose = self.chance.choice if mixes else lambda codes: self.choose(*codes)
        codes = [choose((250, 250, 250, 451, 451, 554, 554, 421))
                 for _ in range(self.replies_due())]
        self.completed.append((b"\n".join(self.content), codes, self.authenticated))
        self.largest = max(self.largest, size_of(self.content))
        self.content, self.recipients = [], None
        return b"".join(self.reply(code) for code in codes)

    def note(self, line, verb, reply):
        if reply[:1] != b"2":
            return reply
        if verb in HELLOS:
            self.lmtp = verb == b"LHLO"
        if verb in HELLOS + (b"RSET", b"QUIT"):
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

    def is_strict(self):
        """DATA is for mails with recipients, and with lines: not all see to that."""
        if self.chunking:
            return not self.recipients or self.binary
        return self.lmtp and not self.recipients and self.chance.random() < 0.8

    def obey(self, verb):
        if verb == b"QUIT":
            self.ended = True
            return self.reply(221)
        if verb == b"DATA" and self.is_strict():
            return self.reply(503)
        if verb == b"DATA":
            code = self.choose(354, 354, 503, 451, 421)
            self.body = code == 354
            return self.reply(code)
        if verb == b"AUTH":
            code = self.choose(334, 334, 235, 503, 535, 421)
            self.opaque = code == 334
            self.authenticated |= code == 235
            return self.reply(code)
        if verb in (b"EHLO", b"LHLO") and self.chance.random() < 0.9:
            return self.reply(250, b"mx.example", *self.offers())
        if verb == b"RSET":             # RFC 5321 4.1.1.5: always, unless it leaves
            return self.reply(250 if self.chunking else self.choose(250, 250, 421))
        return self.reply(self.choose(250, 250, 250, 451, 550, 500, 421),
                          *[b"x" * self.chance.randrange(60)] * self.chance.randrange(4))

    def offers(self):
        offers = [b"CHUNKING", b"mx.example", b"PIPELINING", b"8BITMIME"]
        offers += [b"ENHANCEDSTATUSCODES"] * (self.chance.random() < 0.5)
        offers += [self.chance.choice((b"SIZE", b"SIZE 100", b"SIZE 5000"))] * \
            (self.chance.random() < 0.5)
        offers += [b"XCLIENT ADDR"] * (self.chance.random() < 0.1)
        if self.chunking:
            offers += [b"BINARYMIME"] * (self.chance.random() < 0.7)
            offers = offers[self.chance.random() < 0.1:]
        self.chance.shuffle(offers)
        return offers
