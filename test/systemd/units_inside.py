#!/usr/bin/python3
"""The units of conf/systemd, from within a container that systemd has booted: units.py."""
import json
import math
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "daemon"))
from gated import Client, Sink, is_gone, status_of, wait_until       # noqa: E402
import lab                                                          # noqa: E402

PORT = 9199
SERVICE, SOCKET = "smtp-gated.service", "smtp-gated.socket"
FILE = pathlib.Path("/etc/smtp-gated.conf")
SIGNATURES = pathlib.Path("/var/lib/clamav")
UNIT_FILES = pathlib.Path("/etc/systemd/system")
EXPOSURE = 1.8
WATCHDOG_SECONDS = 2
BOMB = 400 << 20                # bytes of a file in a zip: a scan of seconds
CAP_NET_ADMIN, CAP_NET_RAW = 1 << 12, 1 << 13
SIGNATURE_PCRE = "Test.Pcre;Engine:81-255,Target:0;0&1;6c6f6f6b6d65;0/lookme[0-9]{3}x+y/\n"


def run(*command, check=True):
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100,
                          check=False)
    if check and done.returncode != 0:
        journal = subprocess.run(["journalctl", "-n", "30", "-o", "cat"], text=True,
                                 stdout=subprocess.PIPE, check=False).stdout
        raise AssertionError(f"{command} ends with {done.returncode}:\n{done.stdout}\n{journal}")
    return done


def systemctl(*arguments):
    return run("systemctl", *arguments).stdout


def show(name, unit=SERVICE):
    return systemctl("show", "--value", "-p", name, unit).strip()


class Units(unittest.TestCase):
    def setUp(self):
        self.sink = Sink()
        self.addCleanup(self.sink.close)
        self.addCleanup(self.clear)
        self.units = set()
        self.configure()
        self.before = time.time() * 1e6

    def clear(self):
        systemctl("stop", SOCKET, SERVICE, "smtp-gated@*.service", "smtp-gated@*.socket")
        systemctl("reset-failed")
        for unit in self.units:
            shutil.rmtree(UNIT_FILES / f"{unit}.d")
        if self.units:
            systemctl("daemon-reload")

    # -- set up

    def configure(self, file=FILE, **options):
        """As little as can be: all paths are the defaults."""
        options = {"mode": "fixed", "fixed_server": '"127.0.0.1"',
                   "fixed_server_port": self.sink.port, "local_servers": "yes",
                   "lock_duration": 0, **options}
        file.parent.mkdir(exist_ok=True)
        beside = file.with_suffix(".new")
        beside.write_text("".join(f"{name} = {value}\n" for name, value in options.items()
                                  if value is not None))
        beside.replace(file)

    def edit(self, *lines, unit=SERVICE, section="Service"):
        """As "systemctl edit" does."""
        directory = UNIT_FILES / f"{unit}.d"
        directory.mkdir(exist_ok=True)
        (directory / "test.conf").write_text("\n".join([f"[{section}]", *lines, ""]))
        self.units.add(unit)
        systemctl("daemon-reload")

    def start(self):
        systemctl("start", SERVICE)
        self.assertEqual(show("ActiveState"), "active")

    # -- looking at it

    def journal(self, *matches):
        """Of this test; a dictionary for each entry."""
        run("journalctl", "--sync")
        lines = run("journalctl", "-o", "json", *matches, check=False).stdout
        entries = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
        return [one for one in entries if int(one["__REALTIME_TIMESTAMP"]) > self.before]

    def words(self):
        """Of all units: whose a process was that has ended at once, the journal may miss."""
        return "\n".join(str(one.get("MESSAGE")) for one in self.journal())

    def main_pid(self, unit=SERVICE):
        return int(show("MainPID", unit))

    def call(self, port=PORT, host="127.0.0.1"):
        client = Client(None, (host, port))
        self.addCleanup(client.__exit__)
        return client

    def begin(self, port=PORT, host="127.0.0.1"):
        client = self.call(port, host)
        self.assertRegex(client.hello(), "^250")
        return client

    def serves(self, port=PORT, host="127.0.0.1"):
        before = len(self.sink.complete)
        client = self.begin(port, host)
        # More than is held in memory.
        self.assertRegex(client.submit(lab.mail(*[b"at noon" * 9] * 8000))[-1], "^250 taken")
        refusal = client.submit(lab.mail(lab.EICAR))[-1]
        self.assertRegex(refusal, f"^550 .*{lab.EICAR_NAME}")
        self.assertRegex(client.ask("QUIT"), "^221")
        client.__exit__()
        self.assertEqual(len(self.sink.complete), before + 1)
        return refusal

    def says(self, pattern, unit=SERVICE):
        self.assertTrue(wait_until(lambda: re.search(pattern, show("StatusText", unit)), 20),
                        show("StatusText", unit))

    def until(self, condition, seconds=30):
        self.assertTrue(wait_until(condition, seconds),
                        systemctl("status", "--no-pager", SERVICE, "--lines=30")
                        if show("ActiveState") == "active" else
                        run("journalctl", "-n", "40", "-o", "cat").stdout)


class Files(Units):
    def test_verify(self):
        """systemd has nothing to say against any of them."""
        for unit in (SERVICE, SOCKET, "smtp-gated@9300.service", "smtp-gated@9300.socket",
                     "smtp-gated-helper.service", "smtp-gated-helper.socket"):
            with self.subTest(unit):
                self.assertEqual(run("systemd-analyze", "verify", "--man=no", unit).stdout, "")

    def test_exposure(self):
        for unit in ("smtp-gated.service", "smtp-gated@.service",
                     "smtp-gated-helper.service"):
            with self.subTest(unit):
                done = run("systemd-analyze", "security", "--no-pager", "--offline=true",
                           f"--threshold={EXPOSURE * 10:.0f}",
                           f"/usr/lib/systemd/system/{unit}")
                level = re.search(r"Overall exposure level .*: ([\d.]+) ", done.stdout)
                self.assertLessEqual(float(level[1]), EXPOSURE)
                print("\n".join(line.rstrip() for line in done.stdout.splitlines()
                                if re.search(r"0\.[1-9]$|Overall", line)))

    def test_users_and_directories(self):
        user = pwd.getpwnam("smtp-gated")
        self.assertNotEqual(user.pw_uid, 0)
        self.assertRegex(user.pw_shell, "nologin|false")
        for path in ("/run/smtp-gated", "/var/spool/smtp-gated",
                     "/var/spool/smtp-gated/lock"):
            info = os.stat(path)
            self.assertEqual((info.st_uid, info.st_gid, info.st_mode & 0o7777),
                             (user.pw_uid, user.pw_gid, 0o750))


class Life(Units):
    def test_virus_locks_out(self):
        """With the defaults, as the unit confines it; root sees whose the locks are."""
        self.configure(lock_duration=None)
        self.start()
        client = self.begin()
        self.assertRegex(client.submit(lab.mail(lab.EICAR))[-1], "^550")
        client.__exit__()
        self.assertRegex(self.call().reply(), "^554 .*locked out")
        out = run("/usr/sbin/smtp-gated", "--locks", FILE).stdout
        self.assertRegex(out, rf"(?m)^locked 127\.0\.0\.1 .* virus {lab.EICAR_NAME}")
        out = run("/usr/sbin/smtp-gated", "--unlock", "127.0.0.1", FILE).stdout
        self.assertEqual(out, "removed 127.0.0.1\n")
        self.begin().__exit__()
        white = pathlib.Path("/var/spool/smtp-gated/lock/127.0.0.1")
        white.touch()
        self.addCleanup(white.unlink)
        client = self.begin()
        self.assertRegex(client.submit(lab.mail(lab.EICAR))[-1], "^550")
        client.__exit__()
        self.begin().__exit__()

    def test_first_client_starts_it(self):
        """The socket is there first; both families lead to it; no path is configured."""
        systemctl("start", SOCKET)
        self.assertEqual(show("ActiveState"), "inactive")
        self.serves()
        self.serves(host="::1")
        self.assertEqual(show("ActiveState"), "active")
        self.says("^serving [01] sessions?, 4 mails, 2 infected$")
        state = run("smtp-gated", "-s", FILE).stdout
        self.assertRegex(state, rf"(?m)^pid: {self.main_pid()}$")
        self.assertRegex(state, r"(?m)^mails_infected: +2 ")
        self.assertEqual(pathlib.Path("/run/smtp-gated/smtp-gated.pid").read_text().strip(),
                         str(self.main_pid()))
        handed = self.journal("NAME=smtp")
        self.assertRegex(handed[0]["MESSAGE"], "bind_address and port have no effect")

    def test_spool_is_where_it_should_be(self):
        self.start()
        client = self.begin()
        client.begins_mail(b"at noon\r\n" * 60000)
        files = f"/proc/{self.main_pid()}/fd"
        self.until(lambda: any("/var/spool/smtp-gated/msg/" in os.readlink(f"{files}/{one}")
                               for one in os.listdir(files)))
        self.assertRegex(client.ends_mail(), "^250 taken")

    def test_rates_are_kept(self):
        """LMDB can do its work under the unit, where the default is; root can look at it."""
        self.configure(ratelimit_period=3600)
        self.start()
        self.serves()

        def shown():
            return run("smtp-gated", "-L", "127.0.0.1", FILE).stdout
        self.until(lambda: re.search(r"(?m)^messages +[1-9]", shown()))
        systemctl("restart", SERVICE)
        self.assertRegex(shown(), r"(?m)^messages +[1-9]")
        self.assertNotIn("cannot be kept", self.words())
        self.assertEqual(os.stat("/var/spool/smtp-gated/ratelimit/data.mdb").st_uid,
                         pwd.getpwnam("smtp-gated").pw_uid)

    def test_confined(self):
        """What is given up stays so, though everything else works."""
        user = pwd.getpwnam("smtp-gated")
        for mode, kept in (("fixed", 0), ("netfilter", CAP_NET_ADMIN)):
            with self.subTest(mode):
                self.configure(mode=mode)
                systemctl("restart", SERVICE)
                status = status_of(f"/proc/{self.main_pid()}")
                self.assertEqual(set(status["Uid"].split()), {str(user.pw_uid)})
                self.assertEqual(set(status["Gid"].split()), {str(user.pw_gid)})
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
                self.assertEqual(int(status["CapBnd"], 16), CAP_NET_ADMIN)
                self.assertEqual([int(status[name], 16) for name in
                                  ("CapPrm", "CapEff", "CapInh", "CapAmb")], [kept, kept, 0, 0])

    def test_transparent(self):
        """mode = tproxy takes a capability that the unit does not have, and says so."""
        self.configure(mode="tproxy", fixed_server=None, fixed_server_port=None)
        self.edit("RestartSec=1d")
        self.assertNotEqual(run("systemctl", "start", SERVICE, check=False).returncode, 0)
        self.assertRegex(self.words(), "CAP_NET_RAW")
        self.edit("AmbientCapabilities=CAP_NET_RAW", "CapabilityBoundingSet=CAP_NET_RAW")
        self.edit("Transparent=yes", unit=SOCKET, section="Socket")
        self.start()
        status = status_of(f"/proc/{self.main_pid()}")
        self.assertEqual(int(status["CapEff"], 16), CAP_NET_RAW)
        with self.call() as client:
            self.assertRegex(client.reply(), "^[45]")   # came straight to us

    def test_connection_tracking(self):
        """mode = netfilter, where the socket does not know and the kernel is asked."""
        if not shutil.which("nft"):
            self.skipTest("needs nft")
        port = self.sink.port
        self.configure(mode="netfilter", fixed_server=None, fixed_server_port=None)
        self.edit("Environment=LD_PRELOAD=/usr/lib/silent_original_dst.so")
        rules = pathlib.Path("/run/rules")
        rules.write_text(f"""table ip gated_test {{
            chain output {{
                type nat hook output priority -100;
                meta skuid smtp-gated accept
                ip daddr 127.0.0.1 tcp dport {port} redirect to :{PORT}
            }}
        }}\n""")
        run("nft", "-f", rules)
        self.addCleanup(run, "nft", "delete", "table", "ip", "gated_test")
        self.start()
        self.serves(port)
        self.edit("Environment=LD_PRELOAD=/usr/lib/silent_original_dst.so",
                  "AmbientCapabilities=", "CapabilityBoundingSet=")
        systemctl("restart", SERVICE)
        with self.call(port) as client:
            self.assertRegex(client.reply(), "^[45]")   # it was that capability

    def test_what_old_files_have(self):
        """set_user for who starts it as root; a priority; limits."""
        self.configure(set_user='"smtp-gated"', set_group='"smtp-gated"', priority=5,
                       limit_virt_size="6G", limit_core_size=0)
        self.start()
        self.serves()
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, self.main_pid()), 5)

    def test_expressions_of_signatures(self):
        """libclamav's PCRE would like memory that is writable and executable."""
        extra = SIGNATURES / "pcre.ldb"
        extra.write_text(SIGNATURE_PCRE)
        self.addCleanup(extra.unlink)
        self.start()
        client = self.begin()
        self.assertRegex(client.submit(lab.mail(b"lookme12xy"))[-1], "^250")
        self.assertRegex(client.submit(lab.mail(b"lookme123xxy"))[-1], "^550 .*Test.Pcre")

    def test_action_script(self):
        """One is run, can leave a note where the manual says, and may nothing else."""
        script = pathlib.Path("/etc/smtp-gated/confined.sh")
        script.write_text("#!/bin/sh\ngrep -E '^(Cap(Eff|Prm|Amb)|NoNewPrivs)' /proc/self/status\n"
                          "touch /etc/x /var/lib/x /run/x; head -c 1 /etc/shadow\n"
                          "touch /var/spool/smtp-gated/x && rm /var/spool/smtp-gated/x && exit 7\n")
        script.chmod(0o755)
        notes = pathlib.Path("/run/smtp-gated/block")
        self.addCleanup(shutil.rmtree, notes, ignore_errors=True)
        self.configure(action_script='"/etc/smtp-gated/action.sh"')
        self.start()
        self.serves()
        self.until(lambda: (notes / "127.0.0.1").exists())
        self.assertRegex((notes / "127.0.0.1").read_text(), "found=VIRUS .*helo=client.example")
        self.until(lambda: self.journal("SCRIPT=/etc/smtp-gated/action.sh", "EXIT=0"))
        self.configure(action_script=f'"{script}"')
        systemctl("reload", SERVICE)
        self.until(lambda: "read again" in self.words())
        self.serves()
        self.until(lambda: self.journal(f"SCRIPT={script}", "EXIT=7"))
        words = self.words()
        for name in ("CapEff", "CapPrm", "CapAmb"):
            self.assertRegex(words, rf"script-says .*{name}:\\t0+\"")
        self.assertRegex(words, r'script-says .*NoNewPrivs:\\t1"')
        for path in ("/etc/x", "/var/lib/x", "/run/x"):
            self.assertRegex(words, rf"script-says .*{path}.*(Read-only|denied)")
        self.assertRegex(words, "script-says .*shadow.*denied")

    def test_fails_until_it_can(self):
        """It says why, tries again, and clients wait instead of being refused."""
        self.edit("RestartSec=200ms")
        self.configure(signature_path='"/nowhere"')
        self.assertNotEqual(run("systemctl", "start", SERVICE, check=False).returncode, 0)
        self.assertRegex(self.words(), "/nowhere")
        waiting = self.call()
        self.configure()
        self.assertRegex(waiting.hello(), "^250")
        self.until(lambda: show("ActiveState") == "active")
        self.assertGreater(int(show("NRestarts")), 0)

    def test_without_its_socket(self):
        """bind_address and port count then."""
        systemctl("mask", "--runtime", SOCKET)
        self.addCleanup(systemctl, "unmask", "--runtime", SOCKET)
        self.configure(port=9201, bind_address='"127.0.0.1"')
        self.start()
        self.serves(9201)
        self.assertRaises(ConnectionRefusedError, self.call)
        self.configure(port=25)
        self.edit("AmbientCapabilities=CAP_NET_BIND_SERVICE",
                  "CapabilityBoundingSet=CAP_NET_BIND_SERVICE")
        systemctl("restart", SERVICE)
        self.serves(25)

    def test_other_places(self):
        """Refused as it is, and possible as the manual says."""
        places = [pathlib.Path(name) for name in ("/srv/spool", "/home/signatures")]
        for place in places:
            place.mkdir()
            self.addCleanup(shutil.rmtree, place)
        shutil.chown(places[0], "smtp-gated")
        shutil.copy(SIGNATURES / "test.ndb", places[1])
        self.configure(spool_path='"/srv/spool"', signature_path='"/home/signatures"')
        self.edit("RestartSec=1d")
        self.assertNotEqual(run("systemctl", "start", SERVICE, check=False).returncode, 0)
        self.edit("ReadWritePaths=/srv/spool", "ProtectHome=read-only")
        self.start()
        self.serves()

    def test_rules_that_end_with_it(self):
        """nft_alive: what it renews is there, and is not when it hangs."""
        if not shutil.which("nft"):
            self.skipTest("needs nft")
        self.configure(mode="netfilter", fixed_server=None, fixed_server_port=None,
                       nft_alive="yes", nft_timeout=2)
        rules = pathlib.Path("/run/rules")
        rules.write_text(run("smtp-gated", "--nft", "open", FILE).stdout)
        run("nft", "-f", rules)
        self.addCleanup(run, "nft", "delete", "table", "inet", "smtp_gated")
        self.start()

        def renewed():
            return re.search(r"elements = .*\b25\b", run(
                "nft", "list", "set", "inet", "smtp_gated", "alive").stdout)
        self.until(renewed)
        pid = self.main_pid()
        os.kill(pid, signal.SIGSTOP)
        self.until(lambda: not renewed())
        os.kill(pid, signal.SIGCONT)
        self.until(renewed)


class Reload(Units):
    def test_reload(self):
        self.start()
        pid = self.main_pid()
        sitting = self.begin()
        self.configure(msg_virus_found='"Look:"')
        systemctl("reload", SERVICE)
        self.until(lambda: self.journal("TEXT=read again"))
        self.assertIn("Look:", self.serves())
        self.assertNotIn("Look:", sitting.submit(lab.mail(lab.EICAR))[-1])
        self.assertEqual((self.main_pid(), show("ActiveState")), (pid, "active"))

    def test_faulty_file(self):
        """A reload of one fails, and nothing else happens; a signal shows it in STATUS."""
        self.start()
        pid = self.main_pid()
        self.configure(timeout_idle="sometimes")
        self.assertNotEqual(run("systemctl", "reload", SERVICE, check=False).returncode, 0)
        self.assertRegex(self.words(),
                         r"smtp-gated\.conf:\d+: .*timeout_idle")
        self.assertEqual(show("StatusText"), "serving 0 sessions, 0 mails, 0 infected")
        os.kill(pid, signal.SIGHUP)
        self.says(r"; the configuration stays as it was: /etc/smtp-gated\.conf:\d+: ")
        self.serves()
        self.assertEqual((self.main_pid(), show("ActiveState")), (pid, "active"))
        self.configure()
        systemctl("reload", SERVICE)
        self.says("^serving [01] sessions?, 2 mails, 1 infected$")


class Journal(Units):
    def test_fields(self):
        """Each key of a line is a field that journalctl finds."""
        self.start()
        self.serves()
        found = self.journal("FINDING=virus")
        self.assertEqual(len(found), 1)
        found = found[0]
        self.assertEqual((found["SYSLOG_IDENTIFIER"], found["PRIORITY"], found["_SYSTEMD_UNIT"],
                          found["ACTION"], found["MAIL"]),
                         ("smtp-gated", "5", SERVICE, "refuse", "2"))
        self.assertRegex(found["NAME"], lab.EICAR_NAME)
        self.assertRegex(found["CLIENT"], r"^127\.0\.0\.1:\d+$")
        self.assertEqual(found["SERVER"], f"127.0.0.1:{self.sink.port}")
        self.assertRegex(found["MESSAGE"], rf"^found s={found['SESSION']} t=2 finding=virus ")
        self.until(lambda: any(one["MESSAGE"].startswith("close ")
                               for one in self.journal(f"SESSION={found['SESSION']}")))
        other = self.begin()
        events = [one["MESSAGE"].split()[0] for one in self.journal(f"SESSION={found['SESSION']}")]
        self.assertEqual(events, ["connect", "mail", "verdict", "delivered", "mail", "found",
                                  "takeover", "close"])
        self.assertEqual(self.journal("SESSION=nobody"), [])
        other.__exit__()


class Watchdog(Units):
    def setUp(self):
        super().setUp()
        self.edit(f"WatchdogSec={WATCHDOG_SECONDS}s", "RestartSec=100ms")

    def test_hang(self):
        """A loop that does not turn is killed, and started again."""
        self.start()
        pid = self.main_pid()
        os.kill(pid, signal.SIGSTOP)
        waiting = self.call()
        self.until(lambda: show("NRestarts") == "1" and show("ActiveState") == "active")
        self.assertTrue(is_gone(pid))
        self.assertNotEqual(self.main_pid(), pid)
        self.assertRegex(waiting.hello(), "^250")
        self.assertIn("Failed with result 'watchdog'.", self.words())
        self.serves()

    def test_long_scan(self):
        """It is no hang: one thread, and so many bombs that it has to do for long."""
        wanted = 1.5 * WATCHDOG_SECONDS
        self.configure(scan_workers=1, timeout_scanner=60)
        self.start()
        pid = self.main_pid()
        bomb = lab.mail_with(lab.zip_of("zeros", bytes(BOMB)))
        before = time.monotonic()
        self.begin().submit(bomb)
        one = time.monotonic() - before
        talkers = [threading.Thread(target=self.begin().submit, args=(bomb,))
                   for _ in range(1 + math.ceil(wanted / one))]
        before = time.monotonic()
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join()
        self.assertGreater(time.monotonic() - before, wanted, "the scans were too quick")
        self.assertEqual((self.main_pid(), show("NRestarts")), (pid, "0"))

    def test_new_program(self):
        """USR2: the new process is the service, is watched, and may do the same."""
        self.configure(mode="netfilter", fixed_server=None, fixed_server_port=None)
        self.start()
        old = self.main_pid()
        before = status_of(f"/proc/{old}")
        systemctl("kill", "-s", "USR2", "--kill-who=main", SERVICE)
        self.until(lambda: self.main_pid() != old and is_gone(old))
        new = self.main_pid()
        after = status_of(f"/proc/{new}")
        for name in ("Uid", "Gid", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
            self.assertEqual(after[name], before[name], name)
        time.sleep(2 * WATCHDOG_SECONDS)        # it is fed
        self.assertEqual((self.main_pid(), show("NRestarts")), (new, "0"))
        self.says("^serving 0 sessions, 0 mails, 0 infected$")
        self.assertNotIn("reception only permitted", self.words())
        os.kill(new, signal.SIGSTOP)            # and would be missed
        self.until(lambda: show("NRestarts") == "1" and show("ActiveState") == "active")


class Load(Units):
    """Clients come all the time."""

    def talk(self, stop, told, broken):
        while not stop.is_set():
            try:
                with lab.Client(("127.0.0.1", PORT)) as client:
                    client.hello()
                    told.append(client.submit(lab.mail(b"at noon"))[-1][:3])
                    client.ask("QUIT")
            except (OSError, AssertionError) as error:
                broken.append(repr(error))

    def under_load(self, talkers, what):
        """The failures of TALKERS clients while WHAT is done."""
        stop, told, broken = threading.Event(), [], []
        threads = [threading.Thread(target=self.talk, args=(stop, told, broken))
                   for _ in range(talkers)]
        for one in threads:
            one.start()
        try:
            what(told)
        finally:
            stop.set()
            for one in threads:
                one.join()
        return told, broken

    def served_more(self, told, count=12):
        before = len(told)
        self.until(lambda: len(told) >= before + count)

    def test_ten_restarts(self):
        self.start()

        def restart(told):
            for _ in range(10):
                self.served_more(told)
                systemctl("restart", SERVICE)
        mails, broken = self.under_load(4, restart)
        self.assertEqual((broken, set(mails)), ([], {"250"}))
        print(f"ten restarts: {len(mails)} mails, nobody refused")

    def test_ten_programs(self):
        self.start()

        def upgrade(told):
            for _ in range(10):
                self.served_more(told)
                old = self.main_pid()
                os.kill(old, signal.SIGUSR2)
                self.until(lambda: self.main_pid() != old and is_gone(old))
        mails, broken = self.under_load(4, upgrade)
        self.assertEqual((broken, set(mails), show("NRestarts")), ([], {"250"}, "0"))
        print(f"ten new programs: {len(mails)} mails, nobody refused")

    def test_crashes(self):
        """Those who are in the middle lose their connection, and nobody is refused."""
        self.edit("RestartSec=100ms")
        self.start()

        def crash(told):
            for count, number in enumerate((signal.SIGKILL, signal.SIGSEGV, signal.SIGKILL), 1):
                self.served_more(told)
                os.kill(self.main_pid(), number)
                self.until(lambda at=count: show("NRestarts") == str(at)
                           and show("ActiveState") == "active")
            self.served_more(told)
        mails, broken = self.under_load(4, crash)
        self.assertLessEqual(len(broken), 3 * 4)
        self.assertLessEqual(set(mails), {"250", ""})
        self.assertEqual([one for one in broken if "Refused" in one], [])
        print(f"three crashes: {len(mails)} mails, {len(broken)} sessions lost, nobody refused")


class Drain(Units):
    def test_session_ends_in_peace(self):
        self.start()
        sitting = self.begin()
        sitting.begins_mail()
        systemctl("stop", "--no-block", SERVICE)
        self.says("^draining 1 session$")
        self.assertEqual(show("SubState"), "stop-sigterm")
        later = self.call()                     # is kept for the next one
        self.assertRegex(sitting.ends_mail(), "^250 taken")
        self.assertRegex(sitting.ask("QUIT"), "^221")
        sitting.__exit__()
        self.assertRegex(later.hello(), "^250")
        self.assertEqual(show("Result"), "success")
        self.assertEqual(self.journal("PRIORITY=3"), [])

    def test_patience_ends(self):
        """By timeout_drain, however short TimeoutStopSec is; nothing has to be killed."""
        self.edit("TimeoutStopSec=1s")
        self.configure(timeout_drain=3)
        self.start()
        sitting = self.begin()
        systemctl("stop", SOCKET)
        watch = lab.Stopwatch()
        systemctl("stop", SERVICE)
        self.assertTrue(2.9 < watch.seconds() and watch.here() < 10)
        self.assertRegex(sitting.reply(), "^421")
        self.assertEqual((show("ActiveState"), show("Result")), ("inactive", "success"))

    def test_stop_after_making_way(self):
        """The process that made way ends with the service, after timeout_drain."""
        self.configure(timeout_drain=1)
        self.start()
        sitting = self.begin()
        old = self.main_pid()
        os.kill(old, signal.SIGUSR2)
        self.until(lambda: self.main_pid() != old)
        self.assertRegex(sitting.ask("NOOP"), "^250")
        systemctl("stop", SOCKET, SERVICE)
        self.assertRegex(sitting.reply(), "^421")
        self.assertEqual((show("ActiveState"), show("Result")), ("inactive", "success"))
        self.assertTrue(is_gone(old))

    def test_restart_after_making_way(self):
        """As after an update: its session ends in peace, though it hears TERM twice."""
        self.start()
        sitting = self.begin()
        sitting.begins_mail()
        old = self.main_pid()
        os.kill(old, signal.SIGUSR2)
        self.until(lambda: self.main_pid() != old)
        systemctl("restart", "--no-block", SERVICE)
        self.until(lambda: show("SubState") == "final-sigterm")
        time.sleep(1)
        self.assertRegex(sitting.ends_mail(), "^250 taken")
        sitting.__exit__()
        self.until(lambda: show("ActiveState") == "active")
        self.assertTrue(is_gone(old))
        self.serves()


class Instances(Units):
    def instance(self, name, **options):
        file = pathlib.Path(f"/etc/smtp-gated/{name}.conf")
        self.configure(file, **{"pidfile": f'"/run/smtp-gated/{name}/pid"',
                                "statefile": f'"/run/smtp-gated/{name}/state"', **options})
        self.addCleanup(file.unlink)
        return file

    def test_side_by_side(self):
        """Two by port, one by name, and the one without a name."""
        files = {9300: self.instance("9300"), 9301: self.instance("9301"),
                 9302: self.instance("other", port=9302, bind_address='"127.0.0.1"')}
        services = [f"smtp-gated@{file.stem}.service" for file in files.values()]
        systemctl("start", SERVICE, *services)
        for port, file in {PORT: FILE, **files}.items():
            self.serves(port)
            unit = SERVICE if port == PORT else f"smtp-gated@{file.stem}.service"
            self.assertRegex(run("smtp-gated", "-s", file).stdout,
                             rf"(?m)^pid: {self.main_pid(unit)}$")
        self.configure(files[9300], **{"pidfile": '"/run/smtp-gated/9300/pid"',
                                       "statefile": '"/run/smtp-gated/9300/state"',
                                       "msg_virus_found": '"Look:"'})
        systemctl("reload", services[0])
        self.until(lambda: self.journal("TEXT=read again"))
        self.assertIn("Look:", self.serves(9300))
        self.assertNotIn("Look:", self.serves(9301))
        systemctl("stop", SERVICE, SOCKET, services[0], "smtp-gated@9300.socket")
        for port in (9301, 9302):
            self.serves(port)
        self.assertRaises(ConnectionRefusedError, self.call, 9300)

    def test_same_pidfile(self):
        """Forgotten: it is said at once, before two share a state."""
        self.edit("Restart=no", unit="smtp-gated@9300.service")
        self.instance("9300", pidfile=None, statefile=None)
        self.start()
        unit = "smtp-gated@9300.service"
        self.assertNotEqual(run("systemctl", "start", unit, check=False).returncode, 0)
        self.assertRegex(self.words(),
                         "pidfile.*/run/smtp-gated/smtp-gated.pid")
        self.serves()


def set_up():
    run("systemd-sysusers")
    run("systemd-tmpfiles", "--create", "smtp-gated.conf")
    SIGNATURES.mkdir(exist_ok=True)
    for other in SIGNATURES.iterdir():
        other.unlink()
    (SIGNATURES / "test.ndb").write_text(f"{lab.EICAR_NAME}:0:*:{lab.EICAR.hex()}\n")
    systemctl("daemon-reload")


if __name__ == "__main__":
    set_up()
    lab.main()
