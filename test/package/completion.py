"""bash completes the command line, from the file in the place where it is installed.

usage: completion.py SOURCE BUILD
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from package import Faults, run, skip

source, build = map(pathlib.Path, sys.argv[1:3])
LIBRARY = "/usr/share/bash-completion/bash_completion"
if not os.path.exists(LIBRARY):
    skip("not installed: bash-completion")

# As bash does it for TAB: the function is looked up by the name of the command, loaded from
# XDG_DATA_DIRS, and told the line.
SCRIPT = r"""
. "$1"; shift
_completion_loader smtp-gated
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMP_LINE="$*"; COMP_LINE=${COMP_LINE/ = /=}; COMP_POINT=${#COMP_LINE}
set -- $(complete -p smtp-gated)
while [[ $1 != -F ]]; do shift; done
$2 smtp-gated "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""
faults = Faults()

with tempfile.TemporaryDirectory() as top:
    run("cmake", "--install", build, "--prefix", "/usr", env={**os.environ, "DESTDIR": top})
    os.makedirs(top + "/work/mail.d")
    for name in ("mail.conf", "other.conf"):
        pathlib.Path(f"{top}/work/{name}").touch()
    env = {**os.environ, "XDG_DATA_DIRS": top + "/usr/share",
           "PATH": top + "/usr/sbin:" + os.environ["PATH"]}

    def complete(*words):
        done = subprocess.run(["bash", "--norc", "-c", SCRIPT, "bash", LIBRARY, "smtp-gated", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                              cwd=top + "/work", timeout=60, check=False)
        faults.expect(done.stderr == "", f"{words}: bash says {done.stderr}")
        return sorted(done.stdout.split())

    program = top + "/usr/sbin/smtp-gated"
    summary = run(program, "-h").stdout
    letters = re.findall(r"^  (-\w), ", summary, re.M) + ["-f"]
    words = re.findall(r"^  .{4}(--[a-z-]+)", summary, re.M) + ["--foreground"]
    faults.same("options", complete("-"), letters + words)
    faults.expect(complete("--im") == ["--import"], f"--im: {complete('--im')}")

    names = re.findall(r"^([a-z0-9_]+) = ", run(program, "-T").stdout, re.M)
    faults.same("names for -C", complete("-C", ""), names)
    faults.same("names for --show", complete("--show", "msg_"),
                [one for one in names if one.startswith("msg_")])
    # --show=set_, as bash cuts it.
    got = complete("--show", "=", "set_")
    faults.expect(got == ["set_group", "set_user"], f"--show=set_: {got}")

    faults.same("files", complete(""), ["mail.conf", "other.conf", "mail.d"])
    faults.same("files for -K", complete("-K", "mail"), ["mail.conf", "mail.d"])
    faults.same("files for -C NAME", complete("-C", "port", "o"), ["other.conf"])
faults.end(f"completes {len(letters)} letters, words, {len(names)} names of options, files")
