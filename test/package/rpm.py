"""The RPM package: its files are those of the manual, configuration is kept, directories of
the distribution are not ours.

usage: rpm.py SOURCE PACKAGES
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from package import Faults, files_below, manual_files, need, only, page_of, run

source, packages = map(pathlib.Path, sys.argv[1:3])
need("rpm", "rpm2cpio", "cpio")
rpm = only(packages, "*.rpm", "no .rpm was made: rpmbuild is not installed")
faults = Faults()
wanted = manual_files(page_of(source), "Installed")


def query(what):
    return run("rpm", "-qp", "--qf", what, rpm).stdout.split("\n")[:-1]


def check_listed():
    rows = [line.split("|") for line in
            query(r"[%{FILEMODES:perms}|%{FILEUSERNAME}:%{FILEGROUPNAME}|%{FILENAMES}|%{FILEFLAGS:fflags}\n]")]
    faults.same("in the .rpm", [name for mode, _, name, _ in rows if mode[0] != "d"], wanted)
    faults.same("directories of the .rpm", [name for mode, _, name, _ in rows if mode[0] == "d"],
                {str(one) for name in wanted for one in pathlib.Path(name).parents
                 if one.name == "smtp-gated" or one.parent.name == "smtp-gated"})
    for mode, owner, name, flags in rows:
        right = "drwxr-xr-x" if mode[0] == "d" else \
            "-rwxr-xr-x" if name.startswith("/usr/sbin/") else "-rw-r--r--"
        faults.expect(mode == right and owner == "root:root", f"{mode} {owner} {name}")
        # c: %config, n: noreplace
        faults.expect(("cn" == flags) == name.startswith("/etc/"), f"{name} has the flags {flags!r}")


def check_unpacked(top):
    run("sh", "-c", f"rpm2cpio {rpm} | cpio -idm --quiet", cwd=top)
    faults.same("unpacked of the .rpm", files_below(top), wanted)
    faults.expect("smtp-gated 2" in run(f"{top}/usr/sbin/smtp-gated", "-v").stdout,
                  "the program in the .rpm does not run")


def check_scripts(top):
    for tag in ("PREIN", "POSTIN", "PREUN", "POSTUN"):
        script = pathlib.Path(top) / tag
        script.write_text("#!/bin/sh\n" + run("rpm", "-qp", "--qf", f"%{{{tag}}}", rpm).stdout)
        faults.expect(script.stat().st_size > 20, f"there is no scriptlet {tag}")
        faults.expect(not re.search(r"@[A-Z_]+@", script.read_text()), f"{tag} is not filled in")
        run("sh", "-n", script)
        if shutil.which("shellcheck"):
            said = run("shellcheck", "-s", "sh", script, check=False)
            faults.expect(said.returncode == 0, said.stdout)


with tempfile.TemporaryDirectory() as directory:
    check_unpacked(directory)
with tempfile.TemporaryDirectory() as directory:
    check_scripts(directory)
check_listed()
needs = "\n".join(query(r"[%{REQUIRENAME}\n]"))
for library in ("libclamav.so", "libevent_core", "libconfuse.so", "libnetfilter_conntrack.so", "libcap.so",
                "libjansson.so", "libcurl.so", "libhiredis.so"):
    faults.expect(library in needs, f"the .rpm does not require {library}")
faults.expect(query(r"%{BUILDHOST}\n") == ["reproducible"], "the .rpm names the machine that made it")
faults.end(rpm.name + " is as it should be")
