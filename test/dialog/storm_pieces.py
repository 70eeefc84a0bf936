"""Mails by chunks, as the server of a storm takes them.  How many pieces one comes in is a
matter of time: what the server does to a piece hangs on the octets that are in it, draws no
chance, and has no number."""
import dataclasses
import random

from storm_wire import as_lines

TAKEN = b"250 piece\r\n"
LEAVING = b"421 leaving\r\n"
BEHIND = b"503 behind a refused piece\r\n"


class Pieces:
    """What of a Server is about them.  What came of it, and when, is put down: a model can
    know only what else that leads to."""

    def begin_pieces(self, seed):
        self.seed = seed
        self.mail = 0           # number of the one that is open, or was last
        self.contents = {}      # what came of each, by that number
        self.part = b""         # of a piece that has not come whole
        self.refused = {}       # (octet, reply) of each that was refused before LAST
        self.lost_in = 0        # the mail in a piece of which it was lost
        self.misled = False     # LAST stood behind a refused piece

    def come(self, more=b""):
        return self.contents.get(self.mail, b"") + more

    def refusal(self):
        """Which octet of this mail it does not like, and what it says to that."""
        chance = random.Random(f"{self.seed} mail {self.mail}")
        octet = chance.choice((0, 0, chance.randrange(2000))) if chance.random() < 0.25 \
            else 10**9
        code = chance.choice((452, 552, 554))
        return octet, b"%d this is mail %d\r\n" % (code, self.mail)

    def hear_part(self, part):
        """Of a piece; the rest is still to come."""
        self.part = part
        if self.loss.instead == "nothing" and self.is_lost_with(part):
            self.lose_between()

    def hear_piece(self, content):
        loses = self.is_lost_with(content)
        self.contents[self.mail], self.part = self.come(content), b""
        if self.lost:
            return b""
        if loses:
            return self.lose_between()
        octet, reply = self.refusal()
        if self.mail in self.refused:
            return BEHIND
        if octet >= len(self.come()):
            return TAKEN
        self.refused[self.mail] = octet, reply
        return reply

    def hear_last(self, content):
        """It counts as a line, however little it has."""
        if self.is_lost_with(content):
            self.lost_in = self.mail
            self.loss = dataclasses.replace(self.loss, at=self.heard)
        self.contents[self.mail], self.part = self.come(content), b""
        return self.unless_lost(lambda: self.take_whole(self.come()))

    def take_whole(self, whole):
        octet, reply = self.refusal()
        self.misled |= self.mail in self.refused
        self.recipients = None
        if octet >= len(whole):
            reply = self.reply(self.choose(250, 250, 451, 554))
        self.largest = max(self.largest, len(whole))
        self.completed.append((as_lines(whole), [int(reply[:3])], self.authenticated))
        return reply

    # ---- losses --------------------------------------------------------------------------

    def is_lost_with(self, more):
        return not self.lost and 0 < self.loss.mail <= self.mail and \
            len(self.come(more)) > self.loss.octet

    def lose_between(self):
        """Then it is lost to the next line, too."""
        said = {"after": TAKEN, "half": TAKEN[:2], "busy": LEAVING,
                "farewell": TAKEN + LEAVING}.get(self.loss.instead, b"")
        self.lost, self.lost_in = True, self.mail
        self.farewell = LEAVING if said.endswith(LEAVING) else b""
        self.loss = dataclasses.replace(self.loss, at=self.heard, instead="nothing")
        return said
