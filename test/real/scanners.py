"""clamd and c-icap with signatures of our own, and what tests of scanners have in common."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import lab
from mailserver import Sink

TAKEN = "250 2.0.0 Taken"
FOUND = "550 5.7.1 Virus found: Eicar-Test-Signature.UNOFFICIAL"
FAILED = "451 4.3.0 Message could not be checked for viruses, local error"
CLEAN = lab.mail(b"..dots", b".", b"hello", subject="clean")

CLAMD = """\
LocalSocket {socket}
TCPSocket {port}
TCPAddr 127.0.0.1
DatabaseDirectory {tmp}/signatures
TemporaryDirectory {tmp}/scan
LogFile {tmp}/log
Foreground yes
SelfCheck 0
MaxThreads 4
AlertExceedsMax yes
AlertEncrypted yes
StreamMaxLength 25M
{more}
"""
ICAP = """\
PidFile {tmp}/pid
CommandsSocket {tmp}/commands
ServerLog {tmp}/log
AccessLog {tmp}/access
TmpDir {tmp}
Port 127.0.0.1:{port}
StartServers 1
MaxServers 1
ThreadsPerChild 4
MaxKeepAliveRequests 100
KeepAliveTimeout 600
Timeout 60
ServerAdmin admin@example.test
ServerName icap.example.test
ModulesDir {modules}
ServicesDir {modules}
TemplateDir /usr/share/c_icap/templates/
TemplateDefaultLanguage en
LoadMagicFile /etc/c-icap/c-icap.magic
Service echo srv_echo.so
Service virus_scan virus_scan.so
ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple
Module common clamd_mod.so
clamd_mod.ClamdSocket {socket}
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE
virus_scan.SendPercentData 5
virus_scan.StartSendPercentDataAfter 2M
virus_scan.PreviewSize {preview}
virus_scan.MaxObjectSize 25M
virus_scan.DefaultEngine clamd
"""


def listed(*values):
    """As the configuration has a list of texts."""
    return "{" + ", ".join(f'"{value}"' for value in values) + "}"


class Daemon:
    """A scanner in the foreground, in a directory of its own.  start() it after it was
    killed, and it is where it was."""

    def __init__(self, **more):
        self.tmp = tempfile.mkdtemp(prefix="gated-scanner-")
        os.chmod(self.tmp, 0o755)
        for name in ("signatures", "scan"):
            os.mkdir(f"{self.tmp}/{name}")
            os.chmod(f"{self.tmp}/{name}", 0o777)
        self.add_signature(lab.EICAR_NAME, lab.EICAR)
        self.port = lab.free_port()
        self.process = None
        self.configure(**more)
        self.start()

    def add_signature(self, name, content):
        with open(f"{self.tmp}/signatures/{name}.ndb", "w", encoding="ascii") as file:
            file.write(f"{name}:0:*:{content.hex()}\n")

    def start(self):
        with open(self.tmp + "/words", "ab") as words:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=words,
                                            stderr=words, start_new_session=True,
                                            preexec_fn=lab.die_with_parent)
        if not lab.wait_until(self.answers, 30):
            words = self.words()
            self.stop()
            raise AssertionError("it does not answer:\n" + words)

    def words(self):
        return "".join(pathlib.Path(self.tmp, name).read_text("utf-8", "replace")
                       for name in ("words", "log") if os.path.exists(f"{self.tmp}/{name}"))

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """With all that it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.tmp, ignore_errors=True)


class Clamd(Daemon):
    def configure(self, more=""):
        self.socket = self.tmp + "/clamd.ctl"
        with open(self.tmp + "/conf", "w", encoding="ascii") as file:
            file.write(CLAMD.format(tmp=self.tmp, port=self.port, socket=self.socket, more=more))

    def command(self):
        return ["clamd", "-c", self.tmp + "/conf"]

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.socket)
            sock.sendall(b"z" + command + b"\0")
            return sock.recv(4096)

    def answers(self):
        try:
            return self.ask(b"PING") == b"PONG\0"
        except OSError:
            return False


class Icap(Daemon):
    """c-icap with its echo, and a virus scanner that asks CLAMD (its own libclamav would have
    signatures of the system's only)."""

    def configure(self, clamd, preview=1024):
        self.url = f"icap://127.0.0.1:{self.port}"
        modules = [p for p in pathlib.Path("/usr/lib").glob("*/c_icap")]
        if not modules or not (modules[0] / "virus_scan.so").exists():
            lab.skip_all("not installed: libc-icap-mod-virus-scan (sh test/install.sh test)")
        with open(self.tmp + "/conf", "w", encoding="ascii") as file:
            file.write(ICAP.format(tmp=self.tmp, port=self.port, modules=modules[0],
                                   socket=clamd.socket, preview=preview))

    def command(self):
        return ["c-icap", "-N", "-f", self.tmp + "/conf"]

    def asked(self, method):
        """The codes of its answers so far, which it writes down a little later."""
        lines = pathlib.Path(self.tmp, "access").read_text("ascii").splitlines()
        return [line.split()[-1] for line in lines if f" {method} " in line]


class Case:
    """For unittest.TestCase: a gateway for each set of options, one sink."""
    FAILED = FAILED             # the reply when no scanner has answered

    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()

    @classmethod
    def tearDownClass(cls):
        cls.sink.close()

    def new_gateway(self, program, **options):
        return lab.Gateway(program, {
            "allow_root": "yes", "mode": '"fixed"', "fixed_server": '"127.0.0.1"',
            "fixed_server_port": self.sink.port, "local_servers": "yes", **options})

    def gateway(self, program, **options):
        gateway = self.new_gateway(program, **options)
        self.addCleanup(gateway.stop)
        return gateway

    def submit(self, gateway, message):
        """The reply to MESSAGE, and how long it took from the final dot on."""
        with lab.Client(("127.0.0.1", gateway.port), 60) as client:
            client.hello()
            replies = client.submit(message)
            self.assertEqual(len(replies), 4, replies)
            return replies[-1].rstrip("\r\n")

    def timed(self, gateway, message):
        before = time.monotonic()
        return self.submit(gateway, message), time.monotonic() - before

    def assert_delivered(self, gateway, message):
        self.assertEqual(self.submit(gateway, message), TAKEN)
        self.assertEqual(self.sink.messages[-1], message)

    def assert_refused(self, gateway, message, reply):
        before = len(self.sink.messages)
        self.assertEqual(self.submit(gateway, message), reply)
        self.assertEqual(len(self.sink.messages), before)

    def check_stand_in(self, gateway, first, second, bad, reply):
        """The first dies, the second answers; nothing is lost, and it is said once.  When
        both are dead, nothing passes."""
        self.assert_delivered(gateway, CLEAN)
        first.kill()
        for _ in range(5):
            self.assert_delivered(gateway, CLEAN)
            self.assert_refused(gateway, bad, reply)
        self.assertEqual(len(gateway.logged("text=\"this scanner fails")), 1)
        second.kill()
        self.assert_refused(gateway, CLEAN, self.FAILED)

    def check_back(self, gateway, daemon):
        """Of those that have died, one is started again, and is asked again."""
        daemon.start()
        self.assertTrue(lab.wait_until(lambda: self.submit(gateway, CLEAN) == TAKEN, 30, 0.3))
        self.assertEqual(len(gateway.logged("text=\"this scanner answers again\"")), 1)

    def check_given_up(self, gateway, daemon):
        """Who waits for it waits for a second, a few times; then nobody does."""
        daemon.signal(signal.SIGSTOP)
        for _ in range(3):
            reply, seconds = self.timed(gateway, CLEAN)
            self.assertEqual(reply, self.FAILED)
            self.assertGreater(seconds, 0.9)
        reply, seconds = self.timed(gateway, CLEAN)
        self.assertEqual(reply, self.FAILED)
        self.assertLess(seconds, 0.5)

    def check_killed(self, gateway, daemon, message):
        """Of messages that it was looking at, none passes unseen."""
        daemon.signal(signal.SIGSTOP)
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(self.submit(gateway, message)))
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        self.assertTrue(lab.wait_until(lambda: len(gateway.logged("state .*judging")) == 4, 20))
        time.sleep(0.3)
        daemon.kill()
        for thread in threads:
            thread.join()
        self.assertEqual(replies, [self.FAILED] * 4)
