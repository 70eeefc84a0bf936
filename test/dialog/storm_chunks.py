"""Messages that come by chunks (BDAT), as they must go: the half of the model that worlds
with chunks have besides."""
from storm_wire import decoded

NO_RECIPIENT = (503, b"5.5.1", b"No valid recipients")
FAULTY = (501, b"5.5.4", b"After the size of BDAT comes LAST, or nothing")
CHUNK_NEXT = (503, b"5.5.1", b"BDAT, RSET or QUIT next")
NO_BINARY = (555, b"5.5.4", b"Command not implemented")
INTRUDERS = (b"MAIL", b"RCPT", b"DATA", b"AUTH", b"STARTTLS", b"XFORWARD")


class Chunks:
    """What of a Model is about chunks.  When the server gets them is a matter of time: so
    its word on one may come to any chunk that follows, and of a mail that has no end it
    may have any beginning.  Which of these ways it went is read from what both sides saw;
    each of them must be one that it may go."""

    def begin_chunks(self, session):
        self.words, self.seen = session.words, bytes(session.client.got)
        self.chunking = self.binarymime = False         # is offered
        self.chunks, self.chunks_held = None, False     # raw, of the mail that comes so
        self.binary = False             # it has no lines
        self.most, self.least = {}, {}  # what the server may, and must, have of each mail

    # ---- commands ------------------------------------------------------------------------

    def take_as_chunks(self, line, verb):
        """A command that is one of chunks, or cannot stand between them.  False: it is
        like in worlds without."""
        if verb == b"BDAT" and self.chunking:
            size, *words = line.split()[1:]
            if words in ([], [b"LAST"]):
                self.take_chunk(int(size), bool(words))
            else:
                self.take_faulty(int(size))
        elif self.is_intruder(verb):
            self.say(CHUNK_NEXT)
        elif verb == b"DATA" and self.binary and self.recipients is not None:
            self.say(CHUNK_NEXT)
        else:
            return False
        return True

    def is_intruder(self, verb):
        return self.chunks is not None and verb in INTRUDERS

    def group_ends_before(self, verb):
        """What the next of these means depends on all replies before."""
        return verb == b"BDAT" and self.chunking

    # ---- chunks --------------------------------------------------------------------------

    def decode(self, is_whole):
        return self.chunks if self.binary else decoded(self.chunks, is_whole)

    def take_chunk(self, size, last):
        chunk = self.lines.take(size)
        if not self.recipients:
            self.say(NO_RECIPIENT)
            return
        if self.chunks is None:
            self.chunks, self.chunks_held = b"", self.is_to_be_held()
        self.await_words(1)
        arrives = not self.chunks and not self.chunks_held  # nothing before it is unanswered
        self.chunks += chunk
        content, limit = self.decode(last), self.world.size_limit
        too_big = 0 < limit < len(content)
        if self.world.delivery == "auto" and len(content) > self.world.hold_max and \
                not (too_big and self.world.hold_max >= limit):
            self.chunks_held = False
        if not self.chunks_held:
            self.hand_over(content[:limit or None])
        if arrives and not too_big:
            self.least[self.server.mail] = content
        if self.is_refused(content):
            self.refuse_chunks()
        elif last or too_big:
            self.end_chunks(content, too_big)
        else:
            self.say((250, b"2.0.0", b"%d octets" % size))

    def take_faulty(self, size):
        """Something else than LAST stands behind the size: the mail is over."""
        self.lines.take(size)
        self.await_words(1)
        self.say(FAULTY)
        if self.recipients is not None:
            self.chunks = None
            self.reset()

    def hand_over(self, content):
        """The server may have got as much of it, and then it may be lost."""
        self.most[self.server.mail] = content
        if self.words.lost_in == self.server.mail and self.loss.octet < len(content) and \
                self.client_least is None:
            self.client_least, self.server_least = len(self.to_client), len(self.to_server)
            self.unheard = self.words.farewell

    def is_refused(self, content):
        """What the server has against a piece is the reply to one of the chunks that come
        after it, or to its own."""
        octet, reply = self.words.refused.get(self.server.mail, (0, b""))
        return reply and not self.chunks_held and octet < len(content) and self.hears(reply)

    def hears(self, reply):
        """True if that is what the client saw next; if it saw no more, both ways are open."""
        next_seen = self.seen[len(self.to_client):][:len(reply)]
        return next_seen == reply or (reply.startswith(next_seen) and self.fork())

    def refuse_chunks(self):
        self.chunks = None
        self.to_client += self.words.refused[self.server.mail][1]
        self.reset()

    def end_chunks(self, content, too_big):
        self.chunks = None
        finding = self.verdict([content], too_big)
        if finding:
            self.say(finding)
            self.reset()
            return
        self.hand_over(content)
        if self.server.mail in self.words.refused:
            self.refuse_chunks()
            return
        self.to_server += b"BDAT LAST\r\n" + content + b"\r\n"
        self.recipients, was_lost, unheard = None, self.server.lost, self.unheard
        reply = self.server.hear_last(content)
        self.note_loss(was_lost)
        if self.forward(self.answered(unheard, reply)) >= 400:
            self.reset()

    # ---- what may have come of it ----------------------------------------------------------

    def chunks_fault(self):
        """What is wrong with what the server has of each mail, or ""."""
        words = self.words
        for mail in range(1, words.mail + 1):
            is_past = mail < words.mail or not (words.lost or self.loss.who)
            come = words.contents.get(mail, b"") + words.part * (mail == words.mail)
            most = self.most.get(mail, b"")
            least = self.least.get(mail, b"") if is_past else b""
            if not most.startswith(come) or not come.startswith(least):
                return f"of mail {mail} the server has\n    {come}\n    " \
                       f"and not at most\n    {most}\n    at least\n    {least}"
        return ""
