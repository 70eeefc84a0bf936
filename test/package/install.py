"""What "cmake --install" puts down: every file that the manual names, no other, and fit for
the place where it is.

usage: install.py SOURCE BUILD
"""
import gzip
import os
import pathlib
import re
import tempfile

from package import Faults, files_below, manual_files, page_of, run
import sys

source, build = map(pathlib.Path, sys.argv[1:3])
faults = Faults()


def install(top, prefix):
    run("cmake", "--install", build, "--prefix", prefix, env={**os.environ, "DESTDIR": top})


def text_of(path):
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def check_usual(top):
    faults.same("installed", files_below(top), manual_files(page_of(source), "Installed"))
    for name in files_below(top):
        mode = os.stat(top + name).st_mode & 0o7777
        wanted = 0o755 if name.startswith("/usr/sbin/") else 0o644
        faults.expect(mode == wanted, f"{name} has the rights {mode:04o}, not {wanted:04o}")
    # Written for these places: they come as they are.
    for part in ("systemd/smtp-gated.service", "apparmor/usr.sbin.smtp-gated"):
        there = next(pathlib.Path(top).rglob(pathlib.Path(part).name))
        faults.expect(there.read_text() == (source / "conf" / part).read_text(),
                      f"{there} is not conf/{part}")


def check_sample(top):
    """The sample says what is so without it, but for set_user; and it is in force."""
    program, sample = top + "/usr/sbin/smtp-gated", top + "/etc/smtp-gated.conf"
    defaults = run(program, "-t").stdout
    run(program, "--check", sample)
    changed = set(run(program, "-t", sample).stdout.splitlines()) - set(defaults.splitlines())
    faults.expect(changed == {'set_user = "smtp-gated"'}, f"the sample changes: {changed}")
    options = re.findall(r"^([a-z0-9_]+) = .*$", defaults, re.M)
    text = pathlib.Path(sample).read_text()
    faults.same("the sample", re.findall(r"^;?([a-z0-9_]+) = .*$", text, re.M), options)
    without = re.sub(r"^;", "", text, flags=re.M)
    pathlib.Path(sample + ".all").write_text(without)
    again = run(program, "-t", sample + ".all").stdout.splitlines()
    faults.expect(set(again) - set(defaults.splitlines()) == changed,
                  "with every ; removed, the sample gives other values than the defaults")


def check_other(top):
    """Another prefix: nothing may name the usual places of our own files any more."""
    prefix = "/opt/gated"
    usual = manual_files(page_of(source), "Installed")
    moved = [prefix + re.sub("^/usr", "", name) for name in usual]
    faults.same("installed below " + prefix, files_below(top), moved)
    own = re.compile("|".join(rf"(?<![\w/]){re.escape(name[:-3] if name.endswith('.gz') else name)}\b"
                              for name in usual))
    for name in files_below(top):
        # Documents about packages are about packages.
        if name.endswith(("/smtp-gated", "/smtp-gated-helper", ".md", "LICENSE",
                          "copyright")):
            continue
        for found in own.findall(text_of(pathlib.Path(top + name))):
            faults.expect(False, f"{name} still names {found}")
    unit = pathlib.Path(f"{top}{prefix}/lib/systemd/system/smtp-gated.service").read_text()
    faults.expect(f"{prefix}/sbin/smtp-gated" in unit and f"{prefix}/etc/smtp-gated.conf" in unit,
                  "the unit does not start what was installed beside it")


for check, where in ((check_usual, "/usr"), (check_sample, "/usr"), (check_other, "/opt/gated")):
    with tempfile.TemporaryDirectory() as directory:
        install(directory, where)
        check(directory)

# Every place that the program uses of itself is explained, too.
page = page_of(source)
for row in re.findall(r'^OPT_STR \((\w+),\s*"(/[^"]+)"', (source / "include/options.def").read_text(), re.M):
    faults.expect(f".It Pa {row[1]}\n" in page, f"{row[0]} = {row[1]} is not under FILES")

for unit in ("smtp-gated.service", "smtp-gated@.service"):
    faults.expect("AppArmorProfile=-smtp-gated\n" in (source / "conf/systemd" / unit).read_text(),
                  f"{unit} does not ask for the AppArmor profile")
faults.end("installed as smtp-gated(8) says, below /usr and elsewhere")
