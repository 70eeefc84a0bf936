"""Ten upgrades of the Debian package on a machine with a real systemd, mail passing all the
while: no connection is refused, no session broken, no mail lost or doubled.

usage: upgrade.py PACKAGES LOAD SINK [COUNT]

LOAD and SINK are smtp-bench-load and smtp-bench-sink.  The normal run has two upgrades; all
ten are half a minute of two processors.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import time

from package import Faults, need, only, run, skip

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "systemd"))
from container import Container, Unavailable

packages, load, sink = map(pathlib.Path, sys.argv[1:4])
count = int(sys.argv[4]) if len(sys.argv) > 4 else 10
need("dpkg", "dpkg-deb")
faults = Faults()
deb = only(packages, "*.deb", "no .deb was made: dpkg-shlibdeps is not installed")
CONF = """mode = fixed
fixed_server = 127.0.0.1
fixed_server_port = 9025
"""
# A session that began before the first upgrade, and ends its mail behind the last.
SITTING = r"""
import socket, sys
peer = socket.create_connection(("127.0.0.1", 9199), 10)
file = peer.makefile("rwb")
def say(line, code):
    if line:
        file.write(line.encode() + b"\r\n")
        file.flush()
    answer = file.readline().decode()
    while answer[3:4] == "-":
        answer = file.readline().decode()
    if not answer.startswith(code):
        sys.exit(f"sitting session: {line!r} was answered {answer!r}")
say("", "220")
say("EHLO sitting.example", "250")
say("MAIL FROM:<a@sitting.example>", "250")
say("RCPT TO:<b@sink.example>", "250")
say("DATA", "354")
file.write(b"Subject: patience\r\n\r\nhalf of it\r\n")
file.flush()
print("sits", flush=True)
sys.stdin.readline()
say("the other half\r\n.", "250")
say("QUIT", "221")
"""
LOAD = "while [ ! -e /run/enough ]; do /root/load -p 9199 -s 20 -k 3 -d 2 -z 4000; done"


def versions(directory):
    """Two packages that differ in more than their number: the program does."""
    tree = directory / "tree"
    run("dpkg-deb", "-R", deb, tree)
    control = (tree / "DEBIAN/control").read_text()
    for number in range(1, count + 1):
        (tree / "DEBIAN/control").write_text(
            re.sub("(?m)^Version: .*", f"Version: 2.0.0+{number}-1", control))
        with open(tree / "usr/sbin/smtp-gated", "ab") as program:
            program.write(b"\n")
        run("dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, directory / f"{number}.deb")


class Machine(Container):
    """With a shell, and with packages that may start what they install."""

    def boot(self):
        self.path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)
        return super().boot()

    def do(self, command, check=True):
        return self.run("sh", "-c", command, check=check)

    def begin(self, command):
        """What runs beside the test; the caller waits for it."""
        return subprocess.Popen(self.command("sh", "-c", command), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def show(where, *names):
    return [where.do(f"systemctl show -p {name} --value smtp-gated.service").stdout.strip()
            for name in names]


def first_steps(where):
    """What README.Debian says."""
    shutil.copy(deb, where.path("/root/first.deb"))
    where.do("dpkg -i /root/first.deb")
    for unit in ("smtp-gated.service", "smtp-gated.socket"):
        states = where.do(f"systemctl is-active {unit}; systemctl is-enabled {unit}", check=False).stdout
        faults.expect(states.split() == ["inactive", "disabled"], f"installed, {unit} is {states!r}")
    where.do("rm -rf /var/lib/clamav; mkdir /var/lib/clamav")
    where.path("/var/lib/clamav/test.ndb").write_text("Test.Package:0:*:" + b"a virus?".hex() + "\n")
    with open(where.path("/etc/smtp-gated.conf"), "a", encoding="utf-8") as file:
        file.write(CONF)
    where.do("smtp-gated --check /etc/smtp-gated.conf")
    where.do("systemctl enable --now smtp-gated.socket smtp-gated.service")
    faults.expect(show(where, "ActiveState") == ["active"], "enabled, and not active:\n" +
                  where.do("journalctl -u smtp-gated --no-pager | tail", check=False).stdout)


def upgrade(where, number):
    before = show(where, "MainPID")[0]
    began = time.monotonic()
    said = where.do(f"dpkg -i /root/{number}.deb").stdout
    seconds = time.monotonic() - began
    state, after, restarts = show(where, "ActiveState", "MainPID", "NRestarts")
    faults.expect(not re.search("warning|error|fail|old program", said), f"upgrade {number}: {said}")
    faults.expect(state == "active" and after != before and restarts == "0",
                  f"upgrade {number}: {state}, process {before} then {after}, {restarts} restarts\n" +
                  where.do("journalctl -u smtp-gated --no-pager | tail", check=False).stdout)
    program = where.do(f"stat -L -c %s /proc/{after}/exe; stat -c %s /usr/sbin/smtp-gated").stdout.split()
    faults.expect(len(set(program)) == 1, f"upgrade {number}: process {after} is not the new program")
    return seconds


def upgrades_under_load(where):
    for source, name in ((load, "load"), (sink, "sink")):
        shutil.copy(source, where.path(f"/root/{name}"))
    where.path("/root/sitting.py").write_text(SITTING)
    versions(where.path("/root"))
    sinking = where.begin("exec /root/sink -a 127.0.0.1 -p 9025")
    sinking.stdout.readline()
    sitting = where.begin("exec /usr/bin/python3 /root/sitting.py")
    faults.expect(sitting.stdout.readline() == "sits\n", "the sitting session does not begin")
    loading = where.begin(LOAD)
    time.sleep(0.5)
    seconds = [upgrade(where, number) for number in range(1, count + 1)]
    where.do("touch /run/enough")
    words = loading.communicate(timeout=60)[0]
    rest = sitting.communicate("\n", timeout=30)[0]
    faults.expect(sitting.returncode == 0, rest)
    arrived = sinking.communicate("\n", timeout=30)[0]

    sent = sum(map(int, re.findall(r"messages=(\d+)", words))) + 1
    errors = sum(map(int, re.findall(r"errors=(\d+)", words)))
    there = int(re.search(r"messages=(\d+)", arrived).group(1))
    faults.expect(errors == 0, f"{errors} sessions refused or broken:\n{words}")
    faults.expect(sent == there and sent > 20 * count, f"{sent} mails sent, {there} arrived")
    print(f"{count} upgrades, {min(seconds):.1f} to {max(seconds):.1f} s each: {sent} mails sent, "
          f"{there} arrived, {errors} sessions refused or broken")


def last_steps(where):
    where.do("dpkg -r smtp-gated")
    faults.expect(where.do("pgrep -x smtp-gated", check=False).returncode == 1, "removed, and still runs")
    where.do("dpkg -P smtp-gated")
    litter = where.do("ls -d /run/smtp-gated /var/spool/smtp-gated /etc/smtp-gated.conf "
                      "/etc/systemd/system/*.wants/smtp-gated* 2>/dev/null", check=False).stdout
    faults.expect(not litter, f"purged, and left: {litter}")
    units = where.do("systemctl list-units --plain --no-legend 'smtp-gated*'").stdout
    faults.expect(not units.strip(), f"purged, and systemd has: {units}")


try:
    with Machine() as where:
        where.boot()
        first_steps(where)
        upgrades_under_load(where)
        last_steps(where)
except Unavailable as why:
    skip(why)
faults.end("no session was lost")
