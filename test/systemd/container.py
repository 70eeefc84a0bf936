#!/usr/bin/python3
"""A real systemd, in a container over an overlay of this machine's root directory.

    container.py [--put FROM:TO] ... COMMAND ARGUMENT ...

boots it, puts files or directories FROM the machine TO where the container has them, runs
the command inside, and ends with its code; nothing is left of what was changed inside.
Exit code 77: this machine does not let us.  As a module:

    with Container() as inside:
        inside.put(file, "/etc/somewhere")
        inside.run("systemctl", "start", "some.service")

/tmp, /run and the network (a loopback interface) are the container's own.
"""
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402

BOOT_SECONDS = 60
STOP_SECONDS = 20
SKIPPED = 77
PR_SET_PDEATHSIG = 1
CLONE_NEWNS = 0x00020000
LIBC = ctypes.CDLL(None, use_errno=True)
NEEDED = ("systemd-nspawn", "nsenter", "mount", "umount")
# What this machine would start at boot is nothing to us.
TARGET = """[Unit]
Description=What the tests need
Requires=basic.target
After=basic.target
AllowIsolate=yes
"""


class Unavailable(Exception):
    """This machine does not let us; says why."""


def call(*command, **more):
    """Its output; an exception that shows what it said if it fails."""
    done = subprocess.run([str(one) for one in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=STOP_SECONDS, check=False, **more)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {done.stdout.strip()}")
    return done.stdout


def leave_mounts():
    """What this process mounts is its own from now on, and gone with it."""
    if LIBC.unshare(CLONE_NEWNS) != 0:
        raise OSError(f"unshare: {os.strerror(ctypes.get_errno())}")
    call("mount", "--make-rprivate", "/")


def own_cgroups():
    """Where this process is, in the hierarchies that systemd-nspawn begins from: two
    containers must not meet there, each systemd would see the processes of the other."""
    places = []
    own = dict(line.split(":", 2)[1:] for line
               in pathlib.Path("/proc/self/cgroup").read_text().splitlines())
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        root, point = mount.split()[3:5]
        kind, _, options = kind.split()[:3]
        named = {"cgroup2": "", "cgroup": "name=systemd"}.get(kind)
        if named in own and (not named or named in options.split(",")):
            places.append(pathlib.Path(point, os.path.relpath(own[named], root)))
    return places


class Container:
    def __init__(self):
        self.directory = self.process = self.leader = None
        self.mounted = []
        self.cgroups = []

    # -- its root directory

    @property
    def root(self):
        return self.directory / "root"

    def path(self, inside):
        """Where a path of the container is for us; what is mounted inside is not there."""
        return self.root / str(inside).lstrip("/")

    def put(self, source, inside, mode=None):
        target = self.path(inside)
        target.parent.mkdir(parents=True, exist_ok=True)
        if pathlib.Path(source).is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
        if mode is not None:
            target.chmod(mode)

    def write(self, inside, text):
        target = self.path(inside)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def mount(self, where, *arguments):
        call("mount", *arguments, where)
        self.mounted.append(where)

    def lay(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gated-container-"))
        self.mount(self.directory, "-t", "tmpfs", "-o", "mode=0755", "none")
        for name in ("upper", "work", "root"):
            (self.directory / name).mkdir()
        self.mount(self.root, "-t", "overlay", "-o",
                   f"lowerdir=/,upperdir={self.directory}/upper,workdir={self.directory}/work",
                   "overlay")
        lab.forget_trials(self.root)
        # Another machine than this one: it shall not take its journal for its own.
        self.write("/etc/machine-id", os.urandom(16).hex() + "\n")
        self.write("/etc/systemd/system/gated-test.target", TARGET)
        self.write("/etc/systemd/journald.conf.d/gated-test.conf",
                   "[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n")

    # -- its life

    def __enter__(self):
        missing = [name for name in NEEDED if not shutil.which(name)]
        if os.geteuid() != 0:
            raise Unavailable("needs root")
        if missing:
            raise Unavailable(f"not installed: {' '.join(missing)}")
        try:
            leave_mounts()
            self.lay()
        except OSError as error:
            self.clear()
            raise Unavailable(f"no overlay of the root directory: {error}") from error
        return self

    def boot(self):
        """Until its basic.target is reached."""
        self.cgroups = [place / self.directory.name for place in own_cgroups()]
        for place in self.cgroups:
            place.mkdir()

        def prepare():
            for place in self.cgroups:
                (place / "cgroup.procs").write_text("0")
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setsid()                 # an interrupt is for us: we tell it to end
        with open(self.directory / "console", "wb") as console:
            self.process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit",
                 "--private-network", "--console=pipe", "--resolv-conf=off",
                 "--timezone=off", "--capability=CAP_NET_ADMIN", "--directory", self.root,
                 "--boot", "--", "--unit=gated-test.target"],
                env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"),
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, preexec_fn=prepare)
        deadline = time.monotonic() + BOOT_SECONDS
        while not self.is_up():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"no systemd in a container: {self.console()[-2000:]}")
            time.sleep(0.05)
        return self

    def console(self):
        return (self.directory / "console").read_text(errors="replace")

    def find_leader(self):
        """The one child of systemd-nspawn's that is the first process in there."""
        pid = self.process.pid
        try:
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for child in children:
                status = pathlib.Path(f"/proc/{child}/status").read_text()
                if re.search(r"(?m)^NSpid:\s+\d+\s+1$", status) and \
                   re.search(r"(?m)^Name:\s+systemd$", status):
                    return child
        except OSError:
            pass
        return None

    def is_up(self):
        self.leader = self.leader or self.find_leader()
        return bool(self.leader) and self.run(
            "systemctl", "is-active", "gated-test.target", check=False).stdout == "active\n"

    def command(self, *arguments):
        """What runs it inside, for subprocess."""
        return ["nsenter", "--target", self.leader, "--all", "--root", "--wd",
                "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root", "LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=cat",
                *map(str, arguments)]

    def run(self, *arguments, check=True, timeout=120, **more):
        """As subprocess.run() does: with its output, unless told otherwise."""
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.STDOUT)
        done = subprocess.run(self.command(*arguments), text=True, errors="replace",
                              timeout=timeout, check=False, **more)
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments} ends with {done.returncode}:\n{done.stdout}")
        return done

    def __exit__(self, *_):
        self.clear()

    def end(self):
        if self.leader:
            os.kill(int(self.leader), signal.SIGRTMIN + 14)         # poweroff, at once
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def leave_cgroups(self):
        """Its processes may take a moment to be gone."""
        deadline = time.monotonic() + STOP_SECONDS
        for place in self.cgroups:
            while place.exists() and time.monotonic() < deadline:
                for inner, _, _ in os.walk(place, topdown=False):
                    with contextlib.suppress(OSError):
                        os.rmdir(inner)
                time.sleep(0.01)

    def clear(self):
        if self.process:
            self.end()
        self.leave_cgroups()
        for where in reversed(self.mounted):
            subprocess.run(["umount", "--lazy", where], check=False)
        if self.directory:
            self.directory.rmdir()
        self.directory = self.process = self.leader = None
        self.mounted = []
        self.cgroups = []


def main(arguments):
    put = []
    while arguments[:1] == ["--put"]:
        put.append(arguments[1].split(":"))
        arguments = arguments[2:]
    if not arguments:
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with Container() as inside:
            for source, target in put:
                inside.put(source, target)
            inside.boot()
            done = inside.run(*arguments, check=False, timeout=None, stdin=None, stdout=None,
                              stderr=None)
            return done.returncode
    except Unavailable as why:
        print(f"SKIP: {why}", flush=True)
        return SKIPPED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
