"""A real redis-server in a directory of its own, and what is wrong with servers."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import lab


class Refusal(Exception):
    """An error that the server answered with."""


class Redis:
    """On a port of 127.0.0.1 and on a unix socket; started again with what it has kept, or
    without."""

    def __init__(self, *settings):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gated-redis-"))
        self.directory.chmod(0o755)
        self.path = self.directory / "socket"
        self.port = lab.free_port()
        self.settings = settings
        self.password = None
        self.process = None
        self.start()

    def start(self):
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                 "--unixsocket", str(self.path), "--unixsocketperm", "777",
                 "--dir", str(self.directory), "--save", "", "--daemonize", "no",
                 "--enable-debug-command", "yes", "--enable-protected-configs", "yes",
                 *self.settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=lab.die_with_parent)
        if not lab.wait_until(self.answers, 20):
            raise AssertionError((self.directory / "log").read_text())

    def answers(self):
        with contextlib.suppress(OSError, Refusal):
            return self.ask("PING") == "PONG"
        return False

    def ask(self, *words):
        """One command, and its answer: text, number, None or list."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(self.path))
            with sock.makefile("rwb") as file:
                for command in ([["AUTH", self.password]] if self.password else []) + [words]:
                    parts = [part if isinstance(part, bytes) else str(part).encode()
                             for part in command]
                    file.write(b"*%d\r\n" % len(parts) + b"".join(
                        b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
                    file.flush()
                    answer = read_answer(file)
                return answer

    def speak_tls(self, name):
        """On another port, with a certificate for NAME; those that it goes back to."""
        certificate, key = self.directory / "tls.pem", self.directory / "tls.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test",
             "-days", "2", "-addext", f"subjectAltName={name}", "-keyout", str(key),
             "-out", str(certificate)], check=True, capture_output=True)
        self.tls_port = lab.free_port()
        self.ask("CONFIG", "SET", "tls-cert-file", certificate, "tls-key-file", key,
                 "tls-ca-cert-file", certificate, "tls-auth-clients", "no",
                 "tls-port", self.tls_port)
        return certificate

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stall(self, seconds):
        """Answers nobody for so long; we do not wait for it."""
        def sleep():
            with contextlib.suppress(OSError):
                self.ask("DEBUG", "SLEEP", seconds)
        threading.Thread(target=sleep, daemon=True).start()

    def fail_to_save(self):
        """From now on it refuses to be written to: MISCONF."""
        self.ask("CONFIG", "SET", "rdb-key-save-delay", 10000000)
        self.ask("SET", "a-key", "to be saved")
        self.ask("BGSAVE")
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        lab.wait_until(lambda: children.read_text().split(), 10)
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
        self.ask("CONFIG", "SET", "save", "3600 1")
        lab.wait_until(lambda: b"rdb_last_bgsave_status:err" in self.ask("INFO", "persistence"),
                       10)

    def stop(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def read_answer(file):
    line = file.readline().rstrip(b"\r\n").decode("ascii", "backslashreplace")
    kind, rest = line[:1], line[1:]
    if kind == "+":
        return rest
    if kind == "-":
        raise Refusal(rest)
    if kind == ":":
        return int(rest)
    if kind == "$":
        return None if rest == "-1" else file.read(int(rest) + 2)[:-2]
    if kind == "*":
        return [read_answer(file) for _ in range(int(rest))]
    raise OSError(f"no answer: {line!r}")


class Babbler:
    """Something else, where a server of Redis should be: says WORDS, again and again."""

    def __init__(self, words, times=1):
        self.words, self.times, self.callers = words, times, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                caller = self.socket.accept()[0]
                self.callers += 1
                threading.Thread(target=self.talk, args=(caller,), daemon=True).start()

    def talk(self, caller):
        with contextlib.suppress(OSError), caller:
            caller.settimeout(20)
            for _ in range(self.times):
                caller.sendall(self.words)
            while caller.recv(4096):
                pass

    def stop(self):
        self.socket.close()
