"""The Debian package: its files are those of the manual, its control data are right, lintian
has nothing to say that is not explained.

usage: deb.py SOURCE PACKAGES
"""
import gzip
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from package import (Faults, directories_below, files_below, manual_files, need, only, page_of,
                     run, skip)

source, packages = map(pathlib.Path, sys.argv[1:3])
need("dpkg-deb", "lintian")
deb = only(packages, "*.deb", "no .deb was made: dpkg-shlibdeps is not installed")
faults = Faults()


def check_files(top):
    page = page_of(source)
    wanted = manual_files(page, "Installed") + manual_files(page, "In a Debian package")
    wanted = [one for one in wanted if not one.endswith("/LICENSE")]
    faults.same("in the .deb", files_below(top), wanted)
    parents = {str(one) for name in wanted for one in pathlib.Path(name).parents} - {"/"}
    faults.same("directories in the .deb", directories_below(top), parents)
    # -c shows rights, owner and time.
    for line in run("dpkg-deb", "-c", deb).stdout.splitlines():
        kind = line.split()[0]
        wanted = ("drwxr-xr-x", "-rwxr-xr-x" if "/usr/sbin/smtp" in line
                  else "-rw-r--r--")
        faults.expect(kind in wanted and " root/root " in line, line)


def check_control():
    def field(name):
        return run("dpkg-deb", "-f", deb, name).stdout.strip()

    for library in ("libc6", "libclamav", "libevent-core", "libconfuse", "libnetfilter-conntrack",
                    "libcap2", "libjansson4", "libcurl4", "libhiredis",
                    "adduser"):
        faults.expect(re.search(rf"(^|, ){library}", field("Depends")),
                      f"Depends does not name {library}: {field('Depends')}")
    faults.expect("clamav-freshclam" in field("Recommends"), "Recommends lacks clamav-freshclam")
    version = re.search(r"VERSION (\S+)", (source / "CMakeLists.txt").read_text().split("project(")[1])
    first = (source / "conf/package/debian/changelog").read_text().split("\n")[0]
    faults.expect(field("Version") == re.search(r"\((.*?)\)", first).group(1),
                  f"Version is {field('Version')}, the changelog begins with: {first}")
    faults.expect(field("Version").rsplit("-")[0] == version.group(1),
                  f"Version is {field('Version')}, that of the program {version.group(1)}")


def check_scripts(top):
    run("dpkg-deb", "-e", deb, top)
    conffiles = (top / "conffiles").read_text().split()
    faults.same("conffiles", conffiles,
                [one for one in manual_files(page_of(source), "Installed") if one.startswith("/etc/")])
    for name in ("postinst", "prerm", "postrm"):
        faults.expect("@" not in re.sub(r"smtp-gated@", "", (top / name).read_text()),
                      f"{name} has a place that was not filled in")
        if shutil.which("shellcheck"):
            said = run("shellcheck", "-s", "dash", top / name, check=False)
            faults.expect(said.returncode == 0, said.stdout)


def check_changelog(top):
    path = f"{top}/usr/share/doc/smtp-gated/changelog.Debian.gz"
    faults.expect(gzip.open(path).read() == (source / "conf/package/debian/changelog").read_bytes(),
                  "changelog.Debian.gz is not the changelog")


def is_ours(tag):
    """lintian takes machine code for text, and finds misspelt words in it: which ones, each
    build decides.  One that nobody wrote is no misspelling."""
    found = re.search(r"spelling-error-in-binary (\S+)", tag)
    return not found or any(found[1] in path.read_text(errors="replace")
                            for name in ("src", "include") for path in (source / name).iterdir())


def check_lintian():
    """Every tag that lintian has here, of every severity but its mere opinions, is overridden;
    and every override has its reason above it, and is needed."""
    said = run("lintian", "--tag-display-limit", "0", "-I", deb, check=False,
               env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout
    tags = [tag for tag in re.findall(r"^[EWIO]: .*$", said, re.M) if is_ours(tag)]
    faults.expect(not tags, "lintian:\n" + "\n".join(tags))
    faults.expect("unused-override" not in said, said)
    for block in (source / "conf/package/debian/overrides").read_text().strip().split("\n\n"):
        faults.expect(block.startswith("# "), f"an override without a reason: {block}")
    overridden = run("lintian", "--tag-display-limit", "0", "-I", "--show-overrides", deb,
                     check=False).stdout
    print("lintian, overridden with a reason each:")
    for line in sorted(set(re.findall(r"^O: \S+ (\S+)", overridden, re.M))):
        print("   ", line)


with tempfile.TemporaryDirectory() as directory:
    top = pathlib.Path(directory)
    run("dpkg-deb", "-x", deb, top / "data")
    check_files(top / "data")
    check_changelog(top / "data")
    check_scripts(top / "control")
check_control()
check_lintian()
faults.end(deb.name + " is as it should be")
