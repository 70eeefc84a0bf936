"""The program under test: one process, started for one dialog, looked at from outside."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import helper as helpers
import story as stories

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402

START_SECONDS = 30
STOP_SECONDS = 20
SCAN_SECONDS = 60
SANITIZER = re.compile(r"(ERROR|WARNING): \w*Sanitizer|runtime error:|Assertion .* failed")
CONFIG = """\
proxy_name = "gate.example"
bind_address = {BIND}
port = PORT
pidfile = ""
statefile = "$TMP/state"
allow_root = yes
mode = fixed
fixed_server = "SERVER_HOST"
fixed_server_port = SERVER_PORT
local_servers = yes
antivirus_type = off
signature_path = "$TMP/test.ndb"
scan_path = "$TMP/scan"
scan_workers = 1
spool_path = "$TMP/spool"
spool_leave_on = {never}
lock_path = "$TMP/lock"
lock_duration = 0
log_level = debug
nat_header_type = none
max_connections = 1000
"""


class Gateway:
    """Made with its files; start() runs it, stop() ends it, fini() clears up."""

    def __init__(self, story, address, server, helper=None, names=None, scanners=()):
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="dialog-"))
        self.log_file = self.tmp / "log"
        self.process = None
        for name in ("scan", "spool"):
            (self.tmp / name).mkdir()
        marker = stories.MARK.hex()
        odd = b"MARKER-WITH-AN-ODD-NAME".hex()
        (self.tmp / "test.ndb").write_text(
            f"Eicar-Test:0:*:{marker}\nOdd%s%n=\"{'x' * 90}\":0:*:{odd}\n")
        text = CONFIG.replace("BIND", address[0])
        text = text.replace("SERVER_HOST", server[0]).replace("SERVER_PORT", str(server[1]))
        text = text.replace("PORT", str(address[1]))
        if helper:
            (self.tmp / "key").touch(0o600)
            (self.tmp / "key").write_bytes(helpers.KEY + b"\n")
            text += f"remote_port = {helper.port}\n"
        if names:
            text += f"resolver = {{127.0.0.1}}\nresolver_port = {names.port}\n"
        if scanners:
            text += f"antispam_type = {{{', '.join(one.type for one in scanners)}}}\n"
            text += "".join(one.config for one in scanners)
        for line in story.config:           # the dialog's own line replaces the default
            name = line.split()[0]
            text = re.sub(rf"(?m)^{name}\b.*\n", "", text) + line + "\n"
        text = text.replace("$TMP", str(self.tmp))
        (self.tmp / "conf").write_text(text)

    def start(self, program, story):
        environment = dict(os.environ, LC_ALL="C", TMPDIR=str(self.tmp))
        environment.pop("JOURNAL_STREAM", None)
        environment.pop("NOTIFY_SOCKET", None)
        if story.memory:                    # ASan keeps freed memory; not when we measure
            environment["ASAN_OPTIONS"] = "quarantine_size_mb=1:" + \
                environment.get("ASAN_OPTIONS", "")
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [program, "-f", str(self.tmp / "conf")], cwd=self.tmp, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if not self.wait_for_log(r"^(\S+ )?start\b", START_SECONDS):
            raise AssertionError("the gateway does not start")
        self.memory_at_start = self.memory()
        self.descriptors_at_start = self.descriptors()

    def log(self):
        if not self.log_file.exists():
            return ""
        return self.log_file.read_text(errors="backslashreplace")

    def logged(self, pattern):
        return re.search(pattern, self.log(), re.MULTILINE) is not None

    def wait_for_log(self, pattern, seconds, meanwhile=time.sleep):
        deadline = time.monotonic() + seconds
        while not self.logged(pattern):
            if time.monotonic() > deadline or not self.alive():
                return self.logged(pattern)
            meanwhile(0.02)
        return True

    def alive(self):
        return self.process.poll() is None

    def memory(self):
        """MB of memory, at the highest so far."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024

    def is_shadowed(self):
        """ThreadSanitizer keeps several bytes for each: what it grows by says nothing."""
        return "libtsan" in pathlib.Path(f"/proc/{self.process.pid}/maps").read_text()

    def descriptors(self):
        return lab.descriptors(self.process.pid)

    def signal(self, name):
        self.process.send_signal(getattr(signal, "SIG" + name))

    def shell(self, command):
        subprocess.run(command, shell=True, check=True, timeout=20,
                       env=dict(os.environ, TMP=str(self.tmp), PID=str(self.process.pid),
                                PROGRAM=self.process.args[0]))

    def check_tidy(self, story):
        """All sessions are over: nothing may be left of them."""
        # A scan that nobody waits for any more still ends, and holds its message until then.
        deadline = time.monotonic() + SCAN_SECONDS
        while self.descriptors() > self.descriptors_at_start:
            assert time.monotonic() < deadline, \
                f"{self.descriptors()} descriptors are open, " \
                f"{self.descriptors_at_start} were before the dialog: " \
                f"{lab.open_files(self.process.pid)}"
            time.sleep(0.02)
        grown = self.memory() - self.memory_at_start
        assert not story.memory or self.is_shadowed() or grown <= story.memory, \
            f"the gateway grew by {grown:.0f} MB, {story.memory} are promised"
        for folder in ("scan", "spool"):
            left = [f for f in (self.tmp / folder).rglob("*") if f.is_file()] \
                if (self.tmp / folder).is_dir() else []
            assert not left, f"files are left behind: {left}"

    def stop(self, story):
        """Ends it as an administrator would.  All promises about the end are checked."""
        if self.alive() and not story.ends:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError("SIGTERM does not end the gateway") from None
        assert not SANITIZER.search(self.log()), "a sanitizer or an assertion has spoken"
        assert code == 0, f"exit code {code}, not 0"
        for pattern in story.never_logged:
            assert not self.logged(pattern), f"the log has what it must not: {pattern}"

    def fini(self, keep):
        if self.process is not None and self.alive():
            self.process.kill()
            self.process.wait()
        if keep:
            print(f"kept: {self.tmp}")
            return
        shutil.rmtree(self.tmp, ignore_errors=True)
