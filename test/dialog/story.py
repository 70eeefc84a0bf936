"""Reads a dialog: a text file into a list of steps.  README.md explains the syntax."""
import base64
import dataclasses
import io
import pathlib
import re
import zipfile

WAYS = ("whole", "bytes", "glued")

# In two halves, so that no scanner takes this file for what it must find.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STAND" + rb"ARD-ANTIVIRUS-TEST-FILE!$H+H*"
MARK = EICAR[:40]               # of it, what the signature of a dialog looks for

ACTIONS = {":": ("eof", "reset"),
           "<": ("eof", "reset", "gone", "rest", "nothing", "absent", "like")}
GATEWAY_STEPS = ("wait", "log", "shell", "signal")
HEADERS = ("config", "nolog", "client", "server", "window", "memory", "ends", "helper", "dns",
           "spamd", "rspamd",
           "not whole", "not bytes", "not glued")


class Mistake(Exception):
    """The dialog itself is wrong."""


@dataclasses.dataclass
class Step:
    where: str              # file:line
    who: str                # C, C2, S, S2 ...; "" for the gateway
    does: str               # send, expect, ":eof", "<eof" ..., or one of GATEWAY_STEPS
    argument: str = ""
    data: bytes = b""       # of send and expect
    final: bool = False     # of send: the half-close goes with it

    def __str__(self):
        if self.does in ("send", "expect"):
            arrow = ":" if self.does == "send" else "<"
            return f"{self.where}: {self.who}{arrow} {show(self.data, 80)}"
        return f"{self.where}: {self.who}{self.does} {self.argument}"


@dataclasses.dataclass
class Story:
    name: str
    config: list = dataclasses.field(default_factory=list)
    steps: list = dataclasses.field(default_factory=list)
    never_logged: list = dataclasses.field(default_factory=list)
    ways: list = dataclasses.field(default_factory=lambda: list(WAYS))
    client: str = ""                # address that clients come to; "": any of 127/8
    server: str = "listens"         # or closed, deaf, ::1
    window: int = 0                 # receive buffer of the peers; 0: the kernel's choice
    memory: int = 0                 # most MB that the gateway may grow by; 0: not looked at
    helper: str = ""                # who answers where a client meant to go, and how
    dns: list = dataclasses.field(default_factory=list)     # what the name server knows
    spamd: str = ""                 # what a scripted scanner says of messages
    rspamd: str = ""
    ends: bool = False              # the gateway ends in the course of the story


def show(data, most=300):
    """Bytes as one readable line."""
    text = repr(bytes(data[:most]))[2:-1].replace("\\'", "'")
    return text if len(data) <= most else f"{text}... ({len(data)} bytes)"


def unescape(text):
    def one(match):
        word = match[1]
        if word[0] == "x":
            return chr(int(word[1:], 16))
        return {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}[word]
    try:
        return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", one, text).encode("latin-1")
    except KeyError as unknown:
        raise Mistake(f"no such escape: \\{unknown.args[0]}") from None


def big(size):
    """SIZE bytes of message lines, of all lengths, some of them with a doubled dot."""
    out, length = [], 0
    for number in range(size):
        line = b"%08d " % number + b"abcdefghij" * (number % 9) + b"\r\n"
        if number % 50 == 49:
            line = b".." + line
        out.append(line)
        length += len(line)
        if length >= size - 100:
            break
    out.append(b"z" * max(size - length - 2, 0) + b"\r\n")
    return b"".join(out)


def bomb(megabytes):
    """A header and a zip in base64, which unpacks to so many megabytes of text."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("bomb.txt"),
                         b"the same again and again " * (megabytes * 41943),
                         compress_type=zipfile.ZIP_DEFLATED)
    encoded = base64.encodebytes(packed.getvalue()).replace(b"\n", b"\r\n")
    return (b"MIME-Version: 1.0\r\nContent-Type: application/zip; name=b.zip\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded)


def payload(word, argument):
    """The bytes that C:WORD ARGUMENT sends and S<WORD ARGUMENT expects."""
    if word == "raw":
        return unescape(argument)
    if word == "eicar":
        return EICAR + b"\r\n"
    if word == "bomb":
        return bomb(int(argument))
    if word == "big":
        return big(int(argument))
    if word == "repeat":
        count, text = argument.split(" ", 1)
        return (unescape(text) + b"\r\n") * int(count)
    if word == "long":
        count, text = argument.split(" ", 1)
        return unescape(text) * int(count)
    return None


def talk(where, who, arrow, rest):
    """One step of a client or a server."""
    does = {":": "send", "<": "expect"}[arrow]
    if rest == "" or rest[0] == " ":
        return Step(where, who, does, data=unescape(rest[1:]) + b"\r\n")
    word, _, argument = rest.partition(" ")
    if word in ACTIONS[arrow]:
        return Step(where, who, arrow + word, argument)
    data = payload(word, argument)
    if data is None:
        raise Mistake(f"no such thing to do: {who}{arrow}{word}")
    return Step(where, who, does, data=data)


def add_header(story, word, value):
    if word == "config":
        story.config.append(value)
    elif word == "nolog":
        story.never_logged.append(value)
    elif word == "dns":
        story.dns.append(value)
    elif word.startswith("not "):
        if not value:
            raise Mistake(f"'{word}' wants a reason")
        story.ways.remove(word[4:])
    elif word in ("memory", "window"):
        setattr(story, word, int(value))
    elif word == "ends":
        story.ends = True
    else:
        setattr(story, word, value)


def add_line(story, path, where, line):
    if not line.strip() or line.startswith("#"):
        return
    if line.startswith("|"):
        last = story.steps[-1] if story.steps else None
        if last is None or last.does not in ("send", "expect"):
            raise Mistake("'|' goes on with a text of C or S, and there is none above")
        last.data += unescape(line[2:]) + b"\r\n"
        return
    word, _, value = line.partition(" ")
    if word == "include":
        read_into(story, path.with_name(value.strip() + ".part"))
        return
    header = re.match(r"(%s):\s*(.*)" % "|".join(HEADERS), line)
    if header:
        add_header(story, header[1], header[2])
        return
    gateway = re.match(r"(%s):\s*(.*)" % "|".join(GATEWAY_STEPS), line)
    if gateway:
        story.steps.append(Step(where, "", gateway[1], gateway[2]))
        return
    step = re.match(r"([CS]\d*)([:<])(.*)", line)
    if not step:
        raise Mistake("this is no step; see README.md beside the dialogs")
    story.steps.append(talk(where, step[1], step[2], step[3]))


def read_into(story, path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.name}:{number}"
        try:
            add_line(story, path, where, line)
        except (Mistake, ValueError) as mistake:
            raise Mistake(f"{where}: {mistake}") from None


def read(path):
    path = pathlib.Path(path)
    story = Story(path.stem)
    if not path.read_text().startswith("# "):
        raise Mistake(f"{path.name}: say first what it promises: # ...")
    read_into(story, path)
    if not story.steps:
        raise Mistake(f"{path.name}: no steps")
    return story


def settle(steps, ports):
    """The steps with port numbers in place of their names."""
    settled = []
    for step in steps:
        data, argument = step.data, step.argument
        for name, port in ports.items():
            data = data.replace(name.encode(), str(port).encode())
            argument = argument.replace(name, str(port))
        settled.append(dataclasses.replace(step, data=data, argument=argument))
    return settled


def glue(steps):
    """Neighbouring sends of one side become one, the half-close behind them included."""
    glued = []
    for step in steps:
        last = glued[-1] if glued else None
        joins = last and last.does == "send" and last.who == step.who
        if joins and step.does == "send":
            glued[-1] = dataclasses.replace(last, data=last.data + step.data)
        elif joins and step.does == ":eof":
            glued[-1] = dataclasses.replace(last, final=True)
        else:
            glued.append(step)
    return glued
