"""Messages that come by chunks (BDAT), as they must go: the half of the model that worlds
with chunks have besides."""
from storm_wire import decoded

NO_RECIPIENT = (503, b"5.5.1", b"No valid recipients")
CHUNK_NEXT = (503, b"5.5.1", b"BDAT, RSET or QUIT next")
INTRUDERS = (b"MAIL", b"RCPT", b"DATA", b"AUTH", b"STARTTLS", b"XFORWARD")


class Chunks:
    """What of a Model is about chunks."""

    def begin_chunks(self):
        self.chunking = False           # is offered
        self.chunks, self.chunks_held = None, False     # raw, of the mail that comes so

    def take_as_chunks(self, line, verb):
        """A command that is one of chunks, or cannot stand between them.  False: it is
        like in worlds without."""
        if verb == b"BDAT" and self.chunking:
            self.take_chunk(int(line.split()[1]), len(line.split()) > 2)
        elif self.chunks is not None and verb in INTRUDERS:
            self.say(CHUNK_NEXT)
        else:
            return False
        return True

    def take_chunk(self, size, last):
        chunk = self.lines.take(size)
        if not self.recipients:
            self.say(NO_RECIPIENT)
            return
        if self.chunks is None:
            self.chunks, self.chunks_held = b"", self.is_to_be_held()
        self.chunks += chunk
        content, limit = decoded(self.chunks, last), self.world.size_limit
        too_big = 0 < limit < len(content)
        if self.world.delivery == "auto" and len(content) > self.world.hold_max and \
                not (too_big and self.world.hold_max >= limit):
            self.chunks_held = False
        if last or too_big:
            self.end_chunks(content, too_big)
        else:
            self.say((250, b"2.0.0", b"%d octets" % size))

    def end_chunks(self, content, too_big):
        """Of one that is refused the server may have got anything up to this."""
        lines, held, self.chunks = content.split(b"\r\n"), self.chunks_held, None
        finding = self.verdict(lines, too_big)
        if finding:
            self.server.pieces = b"" if held else content[:self.world.size_limit or None]
            self.say(finding)
            self.reset()
            return
        self.server.pieces = b""        # they are within the content
        whole, reply = self.server.take_last(content)
        self.to_server += b"BDAT LAST\r\n" + whole + b"\r\n"
        self.recipients = None
        if self.forward(reply) >= 400:
            self.reset()

    def hand_over_pieces(self):
        """As much as the server may have got before it hears of something else."""
        if self.chunks is not None and not self.chunks_held:
            self.server.pieces = decoded(self.chunks, False)

    def cuts(self):
        return self.server.cuts

    def cuts_may_be(self, words):
        """What came of mails without their end is as much as there was time for."""
        most = self.server.cuts
        return not self.world.chunking or len(most) == len(words.cuts) and \
            all(a.startswith(b) for a, b in zip(most, words.cuts))
