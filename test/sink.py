#!/usr/bin/python3
"""A mail server for trials.

It accepts every mail, and says on stdout, line by line, what it saw of each connection:
above all whether a message was completed (only then would a server deliver it) or was
broken off.  With --keep it also writes each completed message to a file.

    sink.py [--keep DIR] ADDRESS:PORT ...		(IPv6: [ADDRESS]:PORT)
"""
import argparse
import os
import socket
import socketserver
import sys
import threading

LINE_MAX = 1 << 20
SILENCE_MAX = 120

counter_lock = threading.Lock()
counter = 0


def say(words):
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def printable(raw):
    return raw.decode("ascii", "replace").encode("ascii", "backslashreplace").decode()


class Talk(socketserver.StreamRequestHandler):
    timeout = SILENCE_MAX
    keep = None

    def reply(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.peer = self.client_address[0].replace("::ffff:", "")
        say(f"connection from {self.peer}")
        try:
            self.talk()
        except OSError as error:
            say(f"connection from {self.peer} broke: {error}")
        else:
            say(f"connection from {self.peer} ended")

    def talk(self):
        self.sender, self.recipients = None, []
        self.reply("220 sink.example ESMTP sink, keeps no mail")
        while True:
            line = self.rfile.readline(LINE_MAX)
            if not line.endswith(b"\n"):
                return
            verb = line.split(None, 1)[0].upper() if line.strip() else b""
            if verb == b"EHLO":
                self.reply("250-sink.example\r\n250-PIPELINING\r\n"
                       "250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
            elif verb in (b"HELO", b"NOOP"):
                self.reply("250 2.0.0 fine")
            elif verb == b"RSET":
                self.sender, self.recipients = None, []
                self.reply("250 2.0.0 forgotten")
            elif verb == b"MAIL":
                self.sender = line.split(b":", 1)[-1].strip()
                self.reply("250 2.1.0 sender is fine")
            elif verb == b"RCPT":
                self.recipients.append(line.split(b":", 1)[-1].strip())
                self.reply("250 2.1.5 recipient is fine")
            elif verb == b"DATA":
                if not self.content():
                    return
            elif verb == b"QUIT":
                self.reply("221 2.0.0 bye")
                return
            else:
                self.reply("502 5.5.1 not here")

    def content(self):
        global counter
        self.reply("354 go on, end with a dot")
        lines, size, subject = [], 0, b""
        while True:
            try:
                line = self.rfile.readline(LINE_MAX)
            except OSError:
                line = b""
            if not line:
                say(f"message from {self.peer} BROKEN OFF after {size} bytes, "
                    "before its end: not delivered")
                return False
            if line == b".\r\n" and (not lines or lines[-1].endswith(b"\r\n")):
                break
            if line.startswith(b".") and (not lines or lines[-1].endswith(b"\n")):
                line = line[1:]
            if line[:8].lower() == b"subject:" and not subject:
                subject = line[8:].strip()
            lines.append(line)
            size += len(line)
        with counter_lock:
            counter += 1
            number = counter
        if self.keep:
            with open(os.path.join(self.keep, f"{number}.eml"), "wb") as file:
                file.write(b"".join(lines))
        say(f"message {number} from {self.peer} COMPLETE, {size} bytes, "
            f"to {printable(b' '.join(self.recipients))}, "
            f"subject: {printable(subject)}")
        self.sender, self.recipients = None, []
        self.reply(f"250 2.0.0 message {number} taken")
        return True


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, where):
        host, _, port = where.rpartition(":")
        host = host.strip("[]")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, int(port)), Talk)
        say(f"listening on {where}")


def main():
    parser = argparse.ArgumentParser(description="A mail server for trials.")
    parser.add_argument("--keep", metavar="DIR", help="write completed messages here")
    parser.add_argument("where", nargs="+", metavar="ADDRESS:PORT")
    args = parser.parse_args()
    Talk.keep = args.keep
    servers = [Server(where) for where in args.where]
    threads = [threading.Thread(target=server.serve_forever, daemon=True)
           for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"sink.py: {error}")
