#!/usr/bin/python3
"""Runs a test as a machine would that is taken away for seconds now and then.

    shake.py [-n TIMES] [-s SEED] [-a RUN] [-f FROZEN] [-c PERCENT] COMMAND ...

All processes of COMMAND, daemons included, stand still at random moments: after up to RUN
seconds (3) for up to FROZEN (2) of them; the rest of this machine is not disturbed.  With
-c they also have no more than PERCENT of one processor.  What fails TIMES times of 20 here
is a test that a busy machine breaks, or a program that does.  Needs root, and control
groups of version 1 (freezer, cpu) or 2.  Exit code: how many runs failed.
"""
import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

TOP = pathlib.Path("/sys/fs/cgroup")
SECONDS = 900           # for one run


class Group:
    """A control group of our own."""

    def __init__(self, name, percent):
        self.second = (TOP / "cgroup.controllers").exists()
        kinds = [""] if self.second else ["freezer", "cpu"]
        self.places = [TOP / kind / name for kind in kinds]
        for place in self.places:
            place.mkdir()
        if percent and self.second:
            self.write(0, "cpu.max", f"{percent * 1000} 100000")
        elif percent:
            self.write(1, "cpu.cfs_quota_us", str(percent * 1000))

    def write(self, which, name, text):
        (self.places[which] / name).write_text(text)

    def enter(self):
        for place in self.places:
            (place / "cgroup.procs").write_text(str(os.getpid()))

    def freeze(self, still):
        if self.second:
            self.write(0, "cgroup.freeze", str(int(still)))
        else:
            self.write(0, "freezer.state", "FROZEN" if still else "THAWED")

    def end(self):
        """What is left in it is killed: nothing else is in there."""
        self.freeze(False)
        for _ in range(100):
            left = (self.places[0] / "cgroup.procs").read_text().split()
            if not left:
                break
            for pid in left:
                try:
                    os.kill(int(pid), 9)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        for place in self.places:
            place.rmdir()


def once(number, chosen, arguments):
    group = Group(f"shake-{os.getpid()}-{number}", arguments.c)
    until = time.monotonic() + SECONDS
    try:
        with subprocess.Popen(arguments.command, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              preexec_fn=group.enter) as process:
            os.set_blocking(process.stdout.fileno(), False)
            output = b""
            while process.poll() is None and time.monotonic() < until:
                time.sleep(chosen.uniform(0, arguments.a))
                group.freeze(True)
                time.sleep(chosen.uniform(0, arguments.f))
                group.freeze(False)
                output += process.stdout.read() or b""
            if process.poll() is None:
                process.kill()
            process.wait()
            output += process.stdout.read() or b""
    finally:
        group.end()
    return process.returncode, output.decode(errors="backslashreplace")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("-n", type=int, default=1)
    parser.add_argument("-s", type=int, default=1)
    parser.add_argument("-a", type=float, default=3)
    parser.add_argument("-f", type=float, default=2)
    parser.add_argument("-c", type=int, default=0)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(101))     # nothing is left frozen
    failed = 0
    for number in range(arguments.n):
        begun = time.monotonic()
        code, output = once(number, random.Random(arguments.s + number), arguments)
        print(f"run {number}: exit code {code} after {time.monotonic() - begun:.1f} s", flush=True)
        if code != 0:
            failed += 1
            print(output, flush=True)
    sys.exit(min(failed, 100))


if __name__ == "__main__":
    main()
