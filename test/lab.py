"""What the tests with real servers and real networks share: the gateway, mails, a client."""
import atexit
import base64
import ctypes
import io
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zipfile

SKIPPED = 77            # ctest's SKIP_RETURN_CODE
START_SECONDS = 60
STOP_SECONDS = 30
SANITIZER = re.compile(r"(ERROR|WARNING|FATAL): \w*Sanitizer|runtime error:|Assertion .* failed")

# The harmless test "virus" of eicar.org, put together so that this file is not found.
EICAR = (rb"X5O!P%@AP[4\PZX54(P^)7CC)7}" b"$EICAR-STANDARD-" b"ANTIVIRUS-TEST-FILE!$H+H*")
EICAR_NAME = "Eicar-Test-Signature"


def skip_all(reason):
    print(f"SKIP: {reason}", flush=True)
    sys.exit(SKIPPED)


def need_programs(*names):
    """Skips the whole test unless all of these are installed."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        skip_all(f"not installed: {' '.join(missing)} (sh test/install.sh test)")


def need_root():
    if os.geteuid() != 0:
        skip_all("needs root")


reserved = []               # each until this process ends


def reserve(port):
    """False: another test has chosen it, too, and may not listen there yet."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0gated-test-port-{port}")
    except OSError:
        mark.close()
        return False
    reserved.append(mark)
    return True


def free_port(host="127.0.0.1"):
    """Below the ports that the kernel gives to clients: those come and go meanwhile."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            if reserve(port):
                return port


def wait_until(condition, seconds, pause=0.05):
    """True as soon as CONDITION() is, False when it was not within SECONDS."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


class Attendance(threading.Thread):
    """Looks whether we are there: a virtual machine may be taken away for seconds."""
    TICK, SLACK = 0.01, 0.1

    def __init__(self):
        super().__init__(daemon=True)
        self.lost, self.last = 0, time.monotonic()

    def run(self):
        while True:
            time.sleep(self.TICK)
            now = time.monotonic()
            self.lost, self.last = self.lost + self.missed(now), now

    def missed(self, now):
        gap = now - self.last
        return gap if gap > self.SLACK else 0

    def lost_until_now(self):
        return self.lost + self.missed(time.monotonic())


attendance = None


class Stopwatch:
    """How long something takes.  What must take its time is measured by seconds(), what must
    be quick by here(): that is without the time for which this machine was taken away, or
    so busy that it did not let us run."""

    def __init__(self):
        global attendance
        if attendance is None:
            attendance = Attendance()
            attendance.start()
        self.begun, self.lost = time.monotonic(), attendance.lost_until_now()

    def seconds(self):
        return time.monotonic() - self.begun

    def here(self):
        return max(0, self.seconds() - self.away())

    def away(self):
        return attendance.lost_until_now() - self.lost

    def since(self, other):
        """What OTHER.here() was when this one was made."""
        return max(0, self.begun - other.begun - (self.lost - other.lost))


def rest(seconds):
    """Lets others do something for so long, while this machine is there."""
    watch = Stopwatch()
    while watch.here() < seconds:
        time.sleep(max(0.001, seconds - watch.here()))


def die_with_parent():
    """For preexec_fn: however the test ends, what it has started ends as well."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)      # PR_SET_PDEATHSIG


def descriptors(pid):
    """How many are open.  One inotify is nothing that was left: the daemon may get it late,
    when others on this machine had taken all that the kernel gives (max_user_instances)."""
    count = watches = 0
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            name = os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:               # closed meanwhile
            continue
        count += 1
        watches += name == "anon_inode:inotify"
    return count - min(watches, 1)


def open_files(pid):
    """What the descriptors of a process are of: paths, kinds, both ends of sockets."""
    ends = {}
    for table in ("tcp", "tcp6", "udp", "udp6", "unix"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            ends[fields[6 if table == "unix" else 9]] = f"{table} {' '.join(fields[1:4])}"
    names = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            name = os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:               # closed meanwhile
            continue
        names.append(f"{name} {ends.get(name[8:-1], '')}".strip())
    return sorted(names)


# -- mails, with the line ends of the wire

def mail(*lines, subject="test"):
    """A mail of these body lines (bytes)."""
    head = [b"Subject: " + subject.encode(), b"From: ann@example.test",
            b"To: bob@example.test", b"Message-ID: <1@client.example>",
            b"Date: Mon, 01 Jan 2024 12:00:00 +0000", b""]
    return b"\r\n".join(head + list(lines)) + b"\r\n"


def base64_lines(raw):
    return base64.encodebytes(raw).rstrip(b"\n").split(b"\n")


def zip_of(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def mail_with(attachment, name="invoice.zip", subject="invoice"):
    head = [b"Subject: " + subject.encode(), b"From: ann@example.test",
            b"To: bob@example.test", b"Date: Mon, 01 Jan 2024 12:00:00 +0000",
            b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="part"', b"",
            b"--part", b"Content-Type: text/plain", b"", b"See the attachment.",
            b"--part", b'Content-Type: application/zip; name="' + name.encode() + b'"',
            b"Content-Transfer-Encoding: base64", b""]
    return b"\r\n".join(head + base64_lines(attachment) + [b"--part--"]) + b"\r\n"


def infected_mail(subject="infected"):
    return mail_with(zip_of("readme.com", EICAR), subject=subject)


def random_bytes(size, seed=1):
    return random.Random(seed).randbytes(size)


def dotted(message):
    """MESSAGE as the client sends it: leading dots doubled, and the end of it."""
    lines = message.split(b"\r\n")
    return b"\r\n".join(b"." + line if line[:1] == b"." else line for line in lines) + b".\r\n"


# -- a client that says exactly what it is told to

class Client:
    def __init__(self, where, seconds=60, source=None):
        self.socket = socket.create_connection(where, seconds, source and (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.input.close()
        self.socket.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def reply(self):
        """The next reply, all its lines; empty when the connection has ended."""
        text = ""
        while True:
            line = self.input.readline(65536).decode("latin-1")
            text += line
            if len(line) < 4 or line[3] != "-":
                return text

    def ask(self, command):
        self.send(command.encode("latin-1") + b"\r\n")
        return self.reply()

    def hello(self):
        greeting = self.reply()
        if not greeting.startswith("220"):
            raise AssertionError(f"greeting: {greeting!r}")
        return self.ask("EHLO client.example")

    def submit(self, message, recipient="bob@example.test"):
        """The replies to MAIL, RCPT, DATA, and (after 354) to MESSAGE."""
        replies = [self.ask("MAIL FROM:<ann@example.test>"),
                   self.ask(f"RCPT TO:<{recipient}>"), self.ask("DATA")]
        if replies[-1].startswith("354"):
            self.send(dotted(message))
            replies.append(self.reply())
        return replies


# -- a copy of this machine's root

TRIALS = ("var/spool/smtp-gated", "var/lib/smtp-gated", "etc/smtp-gated", "etc/smtp-gated.conf")


def forget_trials(root):
    """Takes away what somebody may have tried on this machine, from a copy of its root."""
    for name in TRIALS:
        there = pathlib.Path(root, name)
        if there.is_dir():
            shutil.rmtree(there)
        else:
            there.unlink(missing_ok=True)


# -- the program under test

class Gateway:
    """CONFIG holds options by name, as they are to be written in the file.  UNDER is a
    command that runs it: "ip netns exec NAME", for example."""

    def __init__(self, program, config, under=(), environment=None, listen="127.0.0.1"):
        self.port = int(config.get("port", 0)) or free_port(listen)
        self.directory = tempfile.mkdtemp(prefix="gated-test-")
        for name in ("spool", "scan", "signatures"):
            os.mkdir(os.path.join(self.directory, name))
        with open(self.directory + "/signatures/test.ndb", "w", encoding="ascii") as file:
            file.write(f"{EICAR_NAME}:0:*:{EICAR.hex()}\n")
        options = {
            "proxy_name": '"gate.example"',
            "bind_address": f'{{"{listen}"}}',
            "port": self.port,
            "pidfile": '""',
            "max_connections": 1000, "max_per_host": 0,
            "spool_path": f'"{self.directory}/spool"',
            "lock_path": f'"{self.directory}/lock"',
            "lock_duration": 0,
            "scan_path": f'"{self.directory}/scan"',
            "signature_path": f'"{self.directory}/signatures"',
            "spool_leave_on": "{never}",
            "log_level": "debug",
            "nat_header_type": "none",      # so that what comes out is what went in
        }
        options.update(config)
        if "set_user" in config:
            os.chmod(self.directory, 0o755)
            for name in ("spool", "scan"):
                os.chmod(os.path.join(self.directory, name), 0o1777)
        with open(self.directory + "/conf", "w", encoding="ascii") as file:
            file.writelines(f"{name} = {value}\n" for name, value in options.items())
        self.log_file = self.directory + "/log"
        self.environment = dict(os.environ, **(environment or {}))
        for name in ("JOURNAL_STREAM", "NOTIFY_SOCKET", "LISTEN_FDS"):
            self.environment.pop(name, None)
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [*under, program, "-f", self.directory + "/conf"],
                cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=die_with_parent)
        if not self.wait_for_log(r"^start\b", START_SECONDS):
            words = self.log()
            self.clear()
            raise AssertionError("the gateway did not start:\n" + words)

    def log(self):
        with open(self.log_file, encoding="ascii", errors="backslashreplace") as file:
            return file.read()

    def logged(self, pattern):
        """All lines that match, from their beginning to their end."""
        return re.findall(rf"^.*(?:{pattern}).*$", self.log(), re.MULTILINE)

    def wait_for_log(self, pattern, seconds=10):
        return wait_until(lambda: re.search(pattern, self.log(), re.MULTILINE)
                          or self.process.poll() is not None, seconds) \
            and re.search(pattern, self.log(), re.MULTILINE) is not None

    def stop(self):
        """Ends it as an administrator would, and looks whether all was well."""
        try:
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                raise AssertionError("SIGTERM did not end the gateway") from None
            if SANITIZER.search(self.log()):
                raise AssertionError("a sanitizer or an assertion has spoken:\n" + self.log())
            if code != 0:
                raise AssertionError(f"exit code {code}, not 0:\n" + self.log()[-4000:])
            left = [name for folder in ("spool", "scan")
                    for name in os.listdir(os.path.join(self.directory, folder))]
            if left:
                raise AssertionError(f"files are left behind: {left}")
        finally:
            self.clear()

    def clear(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def main():
    """Runs the tests of the calling file; the program is its first argument."""
    del sys.argv[1]
    unittest.main(module="__main__", verbosity=2)


def reachable(path):
    """PATH, or a copy that every user gets at: a clone may lie below a closed home."""
    path = os.path.abspath(path)
    if all(os.stat(above).st_mode & 0o001 for above in pathlib.Path(path).parents):
        return path
    directory = tempfile.mkdtemp(prefix="gated-program-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    os.chmod(directory, 0o755)
    return shutil.copy(path, directory)


def program():
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        sys.exit(f"usage: {sys.argv[0]} PROGRAM [unittest arguments]")
    return reachable(sys.argv[1])
