#!/usr/bin/python3
"""One ctest run over all builds: used by run.sh.

    all.py gather BUILD          writes BUILD/all/CTestTestfile.cmake: the tests of each
                                 build that PLAN wants, named BUILD/TEST, and the checks
                                 of style
    all.py run BUILD ...         runs ctest over them with the arguments given; names what
                                 was skipped, then ends with the closing lines of ctest
"""
import glob
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Of which build are which kinds of tests run; None for all.  A kind is a label, or the
# first word of a test's name.  What measures, or tries everything, needs the release.
PLAN = (
    ("asan", None),
    ("tsan", {"unit", "dialog", "threads"}),
    ("release", {"exhaustive", "real", "net", "systemd", "package", "bench"}),
    ("fuzz", {"fuzz"}),
)

TEST_SECONDS = 600      # for a test that names no limit of its own

# A processor has SLOTS of them: what computes takes two, and PROCESSORS times as many; what
# waits most of the time (for a timeout, for a silence to be one) takes one.
SLOTS = 4
WAITING = {"daemon", "real", "net", "systemd", "package", "cli", "control"}

# About how many seconds tests of these kinds, or names, take.  The longest begin first, so
# that none is left over in the end; and those of fuzz early, which compute while others wait.
SECONDS = {
    "control": 70, "systemd": 60, "unit_check_clamav": 55, "unit_check_clamav_reload": 50,
    "net": 50, "daemon": 45, "fuzz": 44, "bench": 43, "package": 40, "real": 35,
    "threads": 25, "dialog_storm": 25, "dialog_timeout_judging": 25,
    "dialog_timeout_scanner": 20, "unit_quarantine": 20, "cli": 20, "unit_config": 15,
    "unit_resolver": 15,
}
NAMED = {"DEPENDS", "FIXTURES_SETUP", "FIXTURES_CLEANUP", "FIXTURES_REQUIRED"}


def bracket(text):
    return "[==[" + text + "]==]"


def property_text(build, name, value):
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, list):
        if name in NAMED:
            value = [f"{build}/{one}" for one in value]
        return ";".join(str(one) for one in value)
    return str(value)


def tests_of(directory):
    listing = subprocess.run(
        ["ctest", "--test-dir", directory, "--show-only=json-v1"],
        check=True, stdout=subprocess.PIPE, timeout=120).stdout
    return json.loads(listing)["tests"]


def slots_of(kinds, properties):
    if kinds & WAITING:
        return 1
    return int(properties.get("PROCESSORS", 1)) * SLOTS // 2


def rows_of(build, directory, wanted):
    rows = []
    for test in tests_of(directory):
        properties = {one["name"]: one["value"] for one in test.get("properties", [])}
        kinds = set(properties.get("LABELS", [])) | {test["name"].split("_")[0]}
        if wanted is not None and not kinds & wanted:
            continue
        properties.setdefault("TIMEOUT", TEST_SECONDS)
        properties["PROCESSORS"] = slots_of(kinds, properties)
        properties["COST"] = max(SECONDS.get(kind, 0) for kind in kinds | {test["name"]})
        name = bracket(f"{build}/{test['name']}")
        command = test.get("command", ["not-built:" + test["name"]])
        rows.append(f"add_test({name} {' '.join(bracket(one) for one in command)})\n")
        rows.append(f"set_tests_properties({name} PROPERTIES\n" + "".join(
            f"\t{key} {bracket(property_text(build, key, value))}\n"
            for key, value in properties.items()) + ")\n")
    return rows


def style_rows(build):
    """The checks that need no build but its list of compile commands."""
    sources = sorted(glob.glob(TOP + "/src/*.c"))
    # Not the headers: their tables and comments are aligned by hand.
    formatted = sources + sorted(glob.glob(TOP + "/test/**/*.c", recursive=True))
    checks = {"style/format": ["clang-format", "--dry-run", "-Werror", *formatted]}
    for source in sources:
        checks["style/tidy/" + os.path.basename(source)] = [
            "clang-tidy", "--quiet", "-p", build + "/clang", source]
    rows = []
    for name, command in checks.items():
        rows.append(f"add_test({bracket(name)} {' '.join(map(bracket, command))})\n")
        rows.append(f"set_tests_properties({bracket(name)} PROPERTIES TIMEOUT 300 "
                    f"PROCESSORS {SLOTS // 2} COST 5 WORKING_DIRECTORY {bracket(TOP)})\n")
    return rows


def gather(build):
    rows = style_rows(build)
    for name, wanted in PLAN:
        of_build = rows_of(name, os.path.join(build, name), wanted)
        if not of_build:
            sys.exit(f"all.py: no test of build {name} is wanted: "
                     "a run that tests nothing proves nothing")
        rows += of_build
    os.makedirs(build + "/all", exist_ok=True)
    with open(build + "/all/CTestTestfile.cmake", "w", encoding="utf-8") as file:
        file.writelines(rows)


def skips(report):
    """Lines about whole tests, and single cases within tests, that were skipped."""
    whole, within = [], []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = case.get("name")
        output = case.findtext("system-out") or ""
        if case.find("skipped") is not None:
            reason = re.search(r"^.*\bskip\S*:? .*$", output, re.M | re.I)
            whole.append(f"  {name}: {reason.group().strip() if reason else 'no reason'}")
            continue
        for one in re.findall(r"^.*\.\.\. skipped .*$|^.*\[  SKIPPED \] \S+$", output, re.M):
            within.append(f"  {name}: {one.strip()}")
    return whole, within


def run(build, arguments):
    report = build + "/all/report.xml"
    if os.path.exists(report):
        os.unlink(report)
    ctest = subprocess.Popen(
        ["ctest", "--test-dir", build + "/all", "--output-on-failure",
         "-j", str(SLOTS * len(os.sched_getaffinity(0))),
         "--no-tests=error", "--test-output-size-passed", "1000000",
         "--output-junit", report, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8",
        errors="backslashreplace")
    closing = []
    for line in ctest.stdout:
        if closing or re.match(r"\d+% tests passed", line):
            closing.append(line)
        else:
            print(line, end="", flush=True)
    status = ctest.wait()
    if os.path.exists(report):
        whole, within = skips(report)
        print(f"Skipped: {len(whole)} tests, and {len(within)} single cases in others")
        print("".join(line + "\n" for line in whole + within))
    print("".join(closing), end="", flush=True)
    return status


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "gather":
        gather(os.path.abspath(sys.argv[2]))
    elif len(sys.argv) >= 3 and sys.argv[1] == "run":
        sys.exit(run(os.path.abspath(sys.argv[2]), sys.argv[3:]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
