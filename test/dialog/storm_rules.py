"""What holds for every session, whatever the model says: read from the transcripts alone."""
import story as stories
from storm_chunks import decoded
from storm_model import Wire, size_of
from storm_server import HELLOS, as_lines


def replies(got):
    """Codes of the whole replies in what a client got."""
    return [int(line[:3]) for line in got.split(b"\r\n")[:-1] if line[3:4] == b" "]


class Envelope:
    """What a client knows of its mail: how many replies are due to the content."""

    def __init__(self):
        self.lmtp, self.recipients = False, 0

    def note(self, verb, code):
        if code // 100 != 2:
            return
        if verb in HELLOS:
            self.lmtp = verb == b"LHLO"
        if verb in HELLOS + (b"MAIL", b"RSET"):
            self.recipients = 0
        self.recipients += verb == b"RCPT"

    def take_replies(self, codes):
        due = max(self.recipients, 1) if self.lmtp else 1
        self.recipients = 0
        return [next(codes, None) for _ in range(due)]


def contents_by_chunks(plan, got):
    """The same, where BDAT may be accepted."""
    codes, lines = iter(replies(got)[1:]), Wire(plan.wire)
    opaque, found, come = False, [], b""
    for line in lines:
        code = next(codes, None)
        if code is None:
            break
        words = line.upper().split() or [b""]
        if not opaque and words[0] == b"BDAT" and b"\r" not in line:
            come += lines.take(int(words[1]))
            if words[2:] == [b"LAST"]:
                found.append((as_lines(decoded(come, True)), [code]))
            if words[2:] == [b"LAST"] or code != 250:
                come = b""
        elif not opaque and words[0] == b"DATA" and code == 354:
            content = list(iter(lambda: next(lines), b"."))
            found.append((unbroken(b"\n".join(content)), [next(codes, None)]))
        elif words[0] in (b"RSET", b"HELO", b"EHLO") and code == 250 and not opaque:
            come = b""
        opaque = code == 334
    return found


def contents_of(lines, got):
    """(content, codes of its replies) of each message that the client sent whole.  Without a
    reply (None) nobody can tell what stands behind it."""
    codes = iter(replies(got)[1:])          # behind the greeting
    lines, opaque, found, envelope = iter(lines), False, [], Envelope()
    for line in lines:
        code = next(codes, None)
        if code is None:
            break
        words = line.upper().split()
        if not opaque and words[:1] == [b"BDAT"] and code == 502:
            left = int(words[1])
            while left > 0:
                left -= len(next(lines)) + 2
        if not opaque and words[:1] == [b"DATA"] and code == 354:
            content = list(iter(lambda: next(lines), b"."))
            found.append((unbroken(b"\n".join(content)), envelope.take_replies(codes)))
        elif not opaque and words:
            envelope.note(words[0], code)
        opaque = code == 334
    return found


def unbroken(content):
    """Line ends that stand alone are mended on the way."""
    return content.replace(b"\r", b"\n")


def broken_rule(session, world):
    """The first that is broken, or None."""
    completed = [(unbroken(content), codes, known)
                 for content, codes, known in session.words.completed]
    got = bytes(session.client.got)
    sent = contents_by_chunks(session.plan, got) if world.chunking else \
        contents_of(session.plan.lines, got)
    return carries_virus(completed, world) or too_big(completed, world, session.words) or \
        twice(completed) or unacknowledged(sent, session)


def carries_virus(completed, world):
    for content, _, known in completed:
        spared = known and (world.skips_virus or world.direct)
        if stories.EICAR in content and not spared:
            return "the server got the end of a message with a virus"
    return None


def too_big(completed, world, words):
    for content, _, known in completed:
        if words.babbled or (known and world.direct):
            continue
        size = size_of(content.split(b"\n")) if content else 0
        if world.chunking:              # a message by chunks may lack its last line end
            size = max(size - 2, words.largest)
        if 0 < world.size_limit < size:
            return "the server got the end of a message beyond size_limit"
    return None


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


def unacknowledged(sent, session):
    """Each yes that the client heard was the server's to that message, and the server got
    nothing that the client did not send.  A server that answers what nobody asked may take
    commands for the beginning of a message."""
    words, at = session.words, 0
    for content, codes in sent:
        fits = at < len(words.completed) and are_true(codes, words.completed[at][1]) and \
            unbroken(words.completed[at][0])[-len(content) if words.babbled else 0:] == content
        at += fits
        if not fits and any(code is not None and code < 300 for code in codes):
            return f"the client heard {codes} to a message that no server accepted so: " \
                   f"{stories.show(content, 80)}"
    if at < len(words.completed) and session.loss.who != "client" and not words.babbled:
        return f"the server got a message that no client sent, or did not hear " \
               f"of again: {stories.show(words.completed[at][0], 80)}"
    return None
