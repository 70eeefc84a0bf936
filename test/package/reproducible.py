"""One source gives one program and one package of each kind, whoever builds it, where and
when: two builds, in which everything differs that should not matter, are compared.

usage: reproducible.py SOURCE
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from package import Faults, need, run, skip

source = pathlib.Path(sys.argv[1])
need("cmake", "cpack", "gzip")
faults = Faults()
PARTS = ("CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", "src", "include", "conf", "man")


def epoch():
    """The time of the commit, as cpack.cmake finds it: copies have no git of their own."""
    done = run("git", "-c", "safe.directory=*", "-C", source, "log", "-1", "--format=%ct", check=False)
    return done.stdout.strip() if done.returncode == 0 else "1700000000"


def build(top, env, umask, order):
    tree, made = top / "tree", top / "made"
    tree.mkdir(parents=True)
    # In another order: some file systems list files in that in which they were made.
    for part in sorted(PARTS, reverse=order):
        (shutil.copytree if (source / part).is_dir() else shutil.copy2)(source / part, tree / part)
    env = {**os.environ, "SOURCE_DATE_EPOCH": epoch(), **env}
    commands = (f"cmake -S {tree} -B {made} -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF",
                f"cmake --build {made} --parallel 2", f"cd {made} && cpack")
    for command in commands:
        run("sh", "-c", f"umask {umask}; {command}", env=env, timeout=800)
    files = [made / "smtp-gated", *sorted(made.glob("*.deb")), *sorted(made.glob("*.rpm"))]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


with tempfile.TemporaryDirectory() as directory:
    base = pathlib.Path(directory)
    began = int(time.time())
    first = build(base / "a", {"TZ": "UTC", "LC_ALL": "C", "HOME": "/"}, "022", False)
    while int(time.time()) < began + 2:     # times are kept in seconds, in archives at times in two
        time.sleep(0.1)
    second = build(base / "another/and/longer", {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8",
                                                 "HOME": directory, "USER": "somebody"}, "077", True)
faults.expect(len(first) > 1, "no package was made: dpkg-shlibdeps and rpmbuild are not installed")
for name in sorted(set(first) | set(second)):
    if faults.expect(first.get(name) == second.get(name),
                     f"{name}: {first.get(name)} here, {second.get(name)} there"):
        print(first[name], "", name)
faults.end("two builds, one result")
