"""A throw-away copy of this machine's root directory, in namespaces of its own: an overlay.

A test that calls enter() at its start goes on as root of new mount, network and process
namespaces; nothing that it does is seen outside, and all of it ends with the test.
"""
import os
import pathlib
import sys
import tempfile

from package import need, run, skip

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402

INSIDE = "PACKAGE_TEST_INSIDE"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
               "DEBIAN_FRONTEND": "noninteractive"}
MOUNTS = (("proc", "proc"), ("tmpfs", "run"), ("tmpfs", "tmp"))


def enter():
    if os.environ.get(INSIDE):
        return
    need("unshare", "mount", "chroot")
    if os.geteuid() != 0:
        skip("an overlay of / wants root")
    namespaces = ["unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child",
                  "--mount-proc"]
    if run(*namespaces, "true", check=False).returncode != 0:
        skip("no namespaces are to be had here")
    os.environ[INSIDE] = "1"
    sys.stdout.flush()
    os.execvp(namespaces[0], [*namespaces, sys.executable, "-B", *sys.argv])


def reap():
    """We are the first process of our namespace: daemons that end are ours to bury."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


class Root:
    def __init__(self):
        self.base = pathlib.Path(tempfile.mkdtemp())
        self.at, self.upper = self.base / "root", self.base / "upper"
        run("mount", "-t", "tmpfs", "none", self.base)
        for one in (self.at, self.upper, self.base / "work"):
            one.mkdir()
        made = run("mount", "-t", "overlay", "overlay", "-o",
                   f"lowerdir=/,upperdir={self.upper},workdir={self.base}/work", self.at, check=False)
        if made.returncode != 0:
            run("umount", self.base)
            self.base.rmdir()
            skip(f"no overlay of / is to be had here: {made.stdout.strip()}")
        for kind, where in MOUNTS:
            run("mount", "-t", kind, "none", self.at / where)
        run("mount", "--rbind", "/dev", self.at / "dev")
        lab.forget_trials(self.at)
        self.before = set(self.upper.rglob("*"))
        run("ip", "link", "set", "lo", "up")

    def close(self):
        run("umount", "-R", self.at)
        run("umount", self.base)
        self.base.rmdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def path(self, name):
        return self.at / name.lstrip("/")

    def do(self, command, check=True, timeout=120):
        """As a shell inside says it."""
        done = run("chroot", self.at, "/bin/sh", "-c", command, check=check, timeout=timeout,
                   env=ENVIRONMENT)
        reap()
        return done

    def made(self):
        """What is there now and was not, or not so, in the root below; files and directories."""
        found = []
        for path in sorted(set(self.upper.rglob("*")) - self.before):
            name = "/" + str(path.relative_to(self.upper))
            if path.is_char_device():       # the overlay's mark for "removed"
                found.append("removed " + name)
            elif path.is_symlink() or not path.is_dir() or not os.path.isdir(name):
                found.append(name)
        return found
