#!/usr/bin/python3
"""The command line of smtp-gated-helper, as an administrator meets it.

    test_helper.py HELPER [unittest arguments]
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "test"))
import lab                              # noqa: E402

HELPER = lab.program()
ALLOW = ("--allow", "192.0.2.1")


def run(*words, under=()):
    return subprocess.run([*under, HELPER, *words], stdin=subprocess.DEVNULL, timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                          check=False)


class CommandLine(unittest.TestCase):
    def refused(self, code, pattern, *words):
        result = run(*words)
        self.assertEqual((result.returncode, result.stdout), (code, ""), result.stderr)
        self.assertRegex(result.stderr, pattern)
        self.assertIsNone(lab.SANITIZER.search(result.stderr), result.stderr)

    def test_misuse_is_named(self):
        self.refused(2, "whom to answer")
        self.refused(2, "(?m)^usage", "--nonsense")
        self.refused(2, "--allow: 192.0.2.0/33 ", "--allow", "192.0.2.0/33")
        self.refused(2, "--allow: gate.example ", "--allow", "gate.example")
        self.refused(2, "not an option", *ALLOW, "192.0.2.2")
        self.refused(2, "--only: both", *ALLOW, "--only", "both")
        for where in ("gate.example", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:70000",
                      "[::1]:x", "[::1", "::1]:114", "x" * 200):
            self.refused(2, "--listen: ", *ALLOW, "--listen", where)
        self.refused(2, "--listen: 32 at most", *ALLOW, *("--listen", "127.0.0.1") * 33)

    def test_secrets_are_looked_at(self):
        with tempfile.NamedTemporaryFile("w") as file:
            self.refused(1, "key-file: .*too short", *ALLOW, "--key-file", file.name)
            file.write("4294967296\n")
            file.flush()
            self.refused(1, "secret-file: .*32 bits", *ALLOW, "--secret-file", file.name)
            os.chmod(file.name, 0o644)
            self.refused(1, "secret-file: .*chmod", *ALLOW, "--secret-file", file.name)
        self.refused(1, "key-file: /nonexistent: No such", *ALLOW, "-k", "/nonexistent")

    def test_summary_and_version(self):
        for word in ("-h", "--help"):
            result = run(word)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(run("-V").stdout, r"^smtp-gated-helper \d+\.\d+")
        page = (ROOT / "man/smtp-gated-helper.8").read_text()
        described = set(re.findall(r"^\.It Fl (\w)\b.* Fl -([\w-]+)", page, re.M))
        listed = set(re.findall(r"^  -(\w), --([\w-]+)", result.stdout, re.M))
        self.assertEqual(described, listed, "the manual and --help name the same")
        self.assertGreater(len(listed), 8)

    def test_port_in_use(self):
        port = str(lab.free_port())
        self.refused(1, f"cannot listen on 192.0.2.1:{port}, UDP: ", *ALLOW, "-l",
                     "192.0.2.1:" + port)

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_does_not_stay_root(self):
        where = ("-l", f"127.0.0.1:{lab.free_port()}")
        self.refused(1, "would run as root", *ALLOW, *where)
        self.refused(1, "--user: .*no such user", *ALLOW, *where, "-u", "nobody-of-that-name")

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_without_the_capability(self):
        result = run(*ALLOW, "-l", f"127.0.0.1:{lab.free_port()}", "-u", "nobody",
                     under=("setpriv", "--bounding-set=-net_admin"))
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "CAP_NET_ADMIN")

    def test_needs_nothing_that_only_the_gateway_uses(self):
        needed = subprocess.run(["readelf", "-d", HELPER], check=True, encoding="ascii",
                                stdout=subprocess.PIPE).stdout
        self.assertIn("libnetfilter_conntrack", needed)
        self.assertNotRegex(needed, "clamav|nftables|cares")


if __name__ == "__main__":
    lab.main()
