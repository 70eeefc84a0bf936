"""The daemon as an administrator has it: files, users, signals; and who talks to it."""
import contextlib
import ctypes
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402

PATIENCE = 60               # seconds; only a failing test waits that long
WHOLE_FILE = 580            # seconds for all tests of one file
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
LIBC = ctypes.CDLL(None, use_errno=True)

PROGRAM = lab.program()
IS_ROOT = os.geteuid() == 0
# ThreadSanitizer has a thread and much memory of its own.
IS_SHADOWED = b"__tsan_init" in pathlib.Path(PROGRAM).read_bytes()
as_root = unittest.skipUnless(IS_ROOT, "needs root")


def wait_until(condition, seconds=PATIENCE, pause=0.01):
    return lab.wait_until(condition, seconds, pause)


# -- a server

class MailServer(socketserver.ThreadingTCPServer):
    """Speaks as TALK does, on a port of its own, until it is closed."""
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, talk, address="127.0.0.1"):
        super().__init__((address, 0), talk)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def close(self):
        self.shutdown()
        self.server_close()


class Sink(MailServer):
    """Takes every mail.  Knows of each whether it was completed or broken off."""

    def __init__(self, address="127.0.0.1"):
        self.complete, self.broken = [], []
        self.silent = threading.Event()         # gives no last word on a mail while set
        super().__init__(SinkTalk, address)


class SinkTalk(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        self.say("220 sink.example ESMTP")
        for line in self.rfile:
            verb = line.split()[0].upper()
            if verb == b"DATA":
                self.content()
            elif verb == b"EHLO":
                self.say("250-sink.example\r\n250-STARTTLS\r\n250 8BITMIME")
            elif verb == b"STARTTLS":
                self.say("220 go ahead")
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def content(self):
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        (self.server.complete if line else self.server.broken).append(b"".join(lines))
        while self.server.silent.is_set():
            time.sleep(0.01)
        if line:
            self.say("250 taken")


# -- the daemon

def status_of(task):
    """The lines of /proc/PID/status or /proc/PID/task/TID/status."""
    text = pathlib.Path(task, "status").read_text(encoding="ascii")
    return dict(re.findall(r"(?m)^(\w+):[ \t]*(.*?)[ \t]*$", text))


def is_locked(path):
    """A directory of temporary files that a process has, so that it is not left behind."""
    if not path.is_dir():
        return False
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def is_gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Gated:
    """A directory with everything in it, and the program started for it, once or more
    often.  Options are given as they are written in the file; None leaves one out."""

    def __init__(self, server_port=25, **options):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gated-daemon-"))
        self.directory.chmod(0o755)
        for name, mode in (("etc", 0o755), ("spool", 0o1777), ("scan", 0o1777),
                           ("run", 0o777), ("reports", 0o1777), ("signatures", 0o755)):
            (self.directory / name).mkdir()
            (self.directory / name).chmod(mode)
        self.sign(self.directory / "signatures")
        self.file = self.directory / "etc" / "conf"
        self.pidfile = self.directory / "run" / "pid"
        self.statefile = self.directory / "run" / "state"
        self.log_file = self.directory / "log"
        self.port = lab.free_port()
        self.options = {
            "proxy_name": '"gate.example"', "bind_address": '{"127.0.0.1"}',
            "port": self.port, "pidfile": f'"{self.pidfile}"',
            "statefile": f'"{self.statefile}"', "statefile_type": "{flat}",
            "mode": "fixed", "fixed_server": '"127.0.0.1"',
            "fixed_server_port": server_port, "allow_root": "yes",
            "local_servers": "yes",
            "spool_path": f'"{self.directory}/spool"',
            "lock_path": f'"{self.directory}/lock"', "lock_duration": 0,
            "scan_path": f'"{self.directory}/scan"',
            "signature_path": f'"{self.directory}/signatures"',
            "scan_workers": 2, "max_connections": 200, "max_per_host": 0, "log_level": "info",
            "spool_memory_each": 4096,          # larger mails go to a file
            "spool_leave_on": "{never}",
        }
        self.process = self.pid = None
        self.program = PROGRAM
        self.wrapper = []                       # what starts the program, if not we
        self.extra_environment = {}
        self.sections = ""                      # what stands behind the options
        self.configure(**options)

    @staticmethod
    def sign(directory):
        (directory / "test.ndb").write_text(f"{lab.EICAR_NAME}:0:*:{lab.EICAR.hex()}\n")

    def configure(self, **options):
        """Replaces the file, as editors do: at no time is there half of one."""
        self.sections = options.pop("sections", self.sections)
        self.options.update(options)
        beside = self.file.with_name("conf.new")
        beside.write_text("".join(f"{name} = {value}\n" for name, value
                                  in self.options.items() if value is not None)
                          + self.sections)
        beside.replace(self.file)

    def environment(self):
        sanitizer = f"log_path={self.directory}/reports/report"
        environment = dict(os.environ, LC_ALL="C", TZ="UTC")
        for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
            environment[name] = ":".join(filter(None, (environment.get(name), sanitizer)))
        for name in ("JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS",
                     "TMPDIR"):
            environment.pop(name, None)
        environment.update(self.extra_environment)
        return environment

    def spawn(self, *arguments, **more):
        """The program, not waited for; it says what it says to the log file."""
        more.setdefault("cwd", self.directory)
        before = more.pop("before", lambda: None)

        def prepare():
            lab.die_with_parent()
            before()
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, self.program, *map(str, arguments)], env=self.environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=prepare, **more)
        self.pid = self.process.pid

    def start(self, **more):
        """In the foreground, until it serves."""
        seen = len(self.log())
        self.spawn("-f", self.file, **more)
        if not wait_until(lambda: re.search(r"(?m)^start .*\n", self.log()[seen:])
                          or self.process.poll() is not None) or \
           not re.search(r"(?m)^start .*\n", self.log()[seen:]):
            raise AssertionError(f"it does not start:\n{self.log()}")
        return self

    def refused(self, **more):
        """It is to say why it does not start: those words."""
        seen = len(self.log())
        self.spawn("-f", self.file, **more)
        wait_until(lambda: self.process.poll() is not None
                   or re.search("(?m)^start ", self.log()[seen:]))
        words = self.log()[seen:]
        if self.process.poll() != 1:
            raise AssertionError(f"exit code {self.process.poll()}, not 1:\n{words}")
        return words

    def background(self, arguments=None, **more):
        """As an init script does it: the command's exit code and words."""
        more.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(
            [*self.wrapper, self.program, *(arguments or [self.file])], env=self.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, text=True,
            check=False, **more)
        if done.returncode == 0:
            self.pid = int(self.pidfile.read_text())
        return done

    # -- looking at it

    def log(self):
        try:
            return self.log_file.read_text(errors="backslashreplace")
        except FileNotFoundError:
            return ""

    def logged(self, pattern):
        return re.findall(rf"^.*(?:{pattern}).*$", self.log(), re.MULTILINE)

    def wait_for_log(self, pattern, count=1):
        if not wait_until(lambda: len(self.logged(pattern)) >= count):
            raise AssertionError(f"not logged {count} times: {pattern}\n{self.log()[-6000:]}")

    def status(self):
        return status_of(f"/proc/{self.pid}")

    def threads(self):
        return [status_of(task) for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir()]

    def descriptors(self):
        return lab.descriptors(self.pid)

    def report_from(self, jail):
        """Sanitizers report from inside of the root JAIL as well; leaks they cannot find."""
        reports = self.directory / "reports"
        inside = jail / reports.relative_to("/")
        reports.rmdir()
        inside.mkdir(parents=True)
        inside.chmod(0o1777)
        reports.symlink_to(inside)
        environment = self.environment()
        environment["ASAN_OPTIONS"] += ":detect_leaks=0"        # that needs a /proc
        self.environment = lambda: environment

    def open_files(self):
        """What the descriptors are of, to tell which one is left open."""
        return lab.open_files(self.pid)

    def memory(self):
        """MB in use now."""
        return int(self.status()["VmRSS"].split()[0]) / 1024

    def is_listening(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
        except OSError:
            return False
        return True

    # -- telling it

    def signal(self, which):
        os.kill(self.pid, which)

    def reload(self, **options):
        """The new file, HUP, and the word that it is in force."""
        count = len(self.logged('text="read again"'))
        if options:
            self.configure(**options)
        self.signal(signal.SIGHUP)
        self.wait_for_log('text="read again"', count + 1)

    def write_state(self):
        """USR1: what the state file says then."""
        with contextlib.suppress(FileNotFoundError):
            self.statefile.unlink()
        self.signal(signal.SIGUSR1)
        if not wait_until(self.statefile.exists):
            raise AssertionError(f"no state file:\n{self.log()[-3000:]}")
        return dict(re.findall(r"(?m)^(\w+): (.*)$", self.statefile.read_text()))

    def end(self):
        """Its exit code.  In the background we are its parent as well: main()."""
        if self.process is not None:
            return self.process.wait(PATIENCE)
        if not wait_until(lambda: is_gone(self.pid)):
            raise AssertionError("it does not end")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def stop(self):
        """Ends it; all promises about the end are checked."""
        self.signal(signal.SIGTERM)
        self.check_ended()

    def check_ended(self):
        code = self.end()
        self.check_reports()
        if code != 0:
            raise AssertionError(f"exit code {code}, not 0\n{self.log()[-4000:]}")
        if self.process is not None and \
           not re.search(r"(?m)^stop .*sessions=\d+ mails=\d+.*\n\Z", self.log()):
            raise AssertionError(f"the last line is not stop:\n{self.log()[-2000:]}")
        left = [path.name for folder in ("spool", "scan")
                for path in (self.directory / folder).iterdir() if not is_locked(path)]
        if left or self.pidfile.exists():
            raise AssertionError(f"files are left behind: {left}, {self.pidfile}")
        self.process = self.pid = None

    def check_reports(self):
        reports = list((self.directory / "reports").iterdir())
        words = "".join(one.read_text(errors="replace") for one in reports) + self.log()
        if reports or lab.SANITIZER.search(words):
            raise AssertionError(f"a sanitizer or an assertion has spoken:\n{words}")

    def clear(self):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
        elif self.pid is not None and not is_gone(self.pid):
            os.kill(self.pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


# -- a client

class Client(lab.Client):
    """A lab.Client that is closed with its test."""

    def __init__(self, gated, address=None, source=None):
        super().__init__(address or ("127.0.0.1", gated.port), PATIENCE, source)

    def is_closed(self):
        try:
            return self.input.readline() == b""
        except OSError:
            return True

    def begins_mail(self, body=b"first half\r\n"):
        """Up to the middle of the content."""
        for command in ("MAIL FROM:<a@client.example>", "RCPT TO:<b@sink.example>"):
            reply = self.ask(command)
            if not reply.startswith("250"):
                raise AssertionError(f"{command}: {reply!r}")
        reply = self.ask("DATA")
        if not reply.startswith("354"):
            raise AssertionError(f"DATA: {reply!r}")
        self.send(b"Subject: begun\r\n\r\n" + body)

    def ends_mail(self, body=b"second half\r\n"):
        self.send(body + b".\r\n")
        return self.reply()


class Case(unittest.TestCase):
    """With a sink, and a Gated in front of it."""

    def setUp(self):
        self.sink = Sink()
        self.addCleanup(self.sink.close)
        self.gated = self.another()

    def another(self, **options):
        gated = Gated(self.sink.port, **options)
        self.addCleanup(gated.clear)
        return gated

    def call(self, gated=None):
        client = Client(gated or self.gated)
        self.addCleanup(client.__exit__)
        return client

    def begin(self, gated=None):
        """A client that has said hello."""
        client = self.call(gated)
        self.assertRegex(client.hello(), "^250")
        return client

    def serves(self, gated=None):
        """Clean mail passes, infected mail is refused; the words of that."""
        before = len(self.sink.complete)
        client = self.begin(gated)
        self.assertRegex(client.submit(lab.mail(*[b"at noon"] * 2000))[-1], "^250 taken")
        self.assertEqual(len(self.sink.complete), before + 1)
        refusal = client.submit(lab.mail(lab.EICAR))[-1]
        self.assertRegex(refusal, f"^550 .*{lab.EICAR_NAME}")
        self.assertRegex(client.ask("QUIT"), "^221")
        self.assertEqual(len(self.sink.complete), before + 1)
        client.__exit__()
        return refusal

    def infect(self, hello="client.example", sender="a@client.example", count=1):
        """A session with COUNT mails, the last of them with a virus."""
        client = self.call()
        self.assertRegex(client.reply(), "^220")
        self.assertRegex(client.ask(f"EHLO {hello}"), "^250")
        for number in range(count):
            for command in (f"MAIL FROM:<{sender}>", "RCPT TO:<b@sink.example>",
                            "RCPT TO:<c@sink.example>"):
                self.assertRegex(client.ask(command), "^250")
            self.assertRegex(client.ask("DATA"), "^354")
            last = number == count - 1
            client.send(lab.dotted(lab.mail(lab.EICAR if last else b"clean")))
            self.assertRegex(client.reply(), "^550" if last else "^250")
        own = client.socket.getsockname()
        client.__exit__()
        return own


def read_as(uid, path):
    """Whether user UID, without groups or capabilities, can read PATH."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            with open(path, "rb") as file:
                file.read()
        except PermissionError:
            os._exit(1)
        except BaseException:                   # pylint: disable=broad-except
            os._exit(2)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 2:
        raise AssertionError(f"cannot try to read {path} as user {uid}")
    return code == 0


def mount_over(path, content):
    """For BEFORE: the file CONTENT in place of PATH, for this process alone."""
    if LIBC.unshare(CLONE_NEWNS) != 0 or \
       LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0 or \
       LIBC.mount(str(content).encode(), path.encode(), None, MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), f"cannot mount over {path}")


def can_mount():
    """Not every container lets its root do that."""
    child = os.fork()
    if child == 0:
        try:
            mount_over("/etc/group", "/etc/group")
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def run_out_of_time(*_):
    raise TimeoutError("this file of tests takes too long")


def main(needs_root=False, seconds=WHOLE_FILE):
    if needs_root:
        lab.need_root()
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGALRM, run_out_of_time)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(seconds)
    lab.main()
