"""The last words on a message: a server that speaks LMTP says one for each recipient that it
accepted, and a client that speaks it hears as many (RFC 2033 4.2)."""
from storm_ending import Stuck
from storm_server import whole_replies


def safest(replies):
    """What stands for all of them: nobody's mail is lost, and nobody believes that it
    arrived where it did not."""
    return max(replies, key=lambda reply: b"254".index(reply[:1]))


def up_to_421(replies):
    codes = [reply[:3] for reply in replies]
    return replies[:codes.index(b"421") + 1] if b"421" in codes else replies


class LastWords:
    """What of a Model is about them."""

    def begin_last_words(self):
        self.lmtp = False               # so does the client speak

    def is_for_nobody(self):
        """What LMTP has no reply to."""
        return self.server.lmtp and not self.recipients

    def words_due(self):
        """That the client waits for when its message is complete."""
        return self.recipients if self.lmtp and self.recipients else 1

    def refuse(self, finding):
        for _ in range(self.words_due()):
            self.say(finding)

    def finish(self):
        """The end of the message goes out.  Behind 421 nothing is waited for."""
        due, heard = self.server.replies_due(), self.words_due()
        replies = up_to_421(whole_replies(self.ask(b".")))
        closes = 0 < len(replies) < due and replies[-1].startswith(b"421")
        is_known = closes or len(replies) == due
        if self.unheard in replies:
            self.unheard = b""
        if not self.lmtp:
            replies = [safest(replies)] if is_known else []
        for reply in replies:
            self.forward(reply)
            heard -= 1
            self.await_words(heard)
        if not is_known:
            raise Stuck
        self.recipients, self.over = None, closes
