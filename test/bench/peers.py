"""What stands between load and sink: configurations and processes; for run.py here."""

import os
import re
import signal
import socket
import subprocess
import time

HAPROXY_CONFIG = """
global
    nbthread 1
    maxconn {maxconn}
defaults
    mode tcp
    maxconn {maxconn}
    timeout connect 10s
    timeout client 10m
    timeout server 10m
listen smtp
    bind 127.0.0.1:{port} backlog 4096
    server sink 127.0.0.1:{sink}
"""

GATEWAY_CONFIG = """
bind_address = {{ "127.0.0.1" }}
port = {port}
mode = "fixed"
fixed_server = "127.0.0.1"
fixed_server_port = {sink}
pidfile = ""
allow_root = yes
connect_queue = 4096
max_connections = {maxconn}
max_per_host = 0
spool_path = "{work}/spool"
lock_duration = 0
antivirus_type = "{antivirus}"
signature_path = "{work}/signatures"
scan_path = "{work}/scan"
nat_header_type = none
scan_cache = 0
"""

# What checks of clients and commands cost a session with one mail: each group of them alone,
# then all together.  Limits are so high, and expressions such, that nobody is refused.
COSTS = {
    "none": "",
    "limits": "max_per_host = 100000\nmax_load = 1000\nsize_limit = 100M\n",
    "locks": 'lock_duration = 3600\nlock_path = "{work}/locks"\n',
    "rates": 'ratelimit_path = "{work}/rates.{kind}"\nratelimit_period = 3600\n'
             "ratelimit_connections = 900000000\nratelimit_messages = 900000000\n"
             "ratelimit_recipients = 900000000\nratelimit_bytes = 1000000G\n"
             "ratelimit_mailfrom_rejects = 1000\nratelimit_rcptto_rejects = 1000\n"
             "ratelimit_auth_rejects = 1000\nratelimit_dst_expiration = 3600\n",
    "regex": 'regex_enforce_helo = "[a-z]"\nregex_reject_helo = "^localhost$"\n'
             'regex_enforce_mail_from = "@"\nregex_reject_mail_from = "\\\\.invalid$"\n'
             'regex_enforce_rcpt_to = "@"\nregex_reject_rcpt_to = "[!%].*@"\n',
    "talk": "earlytalker = yes\nauth_require = ifsupported\n",
    "header": "nat_header_type = generic\n",
}
COSTS["all"] = "".join(COSTS.values())

# Ways of delivery.  Messages are too large for the scanner and pass: all of them are stored,
# and none waits for a scan, which would hide the rest.
WAYS = {
    "stream": "delivery = stream\n",
    "hold": "delivery = hold\n",
    "headers": "delivery = hold\nresult_headers = {{virus, auth, spam}}\n",
}
WAY_CONFIG = "scan_max_size = 1024\non_unscannable = pass\n"


class Failure(Exception):
    """Something did not run as it must; the message says what."""


def free_port():
    """A port below the range that the kernel gives to clients, so that it stays free."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        lowest = int(file.read().split()[0])
    for port in range(20000 + os.getpid() % 5000, lowest):
        if port in free_port.given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        free_port.given.add(port)
        return port
    raise Failure("no free port")


free_port.given = set()


def values(line):
    """The key=value of a line, numbers as numbers."""
    found = {}
    for key, value in re.findall(r"(\w+)=(\S+)", line):
        found[key] = float(value) if re.fullmatch(r"[\d.]+", value) else value
    return found


class Daemon:
    """A process that stands between load and sink (or is the sink)."""

    def __init__(self, name, argv, log, **more):
        self.name = name
        self.log_path = log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(argv, stderr=output, **more)
        self.pid = self.process.pid
        self.port = None

    def log(self, offset=0):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            file.seek(offset)
            return file.read()

    def wait_open(self, port):
        """Waits for the banner of the sink to come through."""
        self.port = port
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up:
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended at its start:\n{self.log()[-3000:]}")
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as probe:
                    if probe.recv(512).startswith(b"220"):
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise Failure(f"{self.name} does not serve:\n{self.log()[-3000:]}")

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_kb(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Sink(Daemon):
    def __init__(self, program, work):
        super().__init__("sink", [program], f"{work}/sink.log",
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.wait_open(int(values(self.process.stdout.readline().decode())["port"]))

    def counts(self):
        self.process.stdin.write(b"?\n")
        self.process.stdin.flush()
        return values(self.process.stdout.readline().decode())
