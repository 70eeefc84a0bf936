"""The session as it must go: what the server gets, what the client gets, byte by byte."""
import story as stories
from storm_chunks import NO_BINARY, Chunks
from storm_ending import Endings, PROTOCOL, Stuck
from storm_lmtp import LastWords
from storm_server import HELLOS, Server
from storm_wire import Wire, first_bytes, is_binary, mended, size_of

COMMAND_MAX = 2046              # without CRLF
REFUSED = (b"XCLIENT", b"XFORWARD", b"TURN", b"ATRN", b"BURL", b"XEXCH50")
GROUPED = (b"MAIL", b"RCPT", b"RSET", b"NOOP", b"VRFY", b"EXPN", b"HELP")
GO_AHEAD = b"354 Go ahead, and end with a lone dot\r\n"
LOCKED_OUT = b"554 gate.example You are locked out for a while\r\n"
VIRUS = (550, b"5.7.1", b"Virus found: Eicar-Test.UNOFFICIAL")
LOCKED = (550, b"5.7.1", b"You are locked out for a while")
TOO_BIG = (552, b"5.3.4", b"Message too big")
BROKEN = (500, b"5.5.2", b"Stray control character in command")


def verb_of(line):
    return line.split()[0].upper() if line.split() else b""


def declared(line):
    """What MAIL says of its size; 0: nothing."""
    sizes = [word[5:] for word in line.upper().split() if word.startswith(b"SIZE=")]
    return int(sizes[0]) if sizes else 0


class Model(Chunks, LastWords, Endings):
    """The gateway has one way to go, with three exceptions.  It may see at once that a message
    has outgrown hold_max_size and size_limit, or one after the other; a server's 421 out of
    turn may come before it is asked something else, or be the reply to that: FORKS says.  And
    what it still does after the server was lost, or a message grew too large, depends on
    when it learns of it: then client_least and server_least are what must have arrived, and
    to_client and to_server what may have."""

    def __init__(self, session, world, forks=(), locked=False):
        plan, self.loss = session.plan, session.loss
        self.world, self.forks, self.forked = world, list(forks), 0
        self.given = len(self.forks)        # the rest was asked for
        self.server = Server(plan.seed, session.words.loss, world)
        self.to_server, self.to_client = bytearray(), bytearray()
        self.begin_endings()
        self.begin_last_words()
        self.recipients, self.declared = None, 0        # None: no mail is open
        self.content, self.holds = None, False          # lines of the message that comes
        self.authenticated = self.enhanced = False
        self.locked = locked
        self.taken_over = None              # number of commands since
        self.begin_chunks(session)
        self.extended = self.trusted = self.direct = False
        self.over = False
        self.line, self.lines = None, Wire(plan.wire)   # the one that is looked at
        try:
            self.run()
        except Stuck:
            self.stuck = True
            self.finish_group()

    def run(self):
        if self.locked:
            self.to_client += LOCKED_OUT
            return
        greeting = self.server.greet()
        self.note_loss(False)
        self.forward(greeting)
        while not self.over and self.next_line() is not None:
            self.take(self.line)

    def next_line(self):
        is_command = self.content is None and not self.direct
        self.line = self.lines.command() if is_command else self.lines.content()
        return self.line

    def finish_group(self):
        """What the client said in one group with what was not answered may still be passed
        on."""
        while self.line is None or verb_of(self.line) in GROUPED:
            self.line = self.lines.command()
            if self.line is None or self.group_ends_before(verb_of(self.line)):
                return
            if self.is_answered_here(self.line):
                self.skip_chunk(self.line)
                self.line = None
            elif verb_of(self.line) != b"DATA" or not self.data_waits():
                self.to_server += self.wording(self.line) + b"\r\n"

    def data_waits(self):
        """For the replies before it, which say whether the server is to hear of it."""
        return self.world.delivery != "stream" or self.binarymime

    def skip_chunk(self, line):
        if verb_of(line) == b"BDAT":
            self.lines.take(int(line.split()[1]))

    def fork(self):
        self.forked += 1
        if self.forked > len(self.forks):
            self.forks.append(False)
        return self.forks[self.forked - 1]

    # ---- the server ------------------------------------------------------------------

    def tell(self, line):
        """Says a line to the server.  None: it has no answer, for it is gone or listens."""
        self.to_server += line + b"\r\n"
        was_lost = self.server.lost
        reply = self.server.hear(line)
        self.note_loss(was_lost)
        return reply

    def ask(self, line):
        """The same of what must be answered; a 421 out of turn may do so."""
        return self.answered(self.unheard, self.tell(line))

    def answered(self, unheard, reply):
        if not unheard or not self.fork():
            return reply
        self.server.last, self.server.opaque = 421, False
        return unheard

    def ask_unheard(self, line):
        """The client does not hear the answer, but that the server leaves."""
        reply = self.ask(line)
        if reply and reply.startswith(b"421"):
            self.over = self.forward(reply) == 421
        self.note_heard(reply)

    def forward(self, reply, times=1):
        """What the server says goes to the client.  Returns its code."""
        if not reply:
            raise Stuck
        self.to_client += reply * times
        self.note_heard(reply)
        return int(reply[:3])

    # ---- lines of the client -----------------------------------------------------------

    def take(self, line):
        if self.direct:
            self.pass_unread(line)
        elif self.taken_over is not None:
            self.take_over(line)
        elif self.content is not None and line != b".":
            self.content += mended(line)
        elif self.content is not None:
            self.take_message()
        elif self.server.opaque:
            self.take_answer(line)
        else:
            self.take_command(line)

    def say(self, reply):
        code, enhanced, text = reply
        self.to_client += b"%d " % code + (enhanced + b" " if self.enhanced else b"") + \
            text + b"\r\n"

    # ---- content -------------------------------------------------------------------------

    def take_message(self):
        content, self.content = self.content, None
        limit, size = self.world.size_limit, size_of(content)
        too_big = limit > 0 and size > limit
        if not self.holds:
            self.stream(content, too_big)
        elif self.outgrows(size, too_big):
            self.go_over(content, too_big)
        else:
            self.deliver_held(content, too_big)

    def outgrows(self, size, too_big):
        """Goes over from hold to stream before its end.  What comes at once is too big
        before it can."""
        hold_max, limit = self.world.hold_max, self.world.size_limit
        if self.world.delivery != "auto" or size <= hold_max:
            return False
        return not too_big or (hold_max < limit and self.fork())

    def go_over(self, content, too_big):
        refusal = self.ask(b"DATA")
        if self.server.body:
            self.stream(content, too_big)
        elif refusal and refusal.startswith(b"421"):
            self.to_client += self.lost_words(self.enhanced) * self.words_due()
            self.over = True
        else:
            self.decline(refusal)

    def decline(self, refusal):
        """The server's no to DATA is what the client hears to its dot."""
        if self.forward(refusal, self.words_due()) == 421:
            self.over = True
        else:
            self.await_words(1)         # it may have left since, while the client talked
            self.reset()

    def reset(self):
        self.recipients = None
        self.ask_unheard(b"RSET")

    def stream(self, content, too_big):
        """The server gets it before the verdict, and is left if that is bad."""
        if too_big:
            if self.server_least is None:
                self.server_least = len(self.to_server)
            wire = first_bytes(content, self.world.size_limit)
            for line in wire.split(b"\r\n")[:-1]:
                self.tell(line)             # and may be lost before that is seen
            self.to_server += wire.split(b"\r\n")[-1]
        else:
            for line in content:
                self.tell(line)
        finding = self.verdict(content, too_big)
        if finding:
            self.refuse(finding)
            self.taken_over = 0
        else:
            self.finish()

    def deliver_held(self, content, too_big):
        """The server gets it after the verdict, or never hears of it."""
        finding = self.verdict(content, too_big)
        if finding:
            self.refuse(finding)
            self.await_words(1)         # it may have left while the client talked
            self.reset()
            return
        refusal = self.ask(b"DATA")
        if not self.server.body:
            self.decline(refusal)
            return
        for line in content:
            self.tell(line)
        self.finish()

    def verdict(self, content, too_big):
        """What there is against a message; None: nothing."""
        if too_big:
            return TOO_BIG
        if self.locked:
            return LOCKED
        if not self.is_read() or not any(stories.MARK in line for line in content):
            return None
        self.locked = self.world.locks
        return VIRUS

    def is_read(self):
        return not (self.authenticated and self.world.skips_virus)

    def is_to_be_held(self):
        way = self.world.delivery
        if way == "stream" or not self.recipients or not self.is_read():
            return False
        return way == "hold" or self.declared <= self.world.hold_max

    # ---- commands ------------------------------------------------------------------------

    def take_command(self, line):
        verb = verb_of(line)
        if len(line) > COMMAND_MAX:
            self.say((500, b"5.5.2", b"Line too long"))
        elif self.is_broken(line):
            self.say(BROKEN)
        elif self.world.chunking and self.take_as_chunks(line, verb):
            pass
        elif verb == b"BDAT":
            self.say((502, b"5.5.1", b"Command not implemented"))
            self.skip_chunk(line)
        elif verb in REFUSED:
            self.say((502, b"5.5.1", b"Command not implemented"))
        elif verb == b"MAIL" and 0 < self.world.size_limit < declared(line):
            self.say(TOO_BIG)
        elif verb == b"MAIL" and is_binary(line) and not self.binarymime:
            self.say(NO_BINARY)
        elif verb == b"DATA" and self.is_to_be_held():
            self.to_client += GO_AHEAD
            self.begin_content(True)
        else:
            self.pass_on(line, verb)

    @staticmethod
    def is_broken(line):
        return b"\r" in line or b"\n" in line

    def is_answered_here(self, line):
        verb = verb_of(line)
        return b"\r" in line or len(line) > COMMAND_MAX or verb in REFUSED + (b"BDAT",) or \
            self.is_intruder(verb) or (verb == b"MAIL" and (
                0 < self.world.size_limit < declared(line) or
                (is_binary(line) and not self.binarymime)))

    def begin_content(self, holds):
        self.content, self.holds = [], holds
        self.await_words()

    def wording(self, line):
        """As the server gets it."""
        translates = self.world.lmtp and verb_of(line) in HELLOS
        return b"LHLO" + line[4:] if translates else line

    def pass_on(self, line, verb):
        reply = self.ask(self.wording(line))
        if verb == b"DATA" and reply and self.server.body and self.is_for_nobody():
            self.say(PROTOCOL)
            self.over = True
            return
        if verb in HELLOS and reply and reply.startswith(b"250"):
            reply = self.greet(verb, reply)
        self.note(line, verb, self.forward(reply))

    def greet(self, verb, reply):
        """What was said to HELO, as LHLO, has one line for the client."""
        self.lmtp, self.extended = verb == b"LHLO", verb != b"HELO"
        self.enhanced = self.chunking = self.binarymime = False
        if verb == b"HELO" and not self.world.lmtp:
            return reply
        edited = self.edit_offers(reply)
        return edited if self.extended else b"250 " + edited[4:].split(b"\r\n")[0] + b"\r\n"

    def note(self, line, verb, code):
        """What the server's reply means."""
        accepted = 200 <= code <= 299
        if verb == b"DATA" and code == 354:
            self.begin_content(False)
        elif verb == b"AUTH":
            self.note_auth(code)
        elif accepted and verb in HELLOS + (b"RSET",):
            self.recipients = self.chunks = None
        elif accepted and verb == b"MAIL":
            self.recipients, self.declared = 0, declared(line)
            self.binary = is_binary(line)
        elif accepted and verb == b"RCPT" and self.recipients is not None:
            self.recipients += 1
        self.over = verb == b"QUIT"

    def take_answer(self, line):
        """To a challenge: whatever it looks like.  One that cannot be passed on cancels."""
        if self.is_broken(line):
            self.ask_unheard(b"*")
            if not self.over:
                self.say(BROKEN)
        else:
            self.note_auth(self.forward(self.ask(line)))

    def note_auth(self, code):
        """From here on nobody reads it, unless that could be misused or misunderstood."""
        self.authenticated |= code == 235
        translates = self.world.lmtp and not self.lmtp
        self.direct = code == 235 and self.world.direct and self.extended and \
            not self.trusted and not translates
        if self.direct:
            self.unread_from = len(self.to_client)
        if self.direct and self.server.besides:
            self.to_client += self.server.besides
            self.adrift = None

    def pass_unread(self, line):
        """Behind the server's last word nobody knows how far the client's get."""
        self.to_server += line + b"\r\n"
        if not self.server.lost and not self.server.ended:
            self.to_client += self.server.hear(line) or b""
            self.to_client += self.server.besides
            self.note_end()

    def edit_offers(self, reply):
        first, *offers = [line[4:] for line in reply.split(b"\r\n")[:-1]]
        self.trusted |= b"XCLIENT ADDR" in offers
        self.chunking = self.world.chunking and self.extended and b"CHUNKING" in offers
        hidden = (b"XCLIENT ADDR",) + (b"CHUNKING", b"BINARYMIME") * (not self.chunking)
        offers = [self.lower(line) for line in offers if line not in hidden]
        self.binarymime = b"BINARYMIME" in offers
        self.enhanced = self.extended and b"ENHANCEDSTATUSCODES" in offers
        lines = [first] + offers
        return b"".join(b"250-%s\r\n" % line for line in lines[:-1]) + \
            b"250 %s\r\n" % lines[-1]

    def lower(self, offer):
        limit = self.world.size_limit
        if not offer.startswith(b"SIZE") or not limit:
            return offer
        theirs = int(offer[4:] or 0)
        return offer if 0 < theirs <= limit else b"SIZE %d" % limit

    def take_over(self, line):
        verb = verb_of(line) if not self.is_broken(line) else b""
        if verb == b"QUIT":
            self.say((221, b"2.0.0", b"gate.example Closing connection"))
            self.over = True
            return
        self.taken_over += 1
        if self.taken_over > self.world.takeover_commands or verb == b"BDAT":
            self.say((554, b"5.5.0",
                      b"gate.example Too many commands after a refused message"))
            self.over = True
        elif verb in HELLOS:
            self.to_client += b"250 gate.example Hello\r\n"
        elif verb in (b"NOOP", b"RSET"):
            self.say((250, b"2.0.0", b"OK"))
        elif verb == b"MAIL":
            self.say((451, b"4.3.0", b"Session is over, please try again later"))
        elif verb in (b"RCPT", b"DATA"):
            self.say((503, b"5.5.1", b"MAIL first"))
        else:
            self.say((502, b"5.5.1", b"Command not implemented"))


def outcomes(session, world, locked):
    """A model for each way that the gateway may go."""
    todo, done = [()], []
    while todo:
        model = Model(session, world, todo.pop(), locked)
        done.append(model)
        for i, taken in enumerate(model.forks):
            if not taken and i >= model.given:
                todo.append(tuple(model.forks[:i]) + (True,))
    return done
