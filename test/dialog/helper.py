"""A scripted helper on the router: it answers as the dialog says, well or badly."""
import hashlib
import hmac
import socket
import struct
import threading
import time

KEY = b"the key of the dialogs, 32 bytes"
FOUND, NOT_FOUND, FAILED = 0x12, 0x22, 0x42


def answer_plain(question, server, flags=FOUND, cookie=0, secret=0, version=0x0402,
                 magic=b"RPHD", ident=b"ann"):
    """A datagram of version 0x0402; COOKIE and SECRET are added to the right ones."""
    numbers = struct.unpack(">II", question[4:12])
    return (magic + struct.pack(">IIHH", numbers[0] ^ cookie, numbers[1] ^ secret, version, flags)
            + question[16:20] + socket.inet_aton(server[0]) + question[24:26]
            + struct.pack(">H", server[1]) + ident.ljust(32, b"\0")[:32] + bytes(6))


def answer_keyed(question, server, flags=FOUND, code=0, family=4, ident=b"ann"):
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    host = socket.inet_pton(kind, server[0]).ljust(16, b"\0")
    text = (question[:14] + struct.pack(">HH", flags, family) + question[18:20]
            + struct.pack(">HH", server[1], 0) + question[24:40] + host
            + ident.ljust(40, b"\0")[:40])
    made = bytearray(hmac.new(KEY, text, hashlib.sha256).digest()[:16])
    made[15] ^= code
    return text + made


# What a word of "helper: udp" or "helper: keyed" sends in answer to one question.
PLAIN = {
    "found": lambda q, server, _: [answer_plain(q, server)],
    "dirty": lambda q, server, _: [answer_plain(q, server, ident=b"a\r\n%s \x80\"" + b"z" * 40)],
    "not-found": lambda q, server, _: [answer_plain(q, server, NOT_FOUND)],
    "failed": lambda q, server, _: [answer_plain(q, server, FAILED)],
    "cookie": lambda q, server, _: [answer_plain(q, server, cookie=1)],
    "secret": lambda q, server, _: [answer_plain(q, server, secret=1)],
    "version": lambda q, server, _: [answer_plain(q, server, version=0x0403)],
    "flags": lambda q, server, _: [answer_plain(q, server, flags) for flags in (1, 2, 0x32)],
    "magic": lambda q, server, _: [answer_plain(q, server, magic=b"RPHE")],
    "echo": lambda q, server, _: [q],
    "short": lambda q, server, _: [answer_plain(q, server)[:size] for size in (0, 16, 65)],
    "long": lambda q, server, _: [answer_plain(q, server) + bytes(n) for n in (1, 1300)],
    "flood": lambda q, server, _: [answer_plain(q, server, cookie=7)] * 500,
    "zero": lambda q, server, _: [answer_plain(q, (server[0], 0))],
    "itself": lambda q, _, gateway: [answer_plain(q, gateway)],
    "silence": lambda q, server, _: [],
}
KEYED = {
    "found": lambda q, server, _: [answer_keyed(q, server)],
    "not-found": lambda q, server, _: [answer_keyed(q, server, NOT_FOUND)],
    "failed": lambda q, server, _: [answer_keyed(q, server, FAILED)],
    "code": lambda q, server, _: [answer_keyed(q, server, code=1)],
    "echo": lambda q, server, _: [q],
    "plain": lambda q, server, _: [answer_plain(q, server)],
    "six": lambda q, server, _: [answer_keyed(q, ("2001:db8::25", 25), family=6)],
    "silence": lambda q, server, _: [],
}


class Helper:
    """Words of one answer stand side by side, those for the next question after "then"; the
    last ones go on.  "late N": wait so many seconds first; "stranger": from another port."""

    def __init__(self, script, server, gateway):
        self.kind, _, rest = script.partition(" ")
        self.script = rest.split(" then ")
        self.server, self.gateway = server, gateway
        self.asked = 0
        kind = socket.SOCK_STREAM if self.kind == "tcp" else socket.SOCK_DGRAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        if self.kind == "nobody":
            self.socket.close()
            return
        if self.kind == "tcp":
            self.socket.listen(16)
        serve = self.serve_tcp if self.kind == "tcp" else self.serve_udp
        threading.Thread(target=serve, daemon=True).start()

    def turn(self):
        self.asked += 1
        return self.script[min(self.asked, len(self.script)) - 1]

    def serve_udp(self):
        table = KEYED if self.kind == "keyed" else PLAIN
        try:
            while True:
                question, gateway = self.socket.recvfrom(512)
                if gateway is None:
                    return
                self.answer(table, question, gateway, self.turn().split())
        except OSError:
            return                      # the dialog is over

    def answer(self, table, question, gateway, words):
        out = self.socket
        while words:
            word = words.pop(0)
            if word == "late":
                time.sleep(float(words.pop(0)))
            elif word == "stranger":
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                    for datagram in table["found"](question, self.server, self.gateway):
                        out.sendto(datagram, gateway)
                out = self.socket
            else:
                for datagram in table[word](question, self.server, self.gateway):
                    out.sendto(datagram, gateway)

    def serve_tcp(self):
        held = []
        try:
            while True:
                sock, _ = self.socket.accept()
                held.append(sock)
                self.call(sock, self.turn())
        except OSError:
            return

    def call(self, sock, script):
        """The words: drip TEXT, line TEXT, open TEXT (without an end), close, reset, silence."""
        question = b""
        while not question.endswith(b"\r\n"):
            more = sock.recv(512)
            if not more:
                return
            question += more
        client, gateway = question.decode().split(" , ")
        word, _, text = script.partition(" ")
        for name, value in (("$CLIENT", client), ("$GATEWAY", gateway.strip()),
                            ("$HOST", self.server[0]), ("$PORT", str(self.server[1]))):
            text = text.replace(name, value)
        text = text.encode("latin-1").decode("unicode_escape").encode("latin-1")
        if word in ("line", "drip"):
            text += b"\r\n"
        for piece in ([text[i:i + 1] for i in range(len(text))] if word == "drip" else [text]):
            sock.sendall(piece)
            time.sleep(0.001 if word == "drip" else 0)
        if word == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if word != "silence":
            sock.close()

    def fini(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
