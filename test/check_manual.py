#!/usr/bin/env python3
"""Holds smtp-gated(8) to the code: every event, ending and state of the log is explained.

usage: check_manual.py ROOT     exit 0: all is well; 1: what is missing, or explained in vain
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
manual = (root / "man/smtp-gated.8").read_text()


def table(header, name):
    text = (root / "include" / header).read_text()
    rows = text[text.index(f"#define {name}(E)"):]
    rows = rows[:rows.index("\n\n")]
    return re.findall(r'\bE\(\w+,\s*"([^"]+)"', rows)


def section(title, after):
    text = manual[manual.index(title):]
    text = text[:text.index(after)]
    words = re.findall(r"^\.It Cm (.+)$", text, re.M)
    return [word for line in words for word in line.split(" , ")]


faults = []


def compare(what, code, page):
    faults.extend(f"{what} {word}: not in smtp-gated(8)" for word in code if word not in page)
    faults.extend(f"{what} {word}: not in the code" for word in page if word not in code)


events = table("log.h", "LOG_EVENTS")
endings = [word for word in table("session_internal.h", "SESSION_ENDS") if word != "none"]
compare("event", events, section(".Sh LOG", "The words of\n.Cm end"))
compare("ending", endings, section("The words of\n.Cm end", "The words of\n.Cm phase"))

states = re.findall(r'\[SESSION_\w+\] = \{ "(\w+)"', (root / "src/session_state.c").read_text())
phases = manual[manual.index(".Cm phase\nare"):manual.index(".Sh SIGNALS")]
faults.extend(f"state {word}: not in smtp-gated(8)" for word in states
              if word not in ("closing", "dead") and not re.search(rf"\b{word}\b", phases))

print("\n".join(faults) if faults else
      f"{len(events)} events, {len(endings)} endings, {len(states)} states are explained")
sys.exit(bool(faults))
