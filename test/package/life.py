"""Installation, upgrades, removal and purge by the real dpkg and rpm, in a throw-away root
without systemd: nothing is started, the administrator's edits survive, nothing is left.

usage: life.py SOURCE PACKAGES
"""
import pathlib
import re
import shutil
import sys
import tempfile

import root
from package import Faults, manual_files, need, page_of, run, skip

source, packages = map(pathlib.Path, sys.argv[1:3])
need("dpkg", "dpkg-deb", "setpriv")
root.enter()
faults = Faults()
CONF = "/etc/smtp-gated.conf"
EDIT = "port = 9200 # moved by the administrator\n"
# What package managers and the making of a user leave behind, whoever asked for it.
THEIRS = re.compile(r"/var/lib/(dpkg|rpm|systemd/deb-systemd-helper-\w+)\b|/var/log/|/var/cache/(man|ldconfig|debconf)"
                    r"|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|/etc/\.pwd\.lock$|/etc/ld\.so\.cache"
                    r"|/root/\.rpmdb|/var/tmp|/var/lib/mecab|/etc/\.updated|/var/lib/clamav")


def deb_of_version(version, line, directory):
    """The package as a later version has it, with another line in its configuration."""
    tree = pathlib.Path(directory) / version
    run("dpkg-deb", "-R", next(packages.glob("*.deb")), tree)
    control = (tree / "DEBIAN/control").read_text()
    (tree / "DEBIAN/control").write_text(re.sub("(?m)^Version: .*", f"Version: {version}", control))
    with open(f"{tree}{CONF}", "a", encoding="utf-8") as file:
        file.write(line)
    run("dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, f"{directory}/{version}.deb")


def check_nothing_runs(where, when):
    links = [str(one) for one in where.path("/etc/systemd/system").glob("*.wants/smtp-gated*")]
    faults.expect(not links, f"{when}: enabled: {links}")
    faults.expect(where.do("pgrep -x smtp-gated", check=False).returncode == 1, f"{when}: it runs")
    if shutil.which("nft"):
        faults.expect(not where.do("nft list ruleset").stdout, f"{when}: mail is redirected")


def check_serves(where):
    """With signatures, and otherwise as it was installed."""
    where.path("/var/lib/clamav").mkdir(exist_ok=True)
    for old in where.path("/var/lib/clamav").iterdir():
        if old.is_file():
            old.unlink()
    where.path("/var/lib/clamav/test.ndb").write_text("Test.Package:0:*:" + b"not a virus".hex() + "\n")
    # As root with what the AppArmor profile allows root, and no more.
    profile = (source / "conf/apparmor/usr.sbin.smtp-gated").read_text()
    allowed = re.findall(r"^\tcapability (\w+),", profile, re.M)
    where.do(f"setpriv --bounding-set -all,{','.join('+' + one for one in allowed)} smtp-gated {CONF}")
    process = where.do("ps -o user= -C smtp-gated").stdout.split()
    faults.expect(process == ["smtp-gat+"] or process == ["smtp-gated"], f"it runs as {process}")
    faults.expect("Start time" in where.do(f"smtp-gated -s {CONF}").stdout, "no state is shown")
    where.do(f"smtp-gated -K {CONF}")


def check_user(where):
    entry = where.do("getent passwd smtp-gated", check=False).stdout.strip().split(":")
    shadow = where.do("getent shadow smtp-gated", check=False).stdout.split(":")
    faults.expect(len(entry) == 7 and entry[6].endswith("/nologin") and 0 < int(entry[2]) < 1000,
                  f"the user is {entry}")
    faults.expect(len(shadow) > 1 and shadow[1][:1] in "!*", f"the user is not locked: {shadow}")


def check_conf(where, wanted, when):
    text = where.path(CONF).read_text() if where.path(CONF).exists() else ""
    faults.expect(text.endswith(wanted), f"{when}: {CONF} ends with {text[-60:]!r}, not {wanted!r}")


def check_litter(where, when):
    litter = [one for one in where.made() if not THEIRS.search(one)]
    litter += [str(one) for one in where.path("/run").rglob("*smtp-gated*")]
    faults.expect(not litter, f"{when}: left: {litter}")


def edit(where):
    with open(where.path(CONF), "a", encoding="utf-8") as file:
        file.write(EDIT)


def life_of_deb(directory):
    with root.Root() as where:
        if where.do("getent passwd smtp-gated", check=False).returncode == 0:
            skip("this machine has a user smtp-gated already")
        for one in pathlib.Path(directory).glob("*.deb"):
            shutil.copy(one, where.path("/tmp"))
        shutil.copy(next(packages.glob("*.deb")), where.path("/tmp/first.deb"))

        said = where.do("dpkg -i /tmp/first.deb").stdout
        faults.expect(not re.search("warning|error", said), f"dpkg: {said}")
        check_user(where)
        check_nothing_runs(where, "after the first installation")
        check_serves(where)

        where.do("systemctl enable smtp-gated.service smtp-gated.socket")
        where.do("dpkg -i /tmp/2.0.1-1.deb")
        check_conf(where, "# of 2.0.1\n", "an upgrade of a file nobody touched")
        links = sorted(one.name for one in where.path("/etc/systemd/system").glob("*.wants/smtp-gated*"))
        faults.expect(links == ["smtp-gated.service", "smtp-gated.socket"], f"enabled is now {links}")

        edit(where)
        where.do("dpkg -i /tmp/2.0.2-1.deb")        # would fail if it asked
        check_conf(where, EDIT, "an upgrade with an edited file")
        where.do("dpkg --force-confdef --force-confold -i /tmp/2.0.3-1.deb")
        check_conf(where, EDIT, "an upgrade with an edited file and a new one")
        faults.expect(where.path(CONF + ".dpkg-dist").exists(), "the new file is not beside it")

        where.do("dpkg -r smtp-gated")
        check_conf(where, EDIT, "removal")
        faults.expect(not where.path("/usr/sbin/smtp-gated").exists(), "removed, and still there")
        where.do("dpkg -i /tmp/2.0.3-1.deb")
        check_conf(where, EDIT, "installation after a removal")
        where.do(f"smtp-gated --check {CONF}")

        where.do("systemctl enable smtp-gated@lan0.service")
        where.do("mkdir -p /etc/apparmor.d/local && touch /etc/apparmor.d/local/usr.sbin.smtp-gated")
        where.do("dpkg -P smtp-gated")
        check_litter(where, "after purge")
        check_user(where)


def life_without_sysusers(kind, install, purge):
    package = next(packages.glob("*." + kind), None)
    if not package or not shutil.which(install.split()[0]):
        return
    with root.Root() as where:
        where.path("/usr/bin/systemd-sysusers").unlink(missing_ok=True)
        where.path("/usr/bin/systemd-tmpfiles").unlink(missing_ok=True)
        shutil.copy(package, where.path("/tmp"))
        where.do(f"{install} /tmp/{package.name}")
        check_user(where)
        check_serves(where)
        where.do(purge)


def life_of_rpm():
    package = next(packages.glob("*.rpm"), None)
    if not package or not shutil.which("rpm"):
        print("    ... skipped: no .rpm was made here")
        return
    with root.Root() as where:
        shutil.copy(package, where.path("/tmp/first.rpm"))
        # The libraries come from dpkg, of which rpm does not know.
        said = where.do("rpm -i --nodeps /tmp/first.rpm").stdout
        faults.expect(not re.search("warning|error|fail", said), f"rpm -i: {said}")
        check_user(where)
        check_nothing_runs(where, "after rpm -i")
        check_serves(where)
        edit(where)
        said = where.do("rpm -U --nodeps --force /tmp/first.rpm").stdout
        faults.expect(not re.search("warning|error|fail", said), f"rpm -U: {said}")
        check_conf(where, EDIT, "rpm -U")
        where.do("rpm -e smtp-gated")
        check_conf(where, "", "rpm -e")
        faults.expect(where.path(CONF + ".rpmsave").read_text().endswith(EDIT), "no .rpmsave")
        where.path(CONF + ".rpmsave").unlink()
        check_litter(where, "after rpm -e")


if not list(packages.glob("*.deb")):
    skip("no .deb was made: dpkg-shlibdeps is not installed")
with tempfile.TemporaryDirectory() as temporary:
    deb_of_version("2.0.1-1", "# of 2.0.1\n", temporary)
    deb_of_version("2.0.2-1", "# of 2.0.1\n", temporary)
    deb_of_version("2.0.3-1", "# of 2.0.3\n", temporary)
    life_of_deb(temporary)
    life_of_rpm()
    life_without_sysusers("deb", "dpkg -i", "dpkg -P smtp-gated")
    life_without_sysusers("rpm", "rpm -i --nodeps", "rpm -e smtp-gated")
faults.end("installed, upgraded, removed, purged: as promised")
