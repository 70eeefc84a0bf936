"""What holds for every session, whatever the model says: read from the transcripts alone."""
import story as stories
from storm_wire import Wire, as_lines, decoded, is_binary, mended


def replies(got):
    """Codes of the whole replies in what a client got."""
    return [int(line[:3]) for line in got.split(b"\r\n")[:-1] if line[3:4] == b" "]


def contents_of(plan, got):
    """(content, code of its reply) of each message that the client sent whole.  Without a
    reply (None) nobody can tell what stands behind it."""
    codes, lines = iter(replies(got)[1:]), Wire(plan.wire)      # behind the greeting
    opaque, binary, found, come = False, False, [], b""
    for line, code in zip(iter(lines.command, None), codes):
        words = line.upper().split() or [b""]
        if opaque or b"\r" in line:
            pass
        elif words[0] == b"BDAT":
            come += lines.take(int(words[1]))
            if words[2:] == [b"LAST"]:
                content = come if binary else decoded(come, True)
                found.append((as_lines(content), code))
            if words[2:] == [b"LAST"] or code != 250:
                come = b""
        elif words[0] == b"DATA" and code == 354:
            content = sum(map(mended, iter(lines.content, b".")), [])
            found.append((b"\n".join(content), next(codes, None)))
        elif words[0] in (b"RSET", b"HELO", b"EHLO") and code == 250:
            come = b""
        elif words[0] == b"MAIL" and 200 <= code <= 299:
            binary = is_binary(line)
        opaque = code == 334
    return found


def broken_rule(session, world):
    """The first that is broken, or None."""
    completed = session.words.completed
    sent = contents_of(session.plan, bytes(session.client.got))
    return carries_virus(completed, world) or \
        too_big(session.words, world) or misled(session.words) or twice(completed) or \
        unacknowledged(sent, completed, session.loss)


def carries_virus(completed, world):
    for content, _, known in completed:
        if stories.MARK in content and not (known and world.skips_virus):
            return "the server got the end of a message with a virus"
    return None


def too_big(words, world):
    if 0 < world.size_limit < words.largest:
        return "the server got the end of a message beyond size_limit"
    return None


def misled(words):
    return "the server got LAST behind a piece that it had refused" if words.misled else None


def twice(completed):
    numbered = [content for content, _, _ in completed if b"Message: " in content]
    return "a message was completed twice" if len(set(numbered)) < len(numbered) else None


def unacknowledged(sent, completed, loss):
    """Each yes that the client heard was the server's to that message, and the server got
    nothing that the client did not send."""
    at = 0
    for content, code in sent:
        fits = at < len(completed) and completed[at][0] == content and \
            code in (None, 421, completed[at][1])   # 421: the yes itself was lost
        at += fits
        if code is not None and code < 300 and not fits:
            return f"the client heard {code} to a message that no server accepted: " \
                   f"{stories.show(content, 80)}"
    if at < len(completed) and loss.who != "client":
        return f"the server got a message that no client sent, or did not hear " \
               f"of again: {stories.show(completed[at][0], 80)}"
    return None
