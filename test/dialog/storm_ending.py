"""How a session may end when a side breaks off, or speaks out of turn."""
LOST = (421, b"4.4.2", b"gate.example The connection to the mail server was lost")
PROTOCOL = (421, b"4.5.0",
            b"gate.example The mail server said what cannot be followed")
UNREACHED = b"421 gate.example Cannot connect to the mail server\r\n"


class Stuck(Exception):
    """The server owes a reply, and is gone."""


class Endings:
    """What of a Model is about that: what still happens after the server was lost depends
    on when the gateway learns of it.  What must have arrived is known, and what may.  What the
    server says unasked is to the gateway the reply to the next command, or the end."""

    def begin_endings(self):
        self.stuck = False
        self.adrift = None              # bytes of both when the server said what nobody asked
        self.server_least = self.client_least = None    # bytes; None: all of it
        self.awaited = {}               # last words due when the client has so many bytes
        self.unheard = b""              # a 421 that came out of turn

    def note_loss(self, was_lost):
        if self.server.lost and not was_lost:
            self.unheard = self.unheard or self.server.farewell
            if self.client_least is None:
                self.client_least = len(self.to_client)
            if self.server_least is None:
                self.server_least = len(self.to_server)

    def note_heard(self, reply):
        """The reply is where it belongs: those may have been its last words."""
        if not reply:
            raise Stuck
        if self.server.lost:
            self.client_least = len(self.to_client)
        if reply == self.unheard:
            self.unheard = b""
        if self.server.besides and not self.server.lost:
            self.adrift = len(self.to_client), len(self.to_server)

    def note_end(self):
        """Of what passes unread: it all arrives, and what the client says behind that may."""
        if self.server.lost or self.server.ended:
            self.server_least = len(self.to_server)

    def await_words(self, count=None):
        self.awaited[len(self.to_client)] = self.words_due() if count is None else count

    def lost_words(self, is_enhanced):
        code, enhanced, text = LOST
        return b"%d " % code + (enhanced + b" " if is_enhanced else b"") + text + b"\r\n"

    def last_words(self, at, is_sudden):
        """What may come behind so many bytes that the client got.  After 421 and 554 of a
        server we need not say why it is gone, unless a message waits for its reply.  If it
        breaks off suddenly, what it said last may be lost, and what it can do unknown; and
        what it says to pieces nobody knows here."""
        codes = [self.server.last]
        if is_sudden:
            codes += [int(line[:3]) for line in self.to_client[:at].split(b"\r\n")[:-1]]
        if is_sudden or at in self.awaited or self.world.chunking or codes != [421]:
            for is_enhanced in {self.enhanced, self.enhanced ^ is_sudden}:
                yield self.lost_words(is_enhanced) * (self.awaited.get(at) or 1)
        if self.unheard:
            yield self.unheard
        if (is_sudden or not self.unheard) and (421 in codes or 554 in codes):
            yield b""

    def client_may_have(self, got, loss):
        must = bytes(self.to_client)
        is_sudden = loss.how == "rst"
        if loss.who == "client":
            return must.startswith(got)
        if self.direct and self.server.lost and is_sudden and must.startswith(got):
            return True
        if self.adrift:                 # and it does not go on as if nothing had been said
            known = self.adrift[0]
            goes_on = got == must and known < len(must) and PROTOCOL[2] not in must[known:]
            return got.startswith(must[:known]) and not goes_on
        if got == must and not self.stuck:
            return True
        if not self.server.lost or (self.direct and not is_sudden):
            return False
        if is_sudden and loss.at == 0 and got == UNREACHED:
            return True                 # it broke off before the call was noticed
        most = self.unread_from if self.direct else len(must)
        ends = [at for at in range(0 if is_sudden else self.client_least, most + 1)
                if must[at - 1:at] in (b"", b"\n")]
        return any(got == must[:at] + words for at in ends
                   for words in self.last_words(at, is_sudden))

    def server_may_have(self, got, loss):
        must = bytes(self.to_server)
        if self.adrift:
            return got.startswith(must[:self.adrift[1]])
        least = len(must) if self.server_least is None else self.server_least
        if loss.who == "client" or (loss.how == "rst" and self.server.lost):
            least = 0
        return must.startswith(got) and len(got) >= least
