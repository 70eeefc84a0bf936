#!/usr/bin/env python3
"""Holds smtp-gated.conf(5) to the program: the same options in the same sections and order,
with the same defaults and marks; and each option of 1.4 is named in it, for what it is now.
Besides, each text that clients see is an option.

usage: check_options.py PROGRAM ROOT    exit 0: all is well; 1: the differences
"""
import difflib
import pathlib
import re
import subprocess
import sys

program, root = sys.argv[1], pathlib.Path(sys.argv[2])
page = (root / "man/smtp-gated.conf.5").read_text()


def plain(text):
    return text.replace(r"\(dq", '"').replace(r"\(aq", "'").replace(r"\&", "")


def marked(row, comment):
    """With what its comment says about where it may stand, and reloads."""
    mark = re.search(r" (\[[a-z, ]+\])$", comment)
    return row + (" " + mark[1] if mark else "")


def printed(flag):
    """Sections and options, "name = value [marks]", as the program prints them."""
    text = subprocess.run([program, flag], check=True, timeout=60, encoding="utf-8",
                          stdout=subprocess.PIPE).stdout
    rows, comment = [], ""
    for line in text.splitlines():
        if line.startswith("## "):
            rows.append(line)
        elif re.match(r"# [a-z0-9_]+ = ", line):   # may not stand in the main part
            rows.append(marked(line[2:], comment))
            comment = ""
        elif line.startswith("# "):
            comment += line[1:]
        elif re.match(r"[a-z0-9_]+ = ", line):
            rows.append(marked(line, comment))
            comment = ""
        elif line:
            sys.exit(f"{program} {flag}: not one option to a line: {line}")
        else:
            comment = ""
    return rows


def described():
    """The same, as the page describes them."""
    options = page[page.index("\n.Sh OPTIONS\n"):page.index("\n.Sh FILES OF 1.4\n")]
    rows = []
    for line in options.splitlines():
        section = re.match(r"\.Ss (.*)", line)
        option = re.match(r"\.It Ic ([a-z0-9_]+ = .*)", line)
        marks = re.match(r"\.Bq (.*)", line)
        if section:
            rows.append("## " + section[1])
        elif option:
            rows.append(plain(option[1]))
        elif marks:
            rows[-1] += " [" + marks[1].replace(" ,", ",") + "]"
    return rows


def without_ranges():
    """Options with a number that are printed without the numbers that are allowed."""
    text = subprocess.run([program, "-t"], check=True, timeout=60, encoding="utf-8",
                          stdout=subprocess.PIPE).stdout
    table = (root / "include/options.def").read_text()
    for name in re.findall(r"(?m)^OPT_INT *\((\w+)", table):
        found = re.search(rf"((?:^#.*\n)+)(?:# )?{name} = ", text, re.M)
        words = found[1].replace("\n# ", " ") if found else ""
        if not re.search(r"Allowed: -?[\d.]+ to -?[\d.]+", words):
            yield f"smtp-gated -t: no range is told of {name}"


def without_texts(rows):
    return rows[:rows.index("## Texts")]


def compare(left_name, left, right_name, right):
    return list(difflib.unified_diff(left, right, left_name, right_name, lineterm="", n=1))


def old_options():
    """Names of 1.4: by the table of fates, and on the page."""
    source = (root / "src/config_legacy.c").read_text()
    table = source[source.index(" old_options[] = {"):]
    table = table[:table.index("\n};")]
    legacy = page[page.index("\n.Sh FILES OF 1.4\n"):page.index("\n.Sh EXAMPLES\n")]
    fates = {"OBSOLETE": "Without effect any more",
             "GONE": "Refused", "RENAMED": "Called something else"}
    known = set(re.findall(r"(?m)^;?([a-z]\w*)",
                           (root / "test/data/all-1.4.conf").read_text()))
    code = {}
    for fate, heading in fates.items():
        code[heading] = sorted(re.findall(r'\{ "(\w+)", ' + fate, table))
        known -= set(code[heading])
    code["Known, with the meaning and the default given above"] = sorted(known)
    for heading, names in code.items():
        paragraph = re.split(r"\n\.(?:It|El)", legacy.split(f"\n.It {heading}\n", 1)[1])[0]
        yield heading, names, re.findall(r"\b([a-z0-9_]+)(?= [,.])", paragraph)


def fixed_texts():
    """Texts that clients see and that are no options: there are none."""
    calls = re.compile(r'\b(?:session_say|session_answer|reply_make)\([^;]*?,\s*'
                       r'(?:NULL|"\d\.\d+\.\d+"|enhanced),\s*("[^"]*")')
    for file in sorted((root / "src").glob("session*.c")):
        for text in calls.findall(file.read_text()):
            yield f"{file.name}: a client is told {text}, which is no option msg_*"


whole, some = printed("-T"), printed("-t")
faults = compare("smtp-gated.conf(5)", described(), "smtp-gated -T", whole)
faults += compare("smtp-gated -t", some, "smtp-gated -T", without_texts(whole))
for heading, code, words in old_options():
    faults += compare(f"smtp-gated.conf(5): {heading}", words, "config_legacy.c", code)
faults += fixed_texts()
faults += without_ranges()

print("\n".join(faults) if faults else
      f"{sum('=' in row for row in whole)} options are described as they are")
sys.exit(bool(faults))
