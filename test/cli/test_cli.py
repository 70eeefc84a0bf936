#!/usr/bin/env python3
"""The command line and the daemon's comings and goings, as an administrator meets them.

usage: test_cli.py PROGRAM [unittest arguments]
"""
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
import lab  # noqa: E402

PROGRAM = None
DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
SAMPLES = pathlib.Path(__file__).resolve().parents[2] / "conf"
PATIENCE = 20                   # seconds; only a failing test waits that long


class SmtpServer(socketserver.ThreadingTCPServer):
    """Takes every mail; keeps what it got."""
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        self.mails = []
        super().__init__(("127.0.0.1", 0), SmtpTalk)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


class SmtpTalk(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        self.say("220 server.example ESMTP")
        for line in self.rfile:
            verb = line.split()[0].upper()
            if verb == b"DATA":
                self.say("354 go on")
                mail = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    mail += line
                if line:
                    self.server.mails.append(mail)
            self.say("221 bye" if verb == b"QUIT" else "250 ok")
            if verb == b"QUIT":
                return


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.file = self.sock.makefile("rwb")

    def hears(self):
        return self.file.readline().decode()

    def says(self, text):
        self.file.write(text.encode())
        self.file.flush()

    def asks(self, line):
        self.says(line + "\r\n")
        return self.hears()

    def begins_mail(self):
        """Everything up to the middle of the content."""
        assert self.hears().startswith("220 ")
        for line in ("HELO client.example", "MAIL FROM:<a@client.example>",
                     "RCPT TO:<b@server.example>"):
            assert self.asks(line) == "250 ok\r\n", line
        assert self.asks("DATA").startswith("354 ")
        self.says("Subject: test\r\n\r\nfirst half\r\n")

    def close(self):
        self.file.close()
        self.sock.close()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid):
    """It has ended; a zombie that nobody has asked after counts as well."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


class Case(unittest.TestCase):
    def setUp(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="cli-"))
        self.addCleanup(shutil.rmtree, self.tmp)
        self.pidfile = self.tmp / "pid"
        self.port = free_port()

    def run_program(self, *arguments, **more):
        environment = dict(os.environ, LC_ALL="C")
        environment.pop("JOURNAL_STREAM", None)
        return subprocess.run([PROGRAM, *map(str, arguments)], timeout=PATIENCE,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=environment, **more)

    def check(self, result, code, out=None, err=None):
        """The exit code, and what both streams must be like; None: empty."""
        for stream, pattern in ((result.stdout, out), (result.stderr, err)):
            if pattern is None:
                self.assertEqual(stream, "")
            else:
                self.assertRegex(stream, pattern)
        self.assertEqual(result.returncode, code)

    def file(self, text, name="conf"):
        path = self.tmp / name
        path.write_text(text)
        return path

    def settings(self, **changes):
        """A file of everything that serving needs."""
        values = {"proxy_name": '"gate.example"', "bind_address": '{"127.0.0.1"}',
                  "port": self.port, "pidfile": f'"{self.pidfile}"', "mode": "fixed",
                  "fixed_server": '"127.0.0.1"', "fixed_server_port": 25,
                  "spool_path": f'"{self.tmp}"', "max_connections": 100,
                  "lock_duration": 0,
                  "antivirus_type": "off", "allow_root": "yes",
                  "statefile": f'"{self.tmp}/state"', **changes}
        return self.file("".join(f"{k} = {v}\n" for k, v in values.items()))


class Questions(Case):
    """What is answered and done with."""

    def test_help_and_versions(self):
        result = self.run_program("-h")
        self.check(result, 0, r"usage: smtp-gated")
        for letter in "ftTChvV":
            self.assertIn(f"-{letter}", result.stdout)
        self.assertEqual(self.run_program("--help").stdout, result.stdout)
        self.check(self.run_program("-v"), 0, r"\Asmtp-gated \d+\.\d+\.\d+\n\Z")
        self.assertEqual(self.run_program("--version").stdout,
                         self.run_program("-v").stdout)
        self.check(self.run_program("-V"), 0, r"(?ms)\Asmtp-gated .*^libevent 2.*"
                   r"^libconfuse \d.*^libclamav \d.*^modes: .*^scanners: ")

    def test_misuse(self):
        for arguments in ([], ["-f"], ["-x"], ["-C"], ["-C", "port"], ["a", "b"],
                          ["--no-such"], ["-t", "a", "b"]):
            with self.subTest(arguments):
                self.check(self.run_program(*arguments), 2, None, r"Try: smtp-gated -h\n\Z")

    def test_dump_can_be_read_back(self):
        for option in ("-t", "-T"):
            with self.subTest(option):
                result = self.run_program(option)
                self.check(result, 0, r"(?m)^port = 9199$")
                self.assertEqual(
                    self.run_program(option, self.file(result.stdout)).stdout,
                    result.stdout)
        self.assertNotIn("\nmsg_", self.run_program("-t").stdout)
        self.assertIn("\nmsg_", self.run_program("-T").stdout)

    def test_dump_shows_what_the_file_says(self):
        file = self.file("# mine\nport = 2525\nproxy_name = 'gate.example'\n"
                         "bind_address = {'127.0.0.1'}\n")
        result = self.run_program("-t", file)
        self.check(result, 0, r"(?m)^port = 2525$")
        self.assertRegex(result.stdout, r'(?m)^proxy_name = "gate.example"$')
        self.assertRegex(result.stdout, r'(?m)^bind_address = \{"127.0.0.1"\}$')

    def test_samples(self):
        """They are taken without a word, and what is commented out in them is an option."""
        known = set(re.findall(r"(?m)^(\w+) = ", self.run_program("-T").stdout))
        samples = sorted(SAMPLES.glob("*.conf"))
        self.assertEqual([file.name for file in samples],
                         ["fixed-xclient.conf", "fixed.conf", "nat-advanced.conf", "nat.conf",
                          "remote.conf", "spam.conf", "tproxy.conf"])
        for file in samples:
            with self.subTest(file.name):
                self.check(self.run_program("-t", file), 0, r"(?m)^port = ")
                spelt = re.findall(r"(?m)^;?(\w+) \+?=", file.read_text())
                self.assertGreater(len(spelt), 5)
                self.assertLessEqual(set(spelt), known)

    def test_import(self):
        old, today = DATA / "router-1.4.conf", DATA / "router.conf"
        result = self.run_program("--import", old)
        self.check(result, 0, r"(?m)^mode = ", r"conf:18: pid_hash_size: ")
        self.assertEqual(result.stdout, today.read_text())
        self.assertEqual(self.run_program("-T", today).stdout,
                         self.run_program("-T", old).stdout)
        self.check(self.run_program("--import", today), 1, None, r"not in the syntax of ")
        self.check(self.run_program("--import", self.file("prot 25\n")), 1, None,
                   r"conf:1: no such option: .prot.")

    def test_template_as_in_the_help(self):
        command = re.search(r"smtp-gated -t \| (sed .*) >/etc/smtp-gated.conf",
                            self.run_program("-h").stdout)[1]
        template = subprocess.run(["/bin/sh", "-c", f'"$0" -t | {command}', PROGRAM],
                                  timeout=PATIENCE, capture_output=True, text=True,
                                  check=True).stdout
        self.assertNotRegex(template, r"(?m)^[a-z]")
        result = self.run_program("-T", self.file(template))
        self.check(result, 0, r"(?m)^port = 9199$")
        self.assertEqual(result.stdout, self.run_program("-T").stdout)

    def test_one_option(self):
        file = self.file("port = 2525\n")
        self.check(self.run_program("-C", "port", file), 0, r"\Aport = 2525\n\Z")
        self.check(self.run_program("-C", "mode", file), 0, r"\Amode = netfilter\n\Z")
        self.check(self.run_program("-C", "prot", file), 1, None,
                   r"no option prot; did you mean port\?\n")
        self.check(self.run_program("-C", "qqqqqqqqqqqqqqqq", file), 1, None,
                   r"no option qqqqqqqqqqqqqqqq\n")
        self.check(self.run_program("-C", "port", self.tmp / "none"), 1, None, r"none: ")
        self.check(self.run_program("-C", "pid_hash_size", file), 1, None,
                   r"\Asmtp-gated: pid_hash_size: has no effect any more: .*\n\Z")
        old = self.file("port 2526\npid_hash_size 1\n")
        self.check(self.run_program("-C", "port", old), 0, r"\Aport = 2526\n\Z")

    def test_one_option_of_a_session(self):
        file = self.file("bind_address = {}\nscan_max_size = 2M\n"
                         'listen "in" {\n address = ::1\n port = 26\n}\n'
                         'policy "lan" {\n clients = {10.0.0.0/8}\n servers = ::1\n'
                         " scan_max_size = 3M\n}\n")
        size = ("-C", "scan_max_size", file)
        self.check(self.run_program(*size), 0, r"\Ascan_max_size = 2097152\n\Z")
        self.check(self.run_program(*size, "--client", "10.9.8.7", "--server", "::1"), 0,
                   r'\Ascan_max_size = 3145728\n# listener "default", policy "lan"; client '
                   r"10.9.8.7 is in 10.0.0.0/8; server ::1 is in ::1\n"
                   r'# scan_max_size: policy "lan" says so\n\Z')
        self.check(self.run_program(*size, "--client", "10.9.8.7", "--listener", "in"), 0,
                   r'\Ascan_max_size = 2097152\n# listener "in", no policy\n'
                   r'# policy "lan" may apply instead: it asks for a server\n'
                   r"# scan_max_size: the main part says so, line 2\n\Z")
        self.check(self.run_program("--listener=in", "-C", "port", file), 0,
                   r'\Aport = 26\n(# .*\n)+# port: listen "in" says so\n\Z')
        self.check(self.run_program(*size, "--listener", "out"), 1, None,
                   r'no section listen "out"')
        self.check(self.run_program(*size, "--client", "here"), 2, None,
                   r"--client: here is no IPv4 or IPv6 address\n")
        self.check(self.run_program("-C", "prt", file, "--client", "::1"), 1, None,
                   r"no option prt; did you mean port\?")
        self.check(self.run_program("-t", file, "--client", "::1"), 2, None, r"--client is not for --dump\n")

    def test_findings(self):
        file = self.file("on_virus = defer\nlock_on = {virus}\nspool_leave_on = never\n"
                         "on_unscannable = hangup\nevent_url = \"http://[::1]:9/x\"\nevent_on = {virus}\n"
                         "on_regex_helo = pass\n"
                         'policy "lan" {\n clients = {10.0.0.0/8}\n on_virus = pass\n}\n')
        result = self.run_program("--findings", file)
        self.check(result, 0, r"\Afinding +action +lock +script +event +keep +reply\n")
        for row in (r"virus +defer +no +no +yes +no +451 4\.7\.1 Virus found: NAME",
                    r"locked +refuse +no +\w+ +no +no +550 5\.7\.1 You are locked out .*",
                    r"unscannable +hangup +no +\w+ +no +no +554 5\.7\.1 .*",
                    r"regex-helo +pass +no +\w+ +no +no +-"):
            self.assertRegex(result.stdout, rf"(?m)^{row}$")
        self.assertEqual(len(result.stdout.splitlines()), 35)
        result = self.run_program("--findings", file, "--client", "10.1.2.3")
        self.check(result, 0, r"(?m)^virus +pass +no")
        for delivery, reply in (("hold", "-"), ("auto", r"- \(if held: up to 4096 bytes\)")):
            file = self.file(f"delivery = {delivery}\nhold_max_size = 4096\non_spam = tag\n")
            self.check(self.run_program("--findings", file), 0,
                       rf"(?m)^spam +tag +no +no +no +\w+ +{reply}$")
        result = self.run_program("--findings")
        self.check(result, 0, r"(?m)^failed +defer +no +\w+ +no +yes +451 4\.3\.0 ")
        self.check(self.run_program("--findings", "--listener", "x", file), 1, None,
                   r'no section listen "x"')

    def test_sections_survive_a_dump(self):
        file = self.file('listen "in" {\n port = 26\n}\n'
                         'policy "lan" {\n clients = {10.0.0.0/8}\n msg_hello = "}"\n}\n')
        for option in ("-t", "-T"):
            result = self.run_program(option, file)
            self.check(result, 0, r'(?m)^listen "in" \{\n\tport = 26\n\}\n\npolicy "lan" \{\n'
                       r'\tclients = \{"10.0.0.0/8"\}\n\tmsg_hello = "}"\n\}\n\Z')
            self.assertEqual(self.run_program(option, self.file(result.stdout, "again")).stdout,
                             result.stdout)
        template = re.sub(r"(?m)^([^#\n])", r";\1", result.stdout)
        self.assertEqual(self.run_program("-T", self.file(template, "template")).stdout,
                         self.run_program("-T").stdout)

    def test_bad_files(self):
        rows = (
            ("port = 25\n\nprot = 26\n", r"conf:3: .*prot.*did you mean .*port"),
            ("port = 99999\n", r"conf:1: port: .*99999.* 1 to 65535"),
            ("port = many\n", r"conf:1: .*port.*many"),
            ("\nmode = fixd\n", r"conf:2: mode: .*fixd.*fixed"),
            ("bind_address = {'nowhere'}\n", r"conf:1: bind_address: .*nowhere"),
            ("port = \n", r"conf:\d: "),
            ("proxy_name = 'unclosed\n", r"conf:\d: "),
            ("proxy_name = ''\n", r"conf:1: proxy_name: "),
            ("port = 0\n\nprot = 1\n", r"conf:1: port: .*\n/.*/conf:3: .*prot.*\n\Z"),
        )
        for text, pattern in rows:
            with self.subTest(text):
                file = self.file(text)
                for arguments in (["-t"], ["-T"], ["-C", "port"], ["-f"], []):
                    self.check(self.run_program(*arguments, file), 1, None,
                               r"\Asmtp-gated: " + re.escape(str(self.tmp)) + "/" + pattern)

    def test_files_that_cannot_be_read(self):
        for path, words in ((self.tmp / "none", "No such file"), (self.tmp, "directory")):
            for arguments in (["-t"], ["-f"], []):
                with self.subTest(path=path, arguments=arguments):
                    self.check(self.run_program(*arguments, path), 1, None,
                               re.escape(str(path)) + r": .*" + words)

    def test_what_is_no_file(self):
        os.mkfifo(self.tmp / "fifo")
        self.check(self.run_program("-t", self.tmp / "fifo"), 1, None, r"/fifo: is no regular")
        self.check(self.run_program("-f", ""), 1, None, r"\Asmtp-gated: the name .* is empty\n\Z")

    def test_output_that_cannot_be_written(self):
        """A full disk must not look like a file that is fine."""
        with open("/dev/full", "w") as full:
            for option in ("-t", "-T"):
                done = subprocess.run([PROGRAM, option], timeout=PATIENCE, stdout=full,
                                      stderr=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, r"standard output: No space left")


class Refusals(Case):
    """What keeps it from starting is said on the terminal, and the exit code is 1."""

    def refused(self, pattern, **settings):
        file = self.settings(**settings)
        for arguments in (["-f"], []):
            with self.subTest(arguments):
                self.check(self.run_program(*arguments, file), 1, None, pattern)
                self.assertFalse(self.pidfile.exists())

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", self.port)):
            self.refused(rf"127\.0\.0\.1 port {self.port} \(bind_address, port\).*"
                         r"in use.*another smtp-gated")

    def test_foreign_address(self):
        self.refused(r"198\.51\.100\.1 port .*bind_address", bind_address='{"198.51.100.1"}')

    def test_no_address(self):
        self.refused(r"conf:2: bind_address: at least one address", bind_address="{}")

    def test_no_signatures(self):
        (self.tmp / "empty").mkdir()
        for path in (self.tmp / "empty", self.tmp / "none"):
            self.refused(re.escape(str(path)) + r"(?s:.*)signature_path",
                         antivirus_type="libclamav", signature_path=f'"{path}"')

    def test_bad_signatures(self):
        self.file("this is no signature\n", "bad.ndb")
        self.refused(r"bad\.ndb(?s:.*)signature_path", antivirus_type="libclamav",
                     signature_path=f'"{self.tmp}/bad.ndb"')

    def test_spool(self):
        self.file("Eicar-Test:0:*:58354f2150254041\n", "test.ndb")
        self.refused(r'spool_path = "/proc/none"', antivirus_type="libclamav",
                     signature_path=f'"{self.tmp}/test.ndb"', spool_path='"/proc/none"')

    def test_no_destination(self):
        self.refused(r"fixed_server", fixed_server='""')
        self.refused(r"fixed_server.*itself", fixed_server_port=self.port)
        self.refused(r"fixed_server.*no host has.this name", fixed_server='"no host has.this name"')

    def test_pidfile(self):
        file = self.settings(pidfile='"/proc/none/pid"')
        self.check(self.run_program(file), 1, None, r"pidfile = .*/proc/none/pid.*cannot make")
        with socket.create_server(("127.0.0.1", self.port)):
            pass                # nobody is left listening


class Daemon(Case):
    """Serving, in the background and in the foreground."""

    def setUp(self):
        super().setUp()
        self.server = SmtpServer()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.pid = None
        self.child = None
        self.addCleanup(self.kill)

    def kill(self):
        if self.pid and not is_gone(self.pid):
            os.kill(self.pid, signal.SIGKILL)
        if self.child:
            self.child.wait()
            self.child.stdout.close()

    def background(self, **settings):
        settings.setdefault("fixed_server_port", self.server.port)
        result = self.run_program(self.settings(**settings))
        if self.pidfile.exists():
            self.pid = int(self.pidfile.read_text())
        return result

    def foreground(self, **settings):
        settings.setdefault("fixed_server_port", self.server.port)
        environment = dict(os.environ, LC_ALL="C")
        environment.pop("JOURNAL_STREAM", None)
        self.child = subprocess.Popen(
            [PROGRAM, "-f", self.settings(**settings)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        self.pid = self.child.pid
        line = self.child.stdout.readline().decode()
        self.assertRegex(line, r"^start .*version=2.*pid=\d+")
        return line

    def call(self):
        client = Client(self.port)
        self.addCleanup(client.close)
        return client

    def signals(self, which=signal.SIGTERM):
        os.kill(self.pid, which)

    def is_listening(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
        except (ConnectionRefusedError, ConnectionResetError):
            return False
        return True

    def test_background(self):
        """When the command returns clients are served, and a script finds the pid."""
        self.check(self.background(), 0)
        self.assertNotEqual(self.pid, None)
        self.assertEqual(self.pidfile.read_text(), f"{self.pid}\n")
        self.assertTrue(os.path.samefile(f"/proc/{self.pid}/exe", PROGRAM))
        client = self.call()
        self.assertRegex(client.hears(), r"^220 server\.example")
        self.assertRegex(client.asks("QUIT"), r"^221 ")
        self.assertEqual(os.readlink(f"/proc/{self.pid}/cwd"), "/")
        self.assertEqual(os.getsid(self.pid), self.pid)
        for fd in range(3):
            self.assertEqual(os.readlink(f"/proc/{self.pid}/fd/{fd}"), "/dev/null")
        client.close()
        self.signals()
        self.assertTrue(wait_until(lambda: is_gone(self.pid)))
        self.assertFalse(self.pidfile.exists())
        self.assertFalse(self.is_listening())

    def test_background_without_terminal(self):
        """Started with no standard descriptors at all, as some init scripts do."""
        file = self.settings(fixed_server_port=self.server.port)
        done = subprocess.run(["/bin/sh", "-c", 'exec "$0" "$1" <&- >&- 2>&-', PROGRAM, file],
                              timeout=PATIENCE)
        self.assertEqual(done.returncode, 0)
        self.pid = int(self.pidfile.read_text())
        client = self.call()
        self.assertRegex(client.hears(), r"^220 server\.example")

    def test_foreground_without_stderr(self):
        """Log lines must not end up in a socket that happens to be descriptor 2."""
        self.child = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$0" -f "$1" <&- 2>&-', PROGRAM,
             self.settings(fixed_server_port=self.server.port)], stdout=subprocess.PIPE)
        self.pid = self.child.pid
        self.assertTrue(wait_until(self.is_listening))
        for fd in (0, 2):
            self.assertEqual(os.readlink(f"/proc/{self.pid}/fd/{fd}"), "/dev/null")
        client = self.call()
        self.assertRegex(client.hears(), r"^220 server\.example")
        self.assertRegex(client.asks("QUIT"), r"^221 ")
        self.assertEqual(client.hears(), "")

    def test_a_second_one_leaves_the_first_alone(self):
        self.check(self.background(), 0)
        first = self.pid
        self.check(self.background(), 1, None, r"another smtp-gated")
        self.assertEqual(self.pid, first)
        self.assertRegex(self.call().hears(), r"^220 ")

    def test_foreground_ends_at_every_signal(self):
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            with self.subTest(which):
                self.foreground()
                self.signals(which)
                self.assertEqual(self.child.wait(PATIENCE), 0)
                self.assertRegex(self.child.stdout.read().decode(), r"(?m)^stop .*sessions=0")
                self.child.stdout.close()
                self.assertFalse(self.pidfile.exists())

    def test_other_signals_do_not_end_it(self):
        self.foreground()
        for which in (signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE):
            self.signals(which)
        self.assertRegex(self.call().hears(), r"^220 ")
        self.assertIsNone(self.child.poll())

    def test_stopping_lets_a_mail_through(self):
        """SIGTERM: nobody new comes in, who is in finishes."""
        self.check(self.background(), 0)
        client = self.call()
        client.begins_mail()
        self.signals()
        self.assertTrue(wait_until(lambda: not self.is_listening()))
        self.assertFalse(is_gone(self.pid))
        self.assertEqual(client.asks("second half\r\n."), "250 ok\r\n")
        self.assertRegex(client.asks("QUIT"), r"^221 ")
        self.assertEqual(client.hears(), "")
        client.close()
        self.assertTrue(wait_until(lambda: is_gone(self.pid)))
        self.assertFalse(self.pidfile.exists())
        self.assertEqual(len(self.server.mails), 1)
        self.assertIn(b"first half\r\nsecond half\r\n", self.server.mails[0])

    def test_stopping_twice_is_stopping_at_once(self):
        self.foreground()
        client = self.call()
        client.begins_mail()
        self.signals()
        self.assertTrue(wait_until(lambda: not self.is_listening()))
        watch = lab.Stopwatch()
        self.signals()
        self.assertEqual(self.child.wait(PATIENCE), 0)
        self.assertLess(watch.here(), 3)
        self.assertRegex(client.hears(), r"^421 ")
        self.assertEqual(client.hears(), "")
        self.assertEqual(self.server.mails, [])     # half a mail is no mail

    def test_restart_on_the_same_port(self):
        self.foreground()
        client = self.call()
        client.begins_mail()
        self.signals()
        self.assertTrue(wait_until(lambda: not self.is_listening()))
        self.signals()
        self.assertEqual(self.child.wait(PATIENCE), 0)
        self.child.stdout.close()
        self.foreground()
        self.assertRegex(self.call().hears(), r"^220 ")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PROGRAM = lab.reachable(sys.argv.pop(1))
    unittest.main(verbosity=2)
