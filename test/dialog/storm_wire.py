"""What stands on the wire, and how it is read: commands, lines of content, chunks."""
import re


class Wire:
    """What a client sends: what the next of it is depends on what came before."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def command(self):
        """A line, which LF ends, too.  None: there is no more."""
        line = self.up_to(b"\n")
        return line[:-1] if line and line.endswith(b"\r") else line

    def content(self):
        """A line of what comes by DATA."""
        return self.up_to(b"\r\n")

    def up_to(self, end):
        found = self.data.find(end, self.at)
        if found < 0:
            return None
        line, self.at = self.data[self.at:found], found + len(end)
        return line

    def take(self, size):
        self.at += size
        return self.data[self.at - size:self.at]


def undotted(line):
    return line[1:] if line.startswith(b".") else line


def dotted(line):
    return b"." + line if line.startswith(b".") else line


def mended(line):
    """A line of content, as the server gets it: what stands alone in it ends one, too."""
    return [dotted(part) for part in re.split(rb"[\r\n]", undotted(line))]


def size_of(content):
    return sum(len(undotted(line)) + 2 for line in content)


def first_bytes(content, most):
    """Content, as it is sent, up to so many bytes of what it says."""
    out = b""
    for line in content:
        piece = (undotted(line) + b"\r\n")[:max(most, 0)]
        most -= len(undotted(line)) + 2
        out += dotted(piece)
    return out


def decoded(content, is_whole):
    """Chunks of a client, as the server gets them: a CR at the end may be half of a CRLF."""
    if not is_whole and content.endswith(b"\r"):
        content = content[:-1]
    return re.sub(rb"\r\n|\r|\n", b"\r\n", content)


def as_lines(content):
    """What came by chunks, as it would have come by DATA."""
    lines = content.split(b"\r\n")
    if not lines[-1]:
        lines.pop()
    return b"\n".join(dotted(line) for line in lines)


def is_binary(line):
    return b"BODY=BINARYMIME" in line.upper().split()
