"""Many clients with large messages at once, the server behind, and honest clients beside:
each in a process of its own, so that none of them waits for another in here."""
import base64
import multiprocessing
import selectors
import socket
import threading
import time
import warnings
import zlib

import lab

SILENCE = 600               # seconds without a byte: the load gives up
PIECE = 1 << 18
FORK = multiprocessing.get_context("fork")


def start(target, *arguments):
    """A process that ends with us; what it returns comes through the pipe."""
    ours, its = FORK.Pipe()

    def run():
        lab.die_with_parent()
        warnings.simplefilter("ignore")     # of sockets that its end closes
        ours.close()
        target(its, *arguments)
    process = FORK.Process(target=run, daemon=True)
    process.start()
    its.close()
    return process, ours


# -- messages

def body(size, infected):
    """A mail with an attachment of about SIZE bytes, and what is behind its Message-ID."""
    raw = lab.random_bytes(1 << 20)
    lines = base64.encodebytes(raw[:len(raw) // 57 * 57]).replace(b"\n", b"\r\n")
    part = (b"--part\r\nContent-Type: application/octet-stream; name=a.bin\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n")
    head = (b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="part"\r\n\r\n')
    tail = b""
    if infected:
        tail = part + base64.encodebytes(lab.zip_of("a.com", lab.EICAR)).replace(b"\n", b"\r\n")
    room = size - len(head) - len(part) - len(tail)
    middle = lines * (room // len(lines)) + lines[:room % len(lines) // 78 * 78]
    return head + part + middle + tail + b"--part--\r\n"


def head(name):
    return (f"Subject: {name}\r\nFrom: <a@client.example>\r\nTo: <b@sink.example>\r\n"
            "Date: Mon, 01 Jan 2024 12:00:00 +0000\r\n").encode()


# -- the server

class Taken:
    """One connection of the sink."""
    __slots__ = ("sock", "lines", "in_mail", "tail", "size", "crc", "name", "events")

    def __init__(self, sock):
        self.sock, self.lines, self.in_mail = sock, b"", False

    def begin(self):
        self.in_mail, self.tail, self.size, self.crc, self.name = True, b"\r\n", 0, 0, None


def sink(pipe, listener, is_held):
    """Takes everything, at once or when it is told to.  Tells, of each message that was
    completed, size and checksum."""
    complete, broken = {}, []
    held = []
    watch = selectors.DefaultSelector()
    watch.register(listener, selectors.EVENT_READ)
    watch.register(pipe, selectors.EVENT_READ)
    buffer = memoryview(bytearray(PIECE))

    def content(one, data):
        if one.name is None:
            one.name = bytes(data[:80]).split(b"\r\n")[0].decode().removeprefix("Subject: ")
        last = one.tail + bytes(data[-5:])
        one.tail = last[-5:]
        one.size += len(data)
        if not last.endswith(b"\r\n.\r\n"):
            one.crc = zlib.crc32(data, one.crc)
            return
        one.crc = zlib.crc32(data[:-3], one.crc)    # the dot has come alone, or at the end
        complete.setdefault(one.name, []).append((one.size - 3, one.crc))
        one.in_mail = False
        one.sock.sendall(b"250 taken\r\n")

    def talk(one, data):
        one.lines += bytes(data)
        while b"\n" in one.lines and not one.in_mail:
            line, _, one.lines = one.lines.partition(b"\n")
            verb = line[:4].upper()
            if verb == b"DATA":
                one.begin()
                one.sock.sendall(b"354 go on\r\n")
                if is_held:
                    watch.unregister(one.sock)
                    held.append(one)
            else:
                one.sock.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")

    while True:
        for key, _ in watch.select():
            if key.fileobj is listener:
                sock = listener.accept()[0]
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                watch.register(sock, selectors.EVENT_READ, Taken(sock))
                sock.sendall(b"220 sink.example\r\n")
                continue
            if key.fileobj is pipe:
                word = pipe.recv()
                if word == "end":
                    return
                if word == "take":
                    is_held = False
                    for one in held:
                        watch.register(one.sock, selectors.EVENT_READ, one)
                else:
                    pipe.send((complete, broken, len(held)))
                continue
            one = key.data
            try:
                got = one.sock.recv_into(buffer)
                if got:
                    (content if one.in_mail else talk)(one, buffer[:got])
                    continue
            except OSError:
                pass
            if one.in_mail:
                broken.append(one.name)
            watch.unregister(one.sock)
            one.sock.close()


class Server:
    """IS_HELD: takes no content until take()."""

    def __init__(self, is_held=False):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        if is_held:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self.port = listener.getsockname()[1]
        self.process, self.pipe = start(sink, listener, is_held)
        listener.close()

    def seen(self):
        """What was completed, by name; what was broken off; how many messages are held."""
        self.pipe.send("seen")
        return self.pipe.recv()

    def take(self):
        self.pipe.send("take")

    def close(self):
        try:
            self.pipe.send("end")
        except OSError:
            pass
        self.process.join(10)
        self.process.kill()


# -- the clients

class Sender:
    """One client with one message, as fast as it is taken from it."""
    TALK = [b"EHLO client.example\r\n", b"MAIL FROM:<a@client.example>\r\n",
            b"RCPT TO:<b@sink.example>\r\n", b"DATA\r\n"]

    def __init__(self, name, address, source, text):
        self.name, self.said, self.begun = name, 0, time.monotonic()
        self.parts = [memoryview(head(name)), text, memoryview(b".\r\n")]
        self.input, self.reply = b"", ""
        self.sock = socket.socket()
        self.sock.bind((source, 0))
        self.sock.setblocking(False)
        self.sock.connect_ex(address)
        self.sending = False

    def on_line(self, line):
        """True: it is over."""
        if self.said == len(self.TALK):
            if line.startswith(b"354") and not self.sending:
                self.sending = True
                return False
            self.reply = line.decode().strip()
            return True
        if line[:1] not in b"23":
            self.reply = line.decode().strip()
            return True
        if line[3:4] == b"-":
            return False
        self.sock.sendall(self.TALK[self.said])
        self.said += 1
        return False

    def on_input(self):
        try:
            data = self.sock.recv(4096)
        except OSError as error:
            self.reply = self.reply or f"broken: {error}"
            return True
        if not data:
            self.reply = self.reply or "closed"
            return True
        self.input += data
        while b"\n" in self.input:
            line, _, self.input = self.input.partition(b"\n")
            if self.on_line(line):
                return True
        return False

    def on_room(self):
        try:
            done = self.sock.send(self.parts[0][:PIECE])
        except BlockingIOError:
            return
        except OSError:
            self.parts = []                 # what it was told is still to be read
            self.sending = False
            return
        self.parts[0] = self.parts[0][done:]
        if not self.parts[0]:
            self.parts.pop(0)
            self.sending = bool(self.parts)


def clients(pipe, address, messages):
    """MESSAGES: name, source address, text.  Tells reply and seconds of each, by name."""
    watch = selectors.DefaultSelector()
    results = {}
    for name, source, text in messages:
        one = Sender(name, address, source, memoryview(text))
        watch.register(one.sock, selectors.EVENT_READ, one)
    while len(results) < len(messages):
        ready = watch.select(SILENCE)
        if not ready:
            break
        for key, what in ready:
            one = key.data
            if what & selectors.EVENT_WRITE and one.sending:
                one.on_room()
            over = what & selectors.EVENT_READ and one.on_input()
            if over:
                results[one.name] = (one.reply, time.monotonic() - one.begun)
                watch.unregister(one.sock)
                one.sock.close()
                continue
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if one.sending else 0)
            if wanted != key.events:
                watch.modify(one.sock, wanted, one)
    pipe.send(results)


class Flood:
    def __init__(self, address, messages):
        self.process, self.pipe = start(clients, address, messages)

    def is_over(self):
        return self.pipe.poll()

    def results(self):
        results = self.pipe.recv()
        self.process.join(10)
        return results


def honest(pipe, title, address, source, size, pause):
    """A small mail, a pause, another, until told to end.  Tells reply, seconds in all, and
    seconds from the dot on of each."""
    results, number = {}, 0
    text = body(size, False)
    while not pipe.poll(pause):
        name = f"{title}-{source}-{number}"
        number += 1
        begun = time.monotonic()
        dot = begun
        try:
            with lab.Client(address, SILENCE, source) as client:
                reply = client.hello()
                for line in ("MAIL FROM:<h@client.example>", "RCPT TO:<b@sink.example>", "DATA"):
                    if reply[:1] in "23":
                        reply = client.ask(line)
                if reply.startswith("354"):
                    client.send(head(name) + text + b".\r\n")
                    dot = time.monotonic()
                    reply = client.reply()
        except (OSError, AssertionError) as error:
            reply = f"broken: {error}"
        now = time.monotonic()
        results[name] = (reply.strip(), now - begun, now - dot)
    pipe.send(results)


class Honest:
    def __init__(self, title, address, source, size=10000, pause=0.25):
        self.process, self.pipe = start(honest, title, address, source, size, pause)

    def results(self):
        self.pipe.send("enough")
        results = self.pipe.recv()
        self.process.join(10)
        return results


# -- looking on

class Samples(threading.Thread):
    """What a process takes: its memory, and what it says of itself in its state file."""

    def __init__(self, gated, pause=0.25):
        super().__init__(daemon=True)
        self.gated, self.pause, self.over = gated, pause, threading.Event()
        self.begun, self.rows = time.monotonic(), []
        self.start()

    def run(self):
        while not self.over.wait(self.pause):
            status = self.gated.status()
            state = self.gated.write_state()
            self.rows.append({
                "seconds": round(time.monotonic() - self.begun, 1),
                "rss": int(status["VmRSS"].split()[0]) / 1024,
                "most": int(status["VmHWM"].split()[0]) / 1024,
                **{name: int(state[name]) / (1 << 20)
                   for name in ("spool_memory", "spool_disk", "buffers") if name in state},
                **{name: int(state[name]) for name in ("sessions_now", "scans_now", "mails")},
            })

    def most(self, name):
        return max(row[name] for row in self.rows)

    def end(self):
        self.over.set()
        self.join(60)
        return self.rows

    def table(self, rows=12):
        step = max(1, len(self.rows) // rows)
        names = list(self.rows[0])
        lines = [" ".join(f"{name:>12}" for name in names)]
        for row in [*self.rows[::step], self.rows[-1]]:
            lines.append(" ".join(f"{row[name]:12.1f}" if isinstance(row[name], float)
                                  else f"{row[name]:12}" for name in names))
        return "\n".join(lines)
