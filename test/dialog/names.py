"""A scripted name server: it knows what the dialog says, and tells it well or badly."""
import socket
import struct
import threading

TYPES = {"A": 1, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
NO_NAME, FAILURE, TRUNCATED = 3, 2, 0x0200
LIE = {"TXT": "v=spf1 +all", "A": "127.0.0.1", "AAAA": "::1", "PTR": "lie.test", "MX": "lie.test"}


def name_of(text):
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def data_of(kind, text):
    if kind == "TXT":
        raw = text.encode("latin-1")
        return b"".join(bytes([len(raw[at:at + 255])]) + raw[at:at + 255]
                        for at in range(0, len(raw) or 1, 255))
    if kind == "MX":
        return struct.pack(">H", 10) + name_of(text)
    if kind == "PTR":
        return name_of(text)
    return socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, text)


def read_question(packet):
    """The name in lower case, the type's number, and where the question ends."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1").lower())
        at += packet[at] + 1
    return ".".join(labels), struct.unpack(">H", packet[at + 1:at + 3])[0], at + 5


def answer(packet, end, records, flags=0, ident=0):
    """To the question in PACKET; RECORDS are pairs of kind and text, held for an hour."""
    number = struct.unpack(">H", packet[:2])[0] ^ ident
    out = struct.pack(">HHHHHH", number, 0x8180 | flags, 1, len(records), 0, 0) + packet[12:end]
    for kind, text in records:
        data = data_of(kind, text)
        out += struct.pack(">HHHIH", 0xC00C, TYPES[kind], 1, 3600, len(data)) + data
    return out


class Names:
    """Each row is "NAME TYPE [HOW] VALUE".  HOW: "late N" says it N seconds later; "lied"
    has others, and one who guesses, say something else first.  VALUE may be "silence",
    "failure", or "truncated" (there is more, by TCP, where nobody listens)."""

    def __init__(self, rows):
        self.rows = [row.split(" ", 2) for row in rows]
        self.timers = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                packet, peer = self.socket.recvfrom(4096)
                if peer is None:
                    return
                self.hear(packet, peer)
        except OSError:
            return                      # the dialog is over

    def hear(self, packet, peer):
        name, number, end = read_question(packet)
        known = [(kind, value) for row, kind, value in self.rows if row.lower() == name]
        rows = [(kind, value) for kind, value in known if TYPES[kind] == number]
        late, records, flags = 0.0, [], 0 if known else NO_NAME
        for kind, value in rows:
            if value.startswith("late "):
                _, seconds, value = value.split(" ", 2)
                late = float(seconds)
            if value.startswith("lied "):
                value = value[5:]
                self.lie(packet, end, kind, peer)
            if value == "silence":
                return
            if value in ("failure", "truncated"):
                flags = FAILURE if value == "failure" else TRUNCATED
            else:
                records.append((kind, value))
        self.say(answer(packet, end, records, flags), peer, late)

    def lie(self, packet, end, kind, peer):
        lie = [(kind, LIE[kind])]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(answer(packet, end, lie), peer)
        for ident in range(1, 50):
            self.socket.sendto(answer(packet, end, lie, ident=ident), peer)
        other = packet[:13] + bytes([packet[13] ^ 1]) + packet[14:]
        self.socket.sendto(answer(other, end, lie), peer)

    def say(self, packet, peer, late):
        if not late:
            self.socket.sendto(packet, peer)
            return
        timer = threading.Timer(late, self.say_late, (packet, peer))
        timer.daemon = True
        timer.start()
        self.timers.append(timer)

    def say_late(self, packet, peer):
        try:
            self.socket.sendto(packet, peer)
        except OSError:
            pass                        # the dialog is over

    def fini(self):
        for timer in self.timers:
            timer.cancel()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
