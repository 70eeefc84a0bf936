"""spamd and rspamd with rules of our own, which need nothing of the net."""
import contextlib
import glob
import os
import pwd
import re
import shutil
import signal
import socket

import lab
import scanners

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

# A word in a message gives points, in both.
RULES = """\
required_score 5
use_bayes 0
body POINTS_ONE /FOUR-POINTS/
score POINTS_ONE 4
body POINTS_TWO /THREE-POINTS/
score POINTS_TWO 3
"""

RSPAMD = """\
options {{
	filters = "";
	cache_file = "{tmp}/symbols.cache";
	hs_cache_dir = "{tmp}/";
	tempdir = "{tmp}";
	control_socket = "{tmp}/control mode=0600";
	url_tld = "{tmp}/tld";
	dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "info"; }}
worker "normal" {{
	bind_socket = "127.0.0.1:{port}";
	bind_socket = "{tmp}/socket mode=0666";
	count = 1;
}}
actions {{ reject = 15; rewrite_subject = 8; add_header = 6; greylist = 4; }}
lua = "{tmp}/local.lua";
modules {{ path = "/usr/share/rspamd/plugins/milter_headers.lua"; }}
milter_headers {{
	use = ["x-spamd-bar", "x-spam-level", "x-spam-status", "authentication-results"];
	skip_local = false;
	skip_authenticated = false;
}}
"""

# What it was told comes back as options of a symbol, into a file.
LUA = """\
local function look(task)
	local points = (task:get_subject() or ""):match("^points (%d+)")
	if points then
		task:insert_result("POINTS", tonumber(points))
	end
	if task:get_subject() == "soft" then
		task:set_pre_result("soft reject", "not now")
	end
	if task:get_header("X-Sender") == "allowed" then
		task:insert_result("R_SPF_ALLOW", 1.0, "+all")
	end
	local recipients = {}
	for _, to in ipairs(task:get_recipients("smtp") or {}) do
		table.insert(recipients, to.addr)
	end
	local from = (task:get_from("smtp") or {{addr = "?"}})[1].addr
	local told = io.open("TOLD", "a")
	told:write(table.concat({tostring(task:get_from_ip()), tostring(task:get_helo()), from,
		table.concat(recipients, ","), tostring(task:get_user()),
		tostring(task:get_queue_id()), tostring(task:get_request_header("MTA-Name")),
		tostring(task:get_size())}, "|") .. "\\n")
	told:close()
end
local id = rspamd_config:register_symbol({name = "POINTS", score = 1.0, callback = look})
rspamd_config:register_symbol({name = "R_SPF_ALLOW", type = "virtual", parent = id, score = 0.0})

-- A message may ask for more changes.
rspamd_config:register_symbol({name = "CHANGES", type = "postfilter", callback = function(task)
	if task:get_header("X-Wish") == "change" then
		task:set_milter_reply({
			add_headers = {["X-Twice"] = {{value = "a", order = 1}, {value = "b\\r\\nX-Evil: c"}}},
			remove_headers = {["X-Old"] = 0, ["X-Third"] = 3, ["X-Last"] = -1}})
	end
end})
"""


class Tree(scanners.Daemon):
    """One whose work is done by children."""

    def pids(self):
        found = [self.process.pid]
        for pid in found:
            for children in glob.glob(f"/proc/{pid}/task/*/children"):
                with open(children, encoding="ascii") as file:
                    found += [int(child) for child in file.read().split()]
        return found

    def signal(self, number):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self):
        self.signal(signal.SIGSTOP)     # so that nobody has more of them meanwhile
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.kill()
        super().stop()


class Spamd(Tree):
    def configure(self, children=3):
        self.socket, self.children = self.tmp + "/home/socket", children
        for name in ("site", "home"):
            os.mkdir(f"{self.tmp}/{name}")
        os.chmod(self.tmp + "/home", 0o777)
        for rules in glob.glob("/etc/spamassassin/*.pre"):
            shutil.copy(rules, self.tmp + "/site")
        with open(self.tmp + "/site/local.cf", "w", encoding="ascii") as file:
            file.write(RULES)

    def command(self):
        return ["spamd", "-L", "-x", "-s", "stderr", "-u", "nobody", "-H", self.tmp + "/home",
                f"--listen=127.0.0.1:{self.port}", f"--listen={self.socket}",
                f"--siteconfigpath={self.tmp}/site", "--min-children=1",
                f"--max-children={self.children}"]

    def answers(self):
        """One of its children, that is: the sockets are there before anybody listens."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(5)
                sock.connect(self.socket)
                sock.sendall(b"PING SPAMC/1.5\r\n\r\n")
                return b"PONG" in sock.recv(4096)
        except OSError:
            return False

    def sizes(self):
        """Of the messages that it has examined."""
        return [int(size) for size in re.findall(r"result: .*,size=(\d+),", self.words())]


class Rspamd(Tree):
    def configure(self):
        self.socket, self.url = self.tmp + "/socket", f"http://127.0.0.1:{self.port}"
        user = pwd.getpwnam("_rspamd")
        os.chown(self.tmp, user.pw_uid, user.pw_gid)
        for name, text in (("conf", RSPAMD.format(tmp=self.tmp, port=self.port)),
                           ("local.lua", LUA.replace("TOLD", self.tmp + "/told")),
                           ("tld", "test\n")):
            with open(f"{self.tmp}/{name}", "w", encoding="ascii") as file:
                file.write(text)

    def command(self):
        return ["rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", self.tmp + "/conf"]

    def told(self):
        """Of each message that it looked at."""
        with open(self.tmp + "/told", encoding="latin-1") as file:
            return [line.rstrip("\n").split("|") for line in file]

    def sizes(self):
        return [int(size) for size in re.findall(r"loaded message; .* size: (\d+);", self.words())]
