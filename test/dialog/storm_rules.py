"""What holds for every session, whatever the model says: read from the transcripts alone."""
import story as stories
from storm_server import HELLOS
from storm_wire import Wire, as_lines, decoded, is_binary, mended


def replies(got):
    """Codes of the whole replies in what a client got."""
    return [int(line[:3]) for line in got.split(b"\r\n")[:-1] if line[3:4] == b" "]


class Envelope:
    """What a client knows of its mail: how many replies are due to the content."""

    def __init__(self):
        self.lmtp, self.binary, self.recipients = False, False, None

    def note(self, line, verb, code):
        if code // 100 != 2:
            return
        if verb in HELLOS:
            self.lmtp = verb == b"LHLO"
        if verb in HELLOS + (b"RSET",):
            self.recipients = None
        elif verb == b"MAIL":
            self.recipients, self.binary = 0, is_binary(line)
        elif verb == b"RCPT" and self.recipients is not None:
            self.recipients += 1

    def take_replies(self, codes):
        due = max(self.recipients or 0, 1) if self.lmtp else 1
        self.recipients = None
        return [next(codes, None) for _ in range(due)]


def contents_of(plan, got):
    """(content, codes of its replies) of each message that the client sent whole.  Without
    a reply (None) nobody can tell what stands behind it."""
    codes, lines = iter(replies(got)[1:]), Wire(plan.wire)      # behind the greeting
    opaque, envelope, found, come = False, Envelope(), [], b""
    for line, code in zip(iter(lines.command, None), codes):
        verb, *words = line.upper().split() or [b""]
        if opaque or b"\r" in line:
            pass
        elif verb == b"BDAT" and (plan.world.chunking or code == 502):
            come += lines.take(int(words[0]))
            if words[1:] == [b"LAST"]:
                content = come if envelope.binary else decoded(come, True)
                found.append((as_lines(content), [code]))
            if words[1:] == [b"LAST"] or code != 250:
                come = b""
        elif verb == b"DATA" and code == 354:
            content = sum(map(mended, iter(lines.content, b".")), [])
            found.append((b"\n".join(content), envelope.take_replies(codes)))
        else:
            envelope.note(line, verb, code)
        if verb in HELLOS + (b"RSET",) and code == 250 and not opaque:
            come = b""
        opaque = code == 334
    return found


def broken_rule(session, world):
    """The first that is broken, or None."""
    words = session.words
    sent = contents_of(session.plan, bytes(session.client.got))
    return carries_virus(words.completed, world) or too_big(words, world) or \
        misled(words) or twice(words.completed) or unacknowledged(sent, session)


def carries_virus(completed, world):
    for content, _, known in completed:
        spared = known and (world.skips_virus or world.direct)
        if stories.MARK in content and not spared:
            return "the server got the end of a message with a virus"
    return None


def too_big(words, world):
    is_read = not words.babbled and not (world.direct and words.authenticated)
    if is_read and 0 < world.size_limit < words.largest:
        return "the server got the end of a message beyond size_limit"
    return None


def misled(words):
    return "the server got LAST behind a piece that it had refused" if words.misled else None


def twice(completed):
    numbered = [content for content, _, _ in completed if b"Message: " in content]
    return "a message was completed twice" if len(set(numbered)) < len(numbered) else None


def are_true(heard, said):
    """The client has the server's replies, or one that promises no more than all of them;
    421: they were lost."""
    if len(heard) == 1:
        return heard[0] in (None, 421) or \
            (heard[0] in said and (heard[0] >= 300 or max(said) < 300))
    return len(heard) == len(said) and all(a in (None, 421, b) for a, b in zip(heard, said))


def is_same(got, sent, words):
    """What passed unread was not mended; and a server that answers what nobody asked may
    take commands for the beginning of a message."""
    begin = -len(sent) if words.babbled else 0
    whole = b"\n".join(sum(map(mended, got.split(b"\n")), []))
    return sent in (got[begin:], whole[begin:])


def unacknowledged(sent, session):
    """Each yes that the client heard was the server's to that message, and the server got
    nothing that the client did not send."""
    words, at = session.words, 0
    is_unread = words.authenticated and session.plan.world.direct
    if is_unread and (words.babbled or session.loss.how == "rst"):
        return None                 # a reply too many, or too few, shifts all that follow
    for content, codes in sent:
        fits = at < len(words.completed) and are_true(codes, words.completed[at][1]) and \
            is_same(words.completed[at][0], content, words)
        at += fits
        if not fits and any(code is not None and code < 300 for code in codes):
            return f"the client heard {codes} to a message that no server accepted so: " \
                   f"{stories.show(content, 80)}"
    if at < len(words.completed) and session.loss.who != "client" and not words.babbled:
        return f"the server got a message that no client sent, or did not hear " \
               f"of again: {stories.show(words.completed[at][0], 80)}"
    return None
