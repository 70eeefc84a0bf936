"""What a seed decides: which gateway, what its client says, who breaks off and where."""
import dataclasses
import random

import story as stories

# What a message must not outgrow, in one world or the other, and one byte more.
EDGES = (500, 501, 1000, 1001, 2000, 2001)
KINDS = ("plain",) * 12 + ("chunks",) * 6 + ("lmtp",) * 6 + ("direct",) * 2
WORLDS = len(KINDS)             # seed S belongs to the gateway of world S % WORLDS
NEVER = 10**9                   # lines
LOSSES = ("nothing", "half", "after", "busy", "farewell", "babble")     # see Server.lose
SESSIONS = 4                    # of one client, one after the other, at most

COMMANDS = (b"NOOP", b"RSET", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"DATA", b"DATA",
            b"HELO x", b"EHLO x", b"EHLO y", b"AUTH PLAIN", b"AUTH LOGIN eHg=", b"VRFY x",
            b"FOO", b"", b".", b"..", b"*", b"HELP", b"mail from:<> SIZE=1",
            b"MAIL FROM:<a@b> SIZE=900", b"MAIL FROM:<a@b> SIZE=99999999",
            b"XCLIENT ADDR=1", b"xforward x", b"BURL x", b"EXPN " + b"x" * 1000,
            b"NOOP\rQUIT")
TEXTS = (b"Subject: x", b"", b"..", b"..QUIT", b"...", b"DATA", b"RCPT TO:<e@f>", b"RSET",
         b"text " * 20, b"y" * 3000, b"a.b", b"MAIL FROM:<g@h>", b"XCLIENT x", b"* *")
SHORT = tuple(text for text in TEXTS if len(text) < 200)


@dataclasses.dataclass
class World:
    """The options of a gateway that matter to the model, and some that must not."""
    delivery: str
    hold_max: int
    size_limit: int
    skips_virus: bool           # auth_skip = antivir
    locks: bool
    chunking: bool
    takeover_commands: int
    lmtp: bool                  # server_protocol = lmtp
    direct: bool                # auth_skip = direct
    buffers: list

    def config(self):
        return ["antivirus_type = libclamav", "log_level = info", "timeout_close = 2",
                "earlytalker = no",
                f"chunking = {'yes' if self.chunking else 'no'}",
                f"on_takeover_cmds = {self.takeover_commands}",
                f"delivery = {self.delivery}", f"hold_max_size = {self.hold_max}",
                f"size_limit = {self.size_limit}",
                f"server_protocol = {'lmtp' if self.lmtp else 'smtp'}",
                f"auth_skip = {{{', '.join(self.spares())}}}",
                f"lock_duration = {3600 if self.locks else 0}"] + self.buffers

    def spares(self):
        return ["antivir"] * self.skips_virus + ["direct"] * self.direct


def world_of(number):
    """Neighbours differ in delivery, so that few worlds have each of them."""
    chance, kind = random.Random(f"world {number}"), KINDS[number]
    delivery, hold_max = (("stream", 1000), ("hold", 1000), ("auto", 1000),
                          ("stream", 1), ("hold", 1),
                          ("auto", chance.choice((1, 10000))))[number % 6]
    return World(delivery, hold_max, (0, 2000, 500)[number // 2 % 3],
                 skips_virus=number % 4 < 2, locks=number % 5 > 1,
                 chunking=kind == "chunks", lmtp=kind == "lmtp",
                 direct=kind == "direct" or (number % 6 == 5 and kind != "chunks"),
                 takeover_commands=(10, 0, 3)[number // 2 % 3],
                 buffers=[f"pipeline_size = {chance.choice((1, 2, 5, 128))}",
                          f"relay_buffer = {chance.choice((65536, 262144))}",
                          f"buffer_size = {chance.choice((512, 65536))}",
                          f"spool_memory_each = {chance.choice((4096, 262144))}"])


@dataclasses.dataclass
class Loss:
    """How a side breaks off."""
    who: str = ""               # client, server or nobody
    how: str = ""               # fin, rst: the end of it; of a server see Server, too
    at: int = 0                 # byte that the client sends or gets; line the server hears
    instead: str = ""           # of the server's answer: see Server.lose
    mail: int = 0               # the server, from this mail on, at a piece that has OCTET
    octet: int = 0
    message: int = 0            # the server, at the end of this one


class Bare(bytes):
    """Goes out as it is, without an end of line."""


class Plan:
    """One session."""

    def __init__(self, seed, number, world, without=()):
        self.seed, self.world = f"{seed}.{number}", world
        self.chance = random.Random(self.seed)
        self.acts = [act for i, act in enumerate(make_acts(self.chance, world))
                     if (number, i) not in without]
        # Whatever state that has led to, this ends it: a body by the dot, AUTH by the star.
        self.lines = sum(self.acts, []) + [b"*"] * 3 + [b".", b"QUIT"] * 6
        chance = random.Random(f"{self.seed} loss")
        self.loss = make_loss(chance, len(self.lines), LOSSES[:5 if world.chunking else 6])
        if world.chunking and self.loss.who == "server" and chance.random() < 0.5:
            self.loss = in_a_piece(chance, self.loss)
        if world.lmtp and chance.random() < 0.25:
            self.loss = at_an_end(chance)
        self.wire = b"".join(line + (b"" if isinstance(line, Bare) else b"\r\n")
                             for line in self.lines)
        self.half_closes = chance.random() < 0.3
        self.pieces = chance.choice(((1, 2, 3, 7), (50, 1460), (1, 50, 1460, 65536),
                                     (65536,), (65536,)))


def make_loss(chance, lines, losses):
    who = chance.choice(("client", "server", "server") + ("",) * 6)
    how = chance.choice(("fin", "fin", "rst"))
    if who == "server":
        return Loss(who, how, chance.randrange(chance.choice((8, max(lines, 1)))),
                    chance.choice(losses))
    return Loss(who, how, chance.randrange(1, 1500), chance.choice(("sent", "got")))


def in_a_piece(chance, loss):
    octet = chance.choice((0, 0, chance.randrange(300), chance.randrange(4000)))
    return dataclasses.replace(loss, at=NEVER, mail=chance.choice((1, 1, 2, 3)), octet=octet)


def at_an_end(chance):
    """Of a message, between the replies to it."""
    return Loss("server", chance.choice(("fin", "fin", "rst")), NEVER,
                chance.choice(("nothing", "half", "busy")), message=chance.choice((1, 1, 2, 3)))


def fill(content, size):
    """One more line, if there is room for it, so that the message has that size."""
    room = size - 2 - sum(len(line[line.startswith(b"."):]) + 2 for line in content)
    return content + [b"z" * room] if room >= 0 else content


def make_content(chance):
    """Most are complete and meet a server that takes them; some carry a virus, some grow."""
    texts = chance.choice((SHORT, SHORT, TEXTS))
    content = [b"Message: %d" % chance.randrange(10**9)] if chance.random() < 0.8 else []
    content += [chance.choice(texts) for _ in range(chance.randrange(12))]
    if chance.random() < 0.2:
        content.insert(chance.randrange(len(content) + 1), stories.EICAR)
    if chance.random() < 0.3:
        content = fill(content, chance.choice(EDGES))
    return content


def make_message(chance, most):
    size = chance.choice((b"", b"", b"", b" SIZE=900", b" SIZE=1500", b" SIZE=3000"))
    recipients = [b"RCPT TO:<c@d>"] * chance.randint(1, most)
    return [b"MAIL FROM:<a@b>" + size] + recipients + [b"DATA"] + make_content(chance) + [b"."]


def make_login(chance):
    """Accepted or rejected by the server, or cancelled by the client."""
    return [b"AUTH PLAIN", chance.choice((b"c2VjcmV0", b"c2VjcmV0", b"*", b"QUIT"))]


def make_chunk(chance):
    chunk = [chance.choice(TEXTS + COMMANDS) for _ in range(chance.randrange(9))]
    return [b"BDAT %d" % sum(len(line) + 2 for line in chunk)] + chunk


BETWEEN = (b"NOOP", b"VRFY x", b"RSET", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"DATA",
           b"EHLO x", b"HELO x", b"XFORWARD x", b"FOO", b"BDAT 0", b"BDAT 0 LAST", b"BDAT 0 FIRST")


def cut(chance, content):
    """Anywhere, now and then into nothing."""
    cuts = sorted(chance.randint(0, len(content)) for _ in range(chance.choice((0, 1, 2, 5))))
    return [content[a:b] for a, b in zip([0] + cuts, cuts + [len(content)])]


def make_chunks(chance):
    """A mail by chunks; some have no recipient, other commands between them, or no end."""
    lines = make_content(chance)
    lines += [chance.choice(COMMANDS)] * (chance.random() < 0.3)
    content = b"".join(line + b"\r\n" for line in lines)
    if chance.random() < 0.3:
        content = content.replace(b"\r\n", chance.choice((b"\r", b"\n", b"\n\r\r\n")), 2)
    chunks = cut(chance, content[:-2] if chance.random() < 0.2 else content)
    disturbs = chance.choice((0, 0, 0.3))
    out = [b"MAIL FROM:<a@b>" + chance.choice((b"", b"", b" SIZE=900", b" SIZE=1500")) +
           chance.choice((b"", b"", b"", b" BODY=BINARYMIME"))]
    out += [b"RCPT TO:<c@d>"] * (chance.random() < 0.9)
    ends = chance.random() < 0.9
    for i, chunk in enumerate(chunks):
        last = b" LAST" if ends and i == len(chunks) - 1 else b""
        if chance.random() < disturbs / 4:
            last += b" x"
        out += [b"BDAT %d" % len(chunk) + last, Bare(chunk)]
        if chance.random() < disturbs:
            out.append(chance.choice(BETWEEN))
    return out


def make_acts(chance, world):
    """What the client says, in pieces that can be left out."""
    hellos = (b"EHLO x",) if world.chunking else (b"EHLO x", b"LHLO x") if world.lmtp else \
        (b"EHLO x",) * 8 + (b"LHLO x",)
    is_polite = chance.random() < (0.95 if world.chunking or world.lmtp else 0.7)
    acts = [[chance.choice(hellos)]] * is_polite
    noise = chance.choice((0, 0.3, 1))
    for _ in range(chance.randrange(12)):
        what = chance.random()
        if world.chunking and chance.random() < 0.7:
            acts.append(make_chunks(chance))
        elif world.lmtp and chance.random() < 0.5:
            acts.append(make_message(chance, 4))
        elif what < 0.45:
            acts.append(make_message(chance, 2))
        elif what < 0.55:
            acts.append(make_login(chance))
        elif what < 0.6:
            acts.append(make_chunk(chance))
        elif chance.random() < noise:
            acts.append([chance.choice(COMMANDS + hellos)])
    return acts
