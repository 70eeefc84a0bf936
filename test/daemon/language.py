#!/usr/bin/python3
"""locale: the language of the system's errors in the log, and of nothing else.

    language.py PROGRAM [unittest arguments]
"""
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import unittest

from gated import Case, Client, as_root, main

# As the package libc-l10n has it; not to be read from there, or a wrong one would do.
REFUSED = "Połączenie odrzucone"
WORDS = pathlib.Path("/usr/share/locale/pl/LC_MESSAGES/libc.mo")
USER = pwd.getpwnam("backup")


def make_locale():
    """A Polish one, that this machine need not have; a test of its own would be as slow."""
    directory = tempfile.mkdtemp(prefix="gated-locale-")
    os.chmod(directory, 0o755)
    done = subprocess.run(
        ["localedef", "--no-archive", "-i", "pl_PL", "-f", "ISO-8859-2", directory + "/pl_PL"],
        timeout=120, capture_output=True, text=True, check=False)
    if not pathlib.Path(directory, "pl_PL", "LC_CTYPE").exists():
        raise unittest.SkipTest(f"localedef makes no locale: {done.stderr}")
    return directory


class Language(Case):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("localedef") or not WORDS.exists():
            raise unittest.SkipTest("not installed: locales (sh test/install.sh test)")
        cls.locales = make_locale()
        cls.addClassCleanup(shutil.rmtree, cls.locales)

    def setUp(self):
        super().setUp()
        nobody = socket.socket()
        nobody.bind(("127.0.0.1", 0))           # not listening: nobody else gets it, either
        self.addCleanup(nobody.close)
        self.gated.configure(fixed_server_port=nobody.getsockname()[1])
        # A library that libcurl brings (p11-kit) asks for a locale at its start, and with
        # LOCPATH the C library forgets a copy of that: no leak of ours, and only here.
        known = self.gated.directory / "known-leaks"
        known.write_text("leak:argz_add_sep\n")
        self.gated.extra_environment = {
            "LOCPATH": self.locales,
            "LSAN_OPTIONS": f"suppressions={known}:print_suppressions=0"}

    def logged_error(self):
        with Client(self.gated) as client:
            self.assertRegex(client.reply(), r"\A421 gate\.example Cannot connect to the mail ")
        self.gated.wait_for_log("^close ")
        self.assertRegex(self.gated.logged("^close ")[0], r" seconds=\d+\.\d{3} ")
        return self.gated.logged('text="cannot connect')[0]

    def test_errors_in_polish(self):
        self.gated.configure(locale="pl_PL")
        self.gated.extra_environment["LANGUAGE"] = "de"         # of somebody else's
        self.gated.start()
        self.assertIn(f' error="{REFUSED}"', self.logged_error())
        self.gated.stop()

    @as_root
    def test_words_of_another_root(self):
        jail = self.gated.directory / "jail"
        (jail / "scan").mkdir(parents=True)
        (jail / "run").mkdir(mode=0o777)
        name = "/" + self.gated.directory.name
        self.addCleanup(shutil.rmtree, name, ignore_errors=True)
        self.gated.configure(
            locale="pl_PL", chroot_path=f'"{jail}"', allow_root=None, set_user='"backup"',
            antivirus_type="off", statefile='""')
        environment = self.gated.environment()
        environment["ASAN_OPTIONS"] += ":detect_leaks=0"        # that needs a /proc
        self.gated.environment = lambda: environment
        self.gated.start()
        self.assertEqual(os.readlink(f"/proc/{self.gated.pid}/root"), str(jail))
        self.assertEqual(self.gated.status()["Uid"].split()[0], str(USER.pw_uid))
        self.assertIn(f' error="{REFUSED}"', self.logged_error())
        self.gated.stop()

    def test_environment_is_not_asked(self):
        self.gated.extra_environment.update(LC_ALL="pl_PL", LANG="pl_PL", LANGUAGE="pl")
        self.gated.start()
        self.assertIn(' error="Connection refused"', self.logged_error())
        self.gated.stop()

    def test_no_such_locale(self):
        self.gated.configure(locale="xx_XX")
        self.gated.start()
        self.assertEqual(len(self.gated.logged(
            r'^trouble text="this machine has no such locale .* locale=xx_XX$')), 1)
        self.assertIn(' error="Connection refused"', self.logged_error())
        self.gated.stop()


if __name__ == "__main__":
    main()
