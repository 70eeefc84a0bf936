"""unbound with records of our own, and gateways that ask it."""
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

import lab

ZONES = """\
server:
    interface: {names}
    port: {port}
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{tmp}"
    pidfile: ""
    use-syslog: no
    log-queries: yes
    verbosity: 1
    logfile: "{tmp}/log"
    module-config: "iterator"
    local-zone: "." refuse
    local-zone: "test." static
    local-data: 'test. 3600 SOA ns.test. root.test. 1 3600 3600 3600 3600'
    local-zone: "127.in-addr.arpa." static
{records}
remote-control:
    control-enable: no
"""


def quoted(record):
    """One string of unbound's configuration; which quotes it has depends on the record."""
    return f"    local-data: '{record}'\n"


class Names:
    """unbound, its log told apart by question."""

    def __init__(self, address, records, hosts=None):
        """RECORDS as a zone file has them; HOSTS: the names of addresses."""
        self.address = address
        self.port, self.tmp = lab.free_port(address), tempfile.mkdtemp(prefix="gated-names-")
        lines = [quoted(record) for record in records if record]
        lines += [f'    local-data-ptr: "{host} {name}"\n' for host, name in (hosts or {}).items()]
        with open(self.tmp + "/conf", "w", encoding="ascii") as file:
            file.write(ZONES.format(names=address, port=self.port, tmp=self.tmp,
                                    records="".join(lines)))
        with open(self.tmp + "/words", "wb") as words:
            self.process = subprocess.Popen(
                ["unbound", "-d", "-c", self.tmp + "/conf"], stdin=subprocess.DEVNULL,
                stdout=words, stderr=words, preexec_fn=lab.die_with_parent)
        if not lab.wait_until(self.answers, 20):
            words = pathlib.Path(self.tmp + "/words").read_text("ascii", "replace")
            self.stop()
            raise AssertionError("unbound does not answer:\n" + words)

    def answers(self):
        question = bytes.fromhex("123401000001000000000000") + b"\4test\0\0\6\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.5)
            try:
                sock.connect((self.address, self.port))
                sock.send(question)
                return sock.recv(512)[:2] == question[:2]
            except OSError:
                return False

    def asked(self, name):
        log = pathlib.Path(self.tmp + "/log").read_text("ascii", "replace")
        return len(re.findall(rf"info: \S+ {re.escape(name)}\. ", log))

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.tmp, ignore_errors=True)


class Gateways:
    """Gateways between the clients of a test and SERVER, each made when it is first wanted."""

    def __init__(self, program, names, server, **usual):
        self.program, self.made = program, {}
        self.usual = {
            "allow_root": "yes", "mode": '"fixed"', "fixed_server": '"127.0.0.1"',
            "fixed_server_port": server.port, "local_servers": "yes",
            "bind_address": '{"127.0.0.1"}', "antivirus_type": "off",
            "resolver": f'{{"{names.address}"}}', "resolver_port": names.port, **usual}

    def __call__(self, name, **options):
        if name not in self.made:
            self.made[name] = lab.Gateway(self.program, {**self.usual, **options})
        return self.made[name]

    def stop(self):
        for one in self.made.values():
            one.stop()
