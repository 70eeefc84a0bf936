#!/usr/bin/python3
"""action_script: real programs, started by the real daemon.

    script.py PROGRAM [unittest arguments]
"""
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import time

from gated import PROGRAM, Case, as_root, is_gone, main, wait_until
import lab

USER = pwd.getpwnam("backup")
VIRUS = lab.EICAR_NAME + ".UNOFFICIAL"
VARIABLES = """PATH PROXY_NAME FOUND VIRUS_NAME SPAM_SCORE SOURCE_IP SOURCE_PORT TARGET_IP
    TARGET_PORT LOCAL_IP LOCAL_PORT IDENT IDENT_COUNT HELO MAIL_FROM RCPTS_TOTAL SIZE TRANSACTION
    AUTH AUTH_USER SPOOL_NAME LOCK_FILE LOCK_DURATION TIME UNIXTIME""".split()

# It writes down all that it is given, as the kernel tells it.
RECORDER = r"""#!/usr/bin/python3 -IS
import json, os, pathlib, sys
own = pathlib.Path("/proc/self")
def lines(name):
    return [word.decode("latin-1") for word in (own / name).read_bytes().split(b"\0")[:-1]]
fds = {}
for name in os.listdir(own / "fd"):
    try:
        fds[name] = os.readlink(own / "fd" / name)
    except OSError:
        pass                            # that of the listing
record = {
    "arguments": lines("cmdline")[2:], "environment": lines("environ"), "fds": fds,
    "status": dict(line.split(":\t", 1) for line in (own / "status").read_text().splitlines()),
    "nice": os.getpriority(os.PRIO_PROCESS, 0), "cwd": os.getcwd(), "stdin": sys.stdin.read(),
    "leads": [os.getpid() == os.getpgid(0), os.getpid() == os.getsid(0)],
}
beside = "RECORDS/.%d" % os.getpid()
with open(beside, "w") as file:
    json.dump(record, file)
os.rename(beside, "RECORDS/%d" % os.getpid())
print("it was", record["environment"][2])
"""


class Script(Case):
    def setUp(self):
        super().setUp()
        self.records = self.gated.directory / "records"
        self.records.mkdir()
        self.records.chmod(0o1777)

    def script(self, text, name="script"):
        """The file of a script of SH, in the directory RECORDS; its path."""
        path = self.gated.directory / name
        if not text.startswith("#!"):
            text = f"#!/bin/sh\ncd {self.records} || exit 99\n{text}\n"
        path.write_text(text.replace("RECORDS", str(self.records)))
        path.chmod(0o755)
        return path

    def start(self, text, **options):
        self.gated.configure(action_script=f'"{self.script(text)}"', **options)
        self.gated.start()

    def recorded(self, count=1):
        """What so many recorders wrote down."""
        def finished():
            return [one for one in self.records.iterdir() if one.name.isdigit()]
        self.assertTrue(wait_until(lambda: len(finished()) >= count), self.gated.log())
        return [json.loads(one.read_text()) for one in sorted(finished())]

    def wait_ended(self, count=1):
        self.gated.wait_for_log("^script(-failed)? .*(exit|signal|error)=", count)

    def content(self, name):
        path = self.records / name
        return path.read_text() if path.exists() else ""

    def pid_in(self, name):
        self.assertTrue(wait_until(lambda: self.content(name).endswith("\n")))
        return int(self.content(name))

    def processor_time(self):
        """Seconds that the daemon has used."""
        fields = pathlib.Path(f"/proc/{self.gated.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # -- what it is told, and what it is

    def test_every_variable_and_argument(self):
        self.start(RECORDER)
        self.serves()                                   # one clean, one with a virus
        self.recorded()
        begun = int(time.time())
        host, port = self.infect(hello="pc.example", count=3)
        one = [one for one in self.recorded(2) if "TRANSACTION=3" in one["environment"]][0]
        self.assertEqual(one["arguments"],
                         [str(self.gated.directory / "script"), "VIRUS", host, "-", "127.0.0.1"])
        told = dict(word.split("=", 1) for word in one["environment"])
        self.assertEqual(list(told), VARIABLES)
        size = int(told.pop("SIZE"))
        self.assertEqual(size, len(lab.mail(lab.EICAR)))
        when = int(told.pop("UNIXTIME"))
        self.assertTrue(begun <= when <= time.time())
        self.assertEqual(told.pop("TIME"),
                         time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when)))
        self.assertRegex(told.pop("PATH"), "^/usr/local/sbin:.*:/bin$")
        self.assertRegex(told.pop("LOCK_DURATION"), r"^\d+$")
        told.pop("LOCK_FILE")
        told.pop("SPOOL_NAME")
        self.assertEqual(told, {
            "PROXY_NAME": "gate.example", "FOUND": "VIRUS", "VIRUS_NAME": VIRUS,
            "SPAM_SCORE": "", "SOURCE_IP": host, "SOURCE_PORT": str(port),
            "TARGET_IP": "127.0.0.1", "TARGET_PORT": str(self.sink.port),
            "LOCAL_IP": "127.0.0.1", "LOCAL_PORT": str(self.gated.port),
            "IDENT": "", "IDENT_COUNT": "0", "HELO": "pc.example",
            "MAIL_FROM": "a@client.example", "RCPTS_TOTAL": "2", "TRANSACTION": "3",
            "AUTH": "0", "AUTH_USER": ""})
        self.wait_ended(2)
        line = self.gated.logged("^script .* t=3 ")[0]
        self.assertRegex(line, rf"^script s=\w+ t=3 script=\S+/script finding=virus "
                               rf"client={host}:{port} exit=0 ms=\d+$")
        self.gated.wait_for_log('^script-says .* t=3 text="it was FOUND=VIRUS"')
        state = self.gated.write_state()
        self.assertEqual((state["scripts"], state["scripts_now"], state["scripts_failed"],
                          state["scripts_dropped"]), ("2", "0", "0", "0"))
        self.gated.stop()

    def test_nothing_of_ours(self):
        """No descriptor, no variable, no signal, no place of the daemon's."""
        self.gated.extra_environment = {"SECRET": "x", "LISTEN_FDS": "0"}
        self.start(RECORDER)
        client = self.begin()
        client.begins_mail()                            # with a spool, a server, a client
        self.infect()
        one = self.recorded()[0]
        self.assertEqual(set(one["fds"]) - {"3"}, {"0", "1", "2"}, one["fds"])
        self.assertNotIn("3", {name for name, what in one["fds"].items() if "proc" not in what})
        for name in "012":
            self.assertRegex(one["fds"][name], r"^pipe:")
        self.assertEqual(one["fds"]["1"], one["fds"]["2"])
        self.assertEqual(one["stdin"], "")
        self.assertEqual(one["cwd"], "/")
        self.assertEqual(one["leads"], [True, True])
        self.assertEqual(int(one["status"]["CapPrm"], 16), 0)   # root's as well
        self.assertEqual([word.split("=")[0] for word in one["environment"]], VARIABLES)
        self.assertEqual(int(one["status"]["SigBlk"], 16), 0)
        # 32 and 33 are libc's own, SIGPIPE and SIGXFSZ the interpreter's
        self.assertEqual(int(one["status"]["SigIgn"], 16) & ~0x1_8100_1000, 0)
        self.assertRegex(client.ends_mail(), "^250")
        client.__exit__()
        self.gated.stop()

    @as_root
    def test_no_privilege(self):
        """Of a daemon that has some, and a better priority than others; also as root."""
        port = lab.free_port()
        for user, uid in (("backup", USER.pw_uid), ("", 0)):
            with self.subTest(user):
                gated = self.gated = self.another()
                gated.configure(
                    allow_root=None if user else "yes", set_user=f'"{user}"', priority=-5,
                    mode='"tproxy,netfilter"', fixed_server=None, fixed_server_port=None,
                    action_script=f'"{self.script(RECORDER)}"', sections=(
                        f'listen "other" {{\n  address = {{"127.0.0.1"}}\n  port = {port}\n'
                        '  mode = fixed\n  fixed_server = "127.0.0.1"\n'
                        f'  fixed_server_port = {self.sink.port}\n}}'))
                gated.start()
                self.assertNotEqual(int(gated.status()["CapEff"], 16), 0)
                self.assertEqual(os.getpriority(os.PRIO_PROCESS, gated.pid), -5)
                gated.port = port
                self.infect()
                one = self.recorded()[0]
                for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                    self.assertEqual(int(one["status"][kind], 16), 0, kind)
                self.assertEqual(set(one["status"]["Uid"].split()), {str(uid)})
                self.assertEqual(one["status"]["NoNewPrivs"], "1")
                self.assertEqual(one["nice"], 0)
                gated.stop()
                for record in self.records.iterdir():
                    record.unlink()

    def test_evil_bytes(self):
        self.start(RECORDER)
        self.infect(hello="\x1b]0;x\x07`touch RECORDS/evil`\x9b\xff\xc3\xbc",
                    sender='"$(id)\x7f\xe2\x80\xae\xc0\xaf"@' + "x" * 200)
        told = dict(word.split("=", 1) for word in self.recorded()[0]["environment"])
        self.assertEqual(told["HELO"], "?]0;x?`touch RECORDS/evil`??\xc3\xbc")
        self.assertRegex(told["MAIL_FROM"], r'^"\$\(id\)\?\?\?\?"@x{200}$')
        self.assertFalse((self.records / "evil").exists())
        self.gated.stop()

    # -- what it does

    def test_one_that_hangs(self):
        """It is told to end, with those it waits for; nobody else waits."""
        self.start("echo $$ >pid\nsleep 60\necho no >survived", timeout_script=4)
        self.infect()
        pid = self.pid_in("pid")
        watch = lab.Stopwatch()
        self.serves()
        self.assertLess(watch.here(), 3.5)      # it has four seconds
        self.gated.wait_for_log(r'^script-failed .* signal=15 ms=\d+ .*timeout_script')
        self.assertTrue(wait_until(lambda: is_gone(pid)))
        self.assertEqual(self.content("survived"), "")
        self.gated.stop()

    def test_one_that_leaves_a_child_behind(self):
        """It ends with its parent, unless it has left the group on purpose; nothing waits for
        the output that it keeps open."""
        self.start("sleep 60 & echo $! >left\nsetsid sh -c 'echo $$ >apart; exec sleep 60' &\n"
                   "while [ ! -s apart ]; do sleep 0.01; done")
        self.infect()
        self.gated.wait_for_log("^script .*exit=0")
        left, apart = self.pid_in("left"), self.pid_in("apart")
        self.assertTrue(wait_until(lambda: is_gone(left)))
        self.assertFalse(is_gone(apart))
        os.kill(apart, signal.SIGKILL)
        self.gated.stop()

    def test_one_that_floods(self):
        self.start("exec yes 'no way \033[2J'", timeout_script=2)
        self.infect()
        self.assertTrue(wait_until(lambda: self.gated.write_state()["scripts_now"] == "1"))
        before = self.processor_time()
        self.gated.wait_for_log(r"^script-failed .* signal=15 ")
        says = self.gated.logged("^script-says ")
        self.assertLessEqual(len(says), 21)
        self.assertRegex(says[0], r'text="no way \\x1b\[2J"$')
        self.assertRegex("\n".join(says), r'text="and more, which is not logged" bytes=\d+')
        self.assertLess(self.processor_time() - before, 0.3)    # of two seconds
        self.serves()
        self.gated.stop()

    def test_ones_that_fail(self):
        """The log says which, how, and what to look at; mail passes."""
        rows = [("echo first; echo 'no iptables here' >&2; exit 3",
                 r'^script-failed .* exit=3 ms=\d+ said="no iptables here" text='),
                ("kill -9 $$", r"^script-failed .* signal=9 "),
                ("no-such-command", r'exit=127 .* said=".*not found" text="a command in it'),
                ("#!/no/interpreter\n", r'error="No such file or directory" .*first line'),
                ("#!/bin/sh\n", r'^script-failed .* error="Permission denied" .*chmod'),
                ("\x7fELF", r'error="Exec format error" .*#!/bin/sh')]
        self.gated.start()
        for number, (text, pattern) in enumerate(rows):
            with self.subTest(text):
                path = self.script(text, f"script{number}")
                if text.startswith("\x7f"):
                    path.write_bytes(b"plain words\n")
                if text == "#!/bin/sh\n":
                    path.chmod(0o644)
                self.gated.reload(action_script=f'"{path}"')
                self.infect()
                self.gated.wait_for_log(pattern)
        self.assertEqual(len(self.gated.logged("^script-failed ")), len(rows))
        self.gated.reload(action_script='"/no/such/script with words"')
        self.gated.wait_for_log(r'^trouble text="action_script cannot be run" '
                                r'script="/no/such/script with words" why="No such file')
        self.infect()
        self.gated.wait_for_log(r'^script-failed .*script="/no/such/script with words" .*error=')
        self.assertEqual(self.gated.write_state()["scripts_failed"], str(len(rows) + 1))
        self.serves()
        self.gated.stop()

    def test_missing_at_the_start(self):
        """It is said then; root itself may read but not execute."""
        self.gated.configure(action_script=f'"{self.gated.file}"')
        self.gated.start()
        self.gated.wait_for_log('^trouble text="action_script cannot be run" .*Permission denied')
        self.gated.stop()

    # -- how many

    def test_two_hundred_findings_at_once(self):
        """SCRIPT_MAX run, SCRIPT_QUEUE wait, the rest is dropped: two lines say how many."""
        self.start("touch on.$$; ls -d on.* | wc -l >count.$$\nwhile [ ! -e go ]; do sleep 0.02; "
                   "done\nrm on.$$", script_max=4, script_queue=20)
        for _ in range(200):
            self.infect()
        state = self.gated.write_state()
        self.assertEqual((state["scripts_now"], state["scripts_dropped"]), ("4", "176"))
        self.assertEqual(len(self.gated.logged("^script-failed .*dropped=")), 1)
        self.gated.wait_for_log("^script-failed .*script_max.* dropped=1 script_max=4")
        (self.records / "go").touch()
        self.wait_ended(24)
        state = self.gated.write_state()
        self.assertEqual((state["scripts"], state["scripts_now"], state["scripts_failed"]),
                         ("24", "0", "0"))
        counts = [int(one.read_text()) for one in self.records.glob("count.*")]
        self.assertEqual(len(counts), 24)
        self.assertLessEqual(max(counts), 4)
        self.assertEqual(len(self.gated.logged("^found ")), 200)
        self.gated.stop()
        self.assertEqual(len(self.gated.logged("^script-failed .*dropped=175")), 1)

    # -- when

    def test_script_on_and_policies(self):
        """Of what is found, for whom, and from a reload on."""
        self.start("echo $FOUND >>found", script_on="{virus}")
        other = self.script("echo $FOUND >>other", "other")
        self.serves()
        self.wait_ended()
        self.gated.reload(script_on="{}")
        self.infect()
        self.gated.reload(script_on="{virus}", sections=(
            f'policy "one" {{\n  clients = {{"127.0.0.0/8"}}\n  action_script = "{other}"\n}}'))
        self.infect()
        self.wait_ended(2)
        self.gated.reload(sections="", action_script='""')
        self.infect()
        self.gated.stop()
        self.assertEqual(self.content("found"), "VIRUS\n")
        self.assertEqual(self.content("other"), "VIRUS\n")

    def test_nothing_but_viruses(self):
        """Findings that pass have one run as well, clean mails do not."""
        self.start("echo $FOUND $VIRUS_NAME $SIZE >>found", on_virus="pass",
                   script_on="{unscannable, virus}", scan_max_size=2048)
        client = self.begin()
        self.assertRegex(client.submit(lab.mail(b"clean"))[-1], "^250")
        self.assertRegex(client.submit(lab.mail(lab.EICAR))[-1], "^250")
        self.wait_ended()
        self.assertRegex(client.submit(lab.mail(*[b"large"] * 1000))[-1], "^250")
        self.wait_ended(2)
        client.__exit__()
        self.assertRegex(self.content("found"),
                         rf"\AVIRUS {VIRUS} \d+\nUNSCANNABLE .+ \d+\n\Z")
        self.gated.stop()

    def test_once_for_a_lock(self):
        """Where the finding locks, it is run when the lock is made, and told of it."""
        lock = self.gated.directory / "lock" / "127.0.0.1"
        self.start('echo "$LOCK_FILE $LOCK_DURATION" >>told', lock_duration=600,
                   lock_on="{virus}")
        client = self.begin()                           # both are here before the lock is
        other = self.begin()
        self.assertRegex(client.submit(lab.mail(lab.EICAR))[-1], "^550")
        self.wait_ended()
        self.assertEqual(self.content("told"), f"{lock} 600\n")
        self.assertRegex(other.submit(lab.mail(lab.EICAR))[-1], "^550")
        lock.unlink()
        self.infect()
        self.wait_ended(2)
        self.gated.reload(lock_on="{}")
        lock.unlink()
        self.infect()
        self.wait_ended(3)
        for one in (client, other):
            one.__exit__()
        self.gated.stop()
        self.assertEqual(self.content("told"), f"{lock} 600\n{lock} 600\n 0\n")

    # -- the end

    def test_the_end_waits_a_moment(self):
        self.start("echo on >on\nsleep 1\necho done >done")
        self.infect()
        self.assertTrue(wait_until(lambda: self.content("on")))
        self.gated.stop()
        self.assertEqual(self.content("done"), "done\n")

    def test_an_upgrade_waits_for_all(self):
        """Those that run and those that wait: who has given way is in nobody's way."""
        self.gated.program = str(shutil.copy(PROGRAM, self.gated.directory / "smtp-gated"))
        self.start("test -e done || sleep 6; echo $SOURCE_PORT >>done", script_max=1)
        self.infect()
        self.infect()
        old = self.gated.pid
        self.gated.signal(signal.SIGUSR2)
        self.assertEqual(self.gated.process.wait(60), 0)
        self.assertEqual(len(self.content("done").split()), 2)
        self.assertTrue(wait_until(
            lambda: self.gated.pidfile.read_text().strip() not in ("", str(old))))
        self.gated.process, self.gated.pid = None, int(self.gated.pidfile.read_text())
        self.gated.stop()

    def test_the_end_waits_no_longer_than_that(self):
        self.start("trap '' TERM\necho $$ >pid\nwhile :; do sleep 0.1; done", timeout_script=600,
                   script_max=1)
        self.infect()
        pid = self.pid_in("pid")
        self.infect()                           # this one's waits
        watch = lab.Stopwatch()
        self.gated.stop()
        self.assertLess(9, watch.seconds())
        self.assertLess(watch.here(), 20)
        self.assertTrue(is_gone(pid))
        self.gated.wait_for_log('^script-failed .*text="not run: the daemon ends" dropped=1')

    @as_root
    def test_chroot(self):
        """What is run is inside, with its interpreter; there is no /dev/null."""
        jail, name = self.gated.directory / "jail", self.gated.directory.name
        libraries = re.findall(r"(/\S+) \(0x", subprocess.run(
            ["ldd", "/bin/sh"], check=True, capture_output=True, text=True).stdout)
        for path in ["/bin/sh", *libraries]:
            inside = jail / path[1:]
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(path), inside)
        for place in ("scan", "run", "records"):
            (jail / place).mkdir()
            (jail / place).chmod(0o1777)
        self.gated.report_from(jail)
        self.gated.statefile = jail / "run" / "state"
        (jail / "action").write_text(
            '#!/bin/sh\nread x; echo "$1 $FOUND" >/records/new; echo said >&2\n')
        (jail / "action").chmod(0o755)
        self.gated.configure(
            allow_root=None, set_user='"backup"', chroot_path=f'"{jail}"',
            spool_path=f'"/{name}/spool"', scan_path='"/scan"', statefile='"/run/state"',
            action_script='"/action"')
        self.gated.start()
        self.infect()
        self.gated.wait_for_log("^script .*script=/action .*exit=0")
        self.gated.wait_for_log("^script-says .*text=said")
        self.assertEqual((jail / "records" / "new").read_text(), "VIRUS VIRUS\n")
        self.gated.stop()

    def test_sample(self):
        """conf/action.sh does what it says; only its directory is another here."""
        sample = pathlib.Path(__file__).resolve().parents[2] / "conf" / "action.sh"
        text = sample.read_text()
        self.start(text.replace("notes=/run/smtp-gated/block", f"notes={self.records}/block"))
        self.infect(hello="pc.example")
        self.wait_ended()
        note = (self.records / "block" / "127.0.0.1").read_text()
        self.assertRegex(note, rf"^\d{{4}}-\S+ found=VIRUS name={VIRUS} "
                               r"helo=pc\.example from=a@client\.example\n\Z")
        self.gated.stop()


if __name__ == "__main__":
    main()
