"""Shared by the tests of this directory: running programs, trees of files, the manual."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

SKIPPED = 77


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def need(*programs):
    """sbin is not in everybody's PATH."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [one for one in programs if not shutil.which(one)]
    if missing:
        skip(f"not installed: {', '.join(missing)}")


def run(*command, timeout=120, check=True, **more):
    done = subprocess.run([str(one) for one in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          text=True, timeout=timeout, check=False, **more)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}")
    return done


class Faults:
    """Says everything that is wrong, not only the first."""

    def __init__(self):
        self.count = 0

    def expect(self, good, *words):
        if not good:
            self.count += 1
            print("WRONG:", *words)
        return good

    def same(self, what, got, wanted):
        for one in sorted(set(got) - set(wanted)):
            self.expect(False, f"{what}: {one} is there, and nothing says so")
        for one in sorted(set(wanted) - set(got)):
            self.expect(False, f"{what}: {one} should be there")

    def end(self, words):
        if not self.count:
            print(words)
        sys.exit(1 if self.count else 0)


def files_below(directory):
    """Absolute, as seen from DIRECTORY as the root."""
    root = pathlib.Path(directory)
    return sorted("/" + str(path.relative_to(root)) for path in root.rglob("*")
                  if not path.is_dir() or path.is_symlink())


def directories_below(directory):
    root = pathlib.Path(directory)
    return sorted("/" + str(path.relative_to(root)) for path in root.rglob("*")
                  if path.is_dir() and not path.is_symlink())


def manual_files(page, title):
    """The paths that the subsection TITLE of FILES describes; PAGE is its text."""
    files = page[page.index(".Sh FILES"):]
    files = files[:files.index("\n.Sh ", 1)]
    part = re.search(rf"^\.Ss (?:\\&)?{re.escape(title)}\n(.*?)(?=^\.Ss |\Z)", files, re.M | re.S)
    return [path for line in re.findall(r"^\.It Pa (.+)$", part.group(1), re.M)
            for path in line.split(" , ")]


def page_of(source):
    return (pathlib.Path(source) / "man/smtp-gated.8").read_text()


def only(directory, pattern, why):
    """The one file of this kind."""
    found = sorted(pathlib.Path(directory).glob(pattern))
    if not found:
        skip(why)
    if len(found) > 1:
        sys.exit(f"{directory}: one {pattern} wanted, there are {len(found)}")
    return found[0]
