#!/usr/bin/env python3
"""Holds the code to src/FLOORS: a file includes only what stands above it on the map.

usage: check_floors.py ROOT     exit 0: all is well; 1: file:line of each violation
"""
import fnmatch
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
floors = [line.split()[0] for line in (root / "src/FLOORS").read_text().splitlines()
          if line.strip() and not line.startswith("#")]


def floor_of(module):
    for number, pattern in enumerate(floors):
        if fnmatch.fnmatchcase(module, pattern):
            return number
    return None


faults = []
seen = set()
files = sorted((root / "src").glob("*.c")) + sorted((root / "include").glob("*.h"))
for path in files:
    here = floor_of(path.stem)
    if here is None:
        faults.append(f"{path}:1: {path.stem} is not on the map: give it a line in src/FLOORS")
        continue
    seen.add(here)
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+"([^"]+)\.h"', line)
        if not found:
            continue
        there = floor_of(found[1])
        if there is None:
            faults.append(f"{path}:{number}: {found[1]}.h is not on the map")
        elif there > here:
            faults.append(f"{path}:{number}: {floors[here]} may not include {found[1]}.h, "
                          f"which stands below it")
        elif there != here and found[1].endswith("_internal"):
            faults.append(f"{path}:{number}: {found[1]}.h is for its family alone")
for number, pattern in enumerate(floors):
    if number not in seen:
        faults.append(f"src/FLOORS: {pattern} is on the map, but there is no such file")

print("\n".join(faults) if faults else f"{len(files)} files keep to {len(floors)} floors")
sys.exit(bool(faults))
