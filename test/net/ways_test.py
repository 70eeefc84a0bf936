#!/usr/bin/python3
"""Every way in which netfilter hands a connection over, both families, in namespaces.

    ways_test.py PROGRAM [unittest arguments]

    clients 10.99.1.2    --- .1 router .1 ---    10.99.2.2 server, port 25
            fd99:1::2                             fd99:2::2
       and, public, all of                |
            198.18.1.0/24           10.99.4.0/24 --- .2 second .1 --- 10.99.5.2 server, too
            2001:db8:1::/64         fd99:4::/64                       fd99:5::2

What is for 10.99.6.0/24 and fd99:6::/64 the router and the second send to each other.
The rules are those of conf/nftables.  The gateway is an ordinary user with no more than the
capabilities that its mode keeps.
"""
import atexit
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TEST = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TEST))
import lab                              # noqa: E402
import spaces                           # noqa: E402
from spaces import inside, run, within  # noqa: E402

PROGRAM = lab.program()
NFTABLES = TEST.parent / "conf" / "nftables"
PORT = 9199
CLIENT, ROUTER, SECOND, SERVER = ALL = [f"ways-{name}-{os.getpid()}" for name in "crts"]
NET_ADMIN, NET_RAW = 1 << 12, 1 << 13


class Family:
    def __init__(self, word, net, length, public, host):
        self.word, self.length, self.public_net = word, length, public

        def address(number, node):
            return net % number + str(node)

        self.private, self.router = address(1, 2), address(1, 1)
        self.router_out, self.server = address(2, 1), address(2, 2)
        self.router_second, self.second = address(4, 1), address(4, 2)
        self.second_out, self.far = address(5, 1), address(5, 2)
        self.far_net, self.nowhere_net = address(5, 0), address(6, 0)
        self.nowhere = address(6, 6)
        self.public = host(7)
        self.clients = [host(n) for n in range(20, 170)]

    def ip(self, namespace, *command):
        run(*within(namespace), "ip", *(["-6"] if self.word == "ip6" else []), *command)

    def net(self, address):
        if self.word == "ip6" and address.endswith("::0"):
            address = address[:-1]
        return f"{address}/{self.length}"


FOUR = Family("ip", "10.99.%d.", 24, "198.18.1.0/24", lambda n: f"198.18.1.{n}")
SIX = Family("ip6", "fd99:%d::", 64, "2001:db8:1::/64", lambda n: f"2001:db8:1::{n:x}")
FAMILIES = (FOUR, SIX)

REDIRECT = """
table inet smtp_gated {
    chain translate {
        type nat hook prerouting priority dstnat; policy accept;
        iifname "lan0" tcp dport 25 redirect to :9199
    }
}
"""
SAMPLE = (NFTABLES / "tproxy.nft").read_text()
BOTH = (NFTABLES / "tproxy-netfilter.nft").read_text()
DROP = re.compile(r'(?m)^.*iifname \$from_clients tcp dport 25 drop\n')
LOCAL = re.compile(r'(?m)^.*fib daddr type local accept\n')
LOSSY = """
table inet lossy {
    chain in {
        type filter hook input priority 0; policy accept;
        tcp flags & (syn | rst) == 0 numgen random mod 25 == 0 drop
    }
}
"""


def rules(text, namespace=ROUTER, device="lan0", more=""):
    """The whole ruleset of NAMESPACE; DEVICE is where the clients are."""
    run(*within(namespace), "nft", "-f", "-", text="flush ruleset\n" +
        text.replace('"lan0"', device if device[0] == "{" else f'"{device}"') + more)


def setting(namespace, name, value):
    run(*within(namespace), "sh", "-c", f"echo '{value}' >/proc/sys/net/{name}")


def set_up():
    spaces.make(*ALL)

    def ends(one, other):
        return [[f"{getattr(family, end)}/{family.length}" for family in FAMILIES]
                for end in (one, other)]
    for near, one, far, other, addresses in (
            (CLIENT, "c0", ROUTER, "lan0", ends("private", "router")),
            (ROUTER, "r-s", SERVER, "s0", ends("router_out", "server")),
            (ROUTER, "r-t", SECOND, "t-r", ends("router_second", "second")),
            (SECOND, "t-s", SERVER, "s1", ends("second_out", "far"))):
        spaces.connect(near, one, addresses[0], far, other, addresses[1])
    setting(CLIENT, "ipv6/ip_nonlocal_bind", 1)
    for family in FAMILIES:
        net = family.net
        family.ip(CLIENT, "route", "add", "local", family.public_net, "dev", "lo")
        family.ip(CLIENT, "route", "add", "default", "via", family.router)
        family.ip(ROUTER, "route", "add", family.public_net, "via", family.private)
        for target in (family.far_net, family.nowhere_net):
            family.ip(ROUTER, "route", "add", net(target), "via", family.second)
        family.ip(SECOND, "route", "add", "default", "via", family.router_second)
        family.ip(SERVER, "route", "add", "default", "via", family.router_out)
        family.ip(SERVER, "rule", "add", "from", family.far, "lookup", "55")
        family.ip(SERVER, "route", "add", "default", "via", family.second_out, "table", "55")
        for namespace in (ROUTER, SECOND):       # as the sample says
            family.ip(namespace, "rule", "add", "fwmark", "1", "lookup", "100")
            family.ip(namespace, "route", "add", "local", "default", "dev", "lo",
                      "table", "100")
    for namespace in (ROUTER, SECOND):
        setting(namespace, "ipv4/ip_forward", 1)
        setting(namespace, "ipv6/conf/all/forwarding", 1)


sink = sink_log = None


def tear_down():
    if sink is not None:
        sink.kill()
        sink.wait()
    spaces.remove(*ALL)


def setUpModule():
    global sink, sink_log
    lab.need_root()
    lab.need_programs("ip", "nft", "nsenter", "setpriv", "conntrack", "tc")
    try:
        atexit.register(tear_down)
        set_up()
        for text in (REDIRECT, SAMPLE, BOTH):
            rules(text)
    except AssertionError as error:
        lab.skip_all(f"no network namespaces, or no TPROXY in them: {error}")
    sink_log = tempfile.NamedTemporaryFile()
    at = [f"[{address}]:25" for family in FAMILIES for address in (family.server, family.far)]
    sink = subprocess.Popen([*within(SERVER), sys.executable, str(TEST / "sink.py"), *at],
                            stdin=subprocess.DEVNULL, stdout=sink_log, stderr=sink_log,
                            preexec_fn=lab.die_with_parent)
    if not lab.wait_until(lambda: sink_words().count("listening") == len(at), 20):
        raise AssertionError("the server did not start: " + sink_words())


def sink_words():
    with open(sink_log.name, encoding="utf-8") as file:
        return file.read()


def as_user(capabilities):
    """A command that makes an ordinary user with these and no others of another."""
    caps = "".join(f",+{name}" for name in capabilities)
    return ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
            f"--inh-caps=-all{caps}", f"--ambient-caps=-all{caps}",
            f"--bounding-set=-all{caps}", "--")


def gateway(namespace=ROUTER, capabilities=("net_raw",), **config):
    return lab.Gateway(
        PROGRAM, {"set_user": '"nobody"', "port": PORT, "bind_address": '{"0.0.0.0", "::"}',
                  **config},
        under=(*within(namespace), *as_user(capabilities)))


def talk(address, source=None, port=25, seconds=120):
    with inside(CLIENT):
        sock = socket.create_connection((address, port), timeout=seconds,
                                        source_address=(source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ClientOn(sock)


class ClientOn(lab.Client):
    def __init__(self, sock):               # pylint: disable=super-init-not-called
        self.socket, self.input = sock, sock.makefile("rb")


class Case(unittest.TestCase):
    """With a gateway on the router, unless MODE is empty."""
    mode = ""
    config = {}
    capabilities = ("net_raw",)
    rules = SAMPLE

    @classmethod
    def setUpClass(cls):
        cls.gateway = None
        if cls.mode:
            cls.gateway = gateway(capabilities=cls.capabilities, mode=f'"{cls.mode}"',
                                  **cls.config)

    @classmethod
    def tearDownClass(cls):
        if cls.gateway:
            cls.gateway.stop()

    def setUp(self):
        rules(self.rules)
        self.mark()

    def mark(self):
        self.log_from = len(self.gateway.log()) if self.gateway else 0
        self.sink_from = len(sink_words())

    def sink_says(self, pattern):
        return re.search(pattern, sink_words()[self.sink_from:])

    def assertSink(self, pattern):
        self.assertTrue(lab.wait_until(lambda: self.sink_says(pattern), 10),
                        f"the server did not see: {pattern}\n{sink_words()[self.sink_from:]}")

    def assertNoServer(self):
        self.assertFalse(self.sink_says(r"(?m)^connection from \S+$"),
                         sink_words()[self.sink_from:])

    def logged(self, pattern):
        return re.findall(rf"(?m)^.*(?:{pattern}).*$", self.gateway.log()[self.log_from:])

    def assertLogged(self, pattern):
        self.assertTrue(lab.wait_until(lambda: self.logged(pattern), 10),
                        f"not logged: {pattern}\n{self.gateway.log()[self.log_from:]}")

    def refused(self, words, address, source=None, port=25):
        """One line with 554 and WORDS instead of a greeting; no server hears of it."""
        with talk(address, source, port) as client:
            self.assertRegex(client.reply(), rf"^554 .*{words}")
            self.assertEqual(client.reply(), "", "the connection is to end")
        self.assertNoServer()


class Way:
    """What every mode has to do.  CLIENTS: who comes, and whom the server sees then."""
    clients = ()
    kept = NET_RAW

    def each(self):
        for family in FAMILIES:
            for who, seen in self.clients:
                with self.subTest(f"{family.word}, {who} client"):
                    self.setUp()
                    yield family, getattr(family, who), getattr(family, seen)

    def sends(self, family, source, seen, message, between=None):
        with talk(family.server, source) as client:
            self.assertEqual(client.socket.getpeername()[0], family.server)
            self.assertRegex(client.hello(), "^250")
            if between:
                between()
            self.assertRegex(client.submit(message)[-1], r"^250 .*message \d+ taken")
            self.assertRegex(client.ask("QUIT"), "^221")
        self.assertSink(rf"message \d+ from {re.escape(seen)} COMPLETE")

    def test_clean_mail_passes(self):
        for family, source, seen in self.each():
            self.sends(family, source, seen, lab.mail(b"At noon?"))
            self.assertLogged(rf"^connect .*client=\[?{re.escape(source)}\]?:\d+ "
                              rf"server=\[?{re.escape(family.server)}\]?:25\b")

    def test_infected_mail_is_refused(self):
        for family, source, seen in self.each():
            with talk(family.server, source) as client:
                client.hello()
                self.assertRegex(client.submit(lab.infected_mail())[-1],
                                 rf"^550 .*{lab.EICAR_NAME}")
            self.assertSink(f"message from {re.escape(seen)} BROKEN OFF")
            self.assertFalse(self.sink_says("COMPLETE"))

    def test_large_mail_with_small_packets(self):
        """20 MB, the network of the clients takes no more than 1280 bytes at once."""
        def mtu(size):
            run(*within(CLIENT), "ip", "link", "set", "c0", "mtu", str(size))
            run(*within(ROUTER), "ip", "link", "set", "lan0", "mtu", str(size))
        mtu(1280)
        try:
            for family, source, seen in self.each():
                self.sends(family, source, seen, LARGE)
                self.assertSink(rf"{re.escape(seen)} COMPLETE, {len(LARGE)} bytes")
        finally:
            mtu(1500)

    def test_packets_are_lost(self):
        for family, source, seen in self.each():
            rules(self.rules, more=LOSSY)
            self.sends(family, source, seen, LOSABLE)

    def test_delay_by_netem(self):
        if not HAS_NETEM:
            self.skipTest("this kernel has no netem")
        for device in ("lan0", "r-s"):
            run(*within(ROUTER), "tc", "qdisc", "add", "dev", device, "root",
                "netem", "delay", "30ms", "10ms", "loss", "1%")
        try:
            for family, source, seen in self.each():
                self.sends(family, source, seen, LOSABLE)
        finally:
            for device in ("lan0", "r-s"):
                run(*within(ROUTER), "tc", "qdisc", "del", "dev", device, "root")

    def test_connection_tracking_is_flushed(self):
        for family, source, seen in self.each():
            self.sends(family, source, seen, lab.mail(b"At noon?"),
                       lambda: run(*within(ROUTER), "conntrack", "-F"))

    def test_no_relay_for_who_comes_straight(self):
        for family, source, _ in self.each():
            for address in (family.router, family.router_out):
                self.refused("not redirected here", address, source, PORT)
            self.assertLogged("^refuse .*why=not-redirected")

    def test_keeps_no_more_than_it_needs(self):
        status = pathlib.Path(f"/proc/{self.gateway.process.pid}/status").read_text()
        self.assertRegex(status, r"(?m)^Uid:(\t[1-9]\d*){4}$")
        for name in ("CapEff", "CapPrm"):
            self.assertEqual(int(re.search(rf"{name}:\s*(\w+)", status)[1], 16), self.kept)


LARGE = lab.mail(*lab.base64_lines(lab.random_bytes(15_000_000)), subject="large")
LOSABLE = lab.mail(*lab.base64_lines(lab.random_bytes(60_000)), subject="losable")
HAS_NETEM = subprocess.run(["unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root",
                            "netem", "delay", "1ms"], stdin=subprocess.DEVNULL,
                           capture_output=True, check=False).returncode == 0


class Netfilter(Way, Case):
    mode = "netfilter"
    rules = REDIRECT
    capabilities = ("net_admin",)
    kept = NET_ADMIN
    clients = (("public", "router_out"),)


class Tproxy(Way, Case):
    mode = "tproxy"
    clients = (("public", "public"),)

    def test_the_routers_own_address(self):
        """The rule lets it pass; without it the gateway says why it will not call there."""
        for family, source, _ in self.each():
            with self.assertRaises(ConnectionRefusedError):
                talk(family.router_out, source)
            rules(LOCAL.sub("", SAMPLE))
            self.refused("lead back here", family.router_out, source)
            self.assertLogged("^refuse .*why=loop .*fib daddr type != local")
            self.refused("not redirected here", family.router_out, source, PORT)

    def test_many_clients_at_once(self):
        clients = []
        with contextlib.ExitStack() as stack:
            for family in FAMILIES:
                for source in family.clients:
                    clients.append((source, stack.enter_context(talk(family.server, source))))
            for _, client in clients:
                self.assertRegex(client.hello(), "^250")
            for source, client in clients[::10]:
                self.assertRegex(client.submit(lab.mail(b"x"))[-1], "^250")
                self.assertSink(f"from {re.escape(source)} COMPLETE")
            for _, client in clients:
                self.assertRegex(client.ask("QUIT"), "^221")
        self.assertEqual(len(clients), 300)
        seen = re.findall(r"(?m)^connection from (\S+)$", sink_words()[self.sink_from:])
        self.assertEqual(sorted(seen), sorted(source for source, _ in clients))

    def test_replies_that_do_not_come_back(self):
        """Without the rule for what belongs to it: the log says what is missing."""
        gate = gateway(port=9200, mode="tproxy", timeout_connect=1)
        try:
            rules(re.sub("(?m)^.*socket transparent 1.*\n", "", SAMPLE)
                  .replace("gateway = 9199", "gateway = 9200"), more="""
                  table inet only_clients {
                      chain in {
                          type filter hook forward priority 0; policy drop;
                      }
                  }""")
            # The client's packets come by the same rule; what the server sends does not.
            with talk(FOUR.server, FOUR.public) as client:
                self.assertRegex(client.reply(), "^421 .*does not answer")
            self.assertTrue(gate.wait_for_log(r"^trouble .*no server has answered yet"
                                              r".*socket transparent 1"))
        finally:
            gate.stop()

    def test_no_port_is_left(self):
        for family in FAMILIES:
            with self.subTest(family.word), contextlib.ExitStack() as stack:
                with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
                    usual = file.read().strip()
                setting(ROUTER, "ipv4/ip_local_port_range", "5000 5003")
                stack.callback(setting, ROUTER, "ipv4/ip_local_port_range", usual)
                self.mark()
                for _ in range(4):
                    stack.enter_context(talk(family.server, family.public)).hello()
                with talk(family.server, family.public) as client:
                    self.assertRegex(client.reply(), "^421 .*Cannot connect")
                self.assertLogged("^trouble .*no port is left.*ip_local_port_range")
                self.assertLogged("^close .*end=connect-failed")
                with talk(family.server, family.clients[0]) as other:   # of another client
                    other.hello()

    def test_fail_closed_and_fail_open(self):
        """Nobody listens: the sample drops, without its last rule the kernel forwards."""
        for family in FAMILIES:
            with self.subTest(family.word):
                nobody = SAMPLE.replace("gateway = 9199", "gateway = 9998")
                rules(nobody)
                with self.assertRaises(TimeoutError):
                    talk(family.server, family.public, seconds=0.5)
                rules(DROP.sub("", nobody))
                with talk(family.server, family.public) as client:
                    client.hello()
                    self.assertRegex(client.submit(lab.infected_mail())[-1], "^250")


class TproxyNetfilter(Way, Case):
    mode = "tproxy,netfilter"
    rules = BOTH
    capabilities = ("net_raw", "net_admin")
    kept = NET_RAW | NET_ADMIN
    clients = (("public", "public"), ("private", "router_out"))

    def test_by_the_wrong_rule(self):
        for text, who, words in ((SAMPLE, "private", "private .*redirect, not tproxy"),
                                 (REDIRECT, "public", "public .*tproxy, not redirect")):
            for family in FAMILIES:
                with self.subTest(f"{family.word} {who}"):
                    self.mark()
                    rules(text)
                    self.refused("not redirected here", family.server, getattr(family, who))
                    self.assertLogged(f"^refuse .*not-redirected .*{words}")


class Getsockname(Way, Case):
    mode = "getsockname"
    kept = 0
    clients = (("public", "router_out"),)


class Zone(Case):
    """Connection tracking knows the clients in a zone, of which their sockets do not: it
    has to be asked itself, and in which zone."""
    mode = "netfilter"
    config = {"conntrack_zone": 5}
    capabilities = ("net_admin",)
    rules = REDIRECT + """
        table inet zones {
            chain come {
                type filter hook prerouting priority raw; policy accept;
                iifname "lan0" ct zone set 5
            }
            chain go {
                type filter hook output priority raw; policy accept;
                oifname "lan0" ct zone set 5
            }
        }"""

    def test_clean_mail_passes(self):
        for family in FAMILIES:
            with self.subTest(family.word):
                self.mark()
                with talk(family.server, family.public) as client:
                    client.hello()
                    self.assertRegex(client.submit(lab.mail(b"x"))[-1], "^250")
                self.assertSink(f"from {re.escape(family.router_out)} COMPLETE")

    def test_no_relay_for_who_comes_straight(self):
        for family in FAMILIES:
            with self.subTest(family.word):
                self.mark()
                self.refused("not redirected here", family.router, family.public, PORT)

    def test_not_without_the_option(self):
        """Which shows that it is the zone that was asked for."""
        gate = gateway(port=9202, mode="netfilter", capabilities=("net_admin",))
        try:
            rules(self.rules.replace(":9199", ":9202"))
            for family in FAMILIES:
                self.refused("not redirected here", family.server, family.public)
        finally:
            gate.stop()


class Samples(Case):
    """What nft takes as it is written: the samples, and what the manual shows."""

    def test_files_and_manual(self):
        texts = [path.read_text() for path in NFTABLES.glob("*.nft")]
        texts += re.findall(r"(?ms)^\.Bd -literal[^\n]*\n(table inet .*?)^\.Ed$",
                            (TEST.parent / "man" / "smtp-gated.8").read_text())
        self.assertGreaterEqual(len(texts), 5)
        for text in texts:
            with self.subTest(text[:400]):
                run(*within(ROUTER), "nft", "-c", "-f", "-", text=text)


# -- how it starts

class Starts(Case):
    def fails(self, pattern, capabilities, **config):
        with self.assertRaises(AssertionError) as error:
            gateway(capabilities=capabilities, **config).stop()
        self.assertRegex(str(error.exception), pattern)

    def test_without_the_capability(self):
        for mode in ("tproxy", "tproxy,netfilter"):
            self.fails(f"mode = {mode} calls servers .* needs CAP_NET_RAW: .*"
                       "AmbientCapabilities=", ("net_admin",), mode=f'"{mode}"')
        self.fails('mode = getsockname: the socket "default" .* cannot be made transparent'
                   ".*give the daemon CAP_NET_RAW", (), mode="getsockname")

    def handed(self, transparent, mode, capabilities):
        """On a socket that was handed over: systemd's Transparent=, or not."""
        with inside(ROUTER):
            handed = socket.socket(socket.AF_INET6)
        self.addCleanup(handed.close)
        if transparent:
            handed.setsockopt(socket.IPPROTO_IPV6, 75, 1)       # IPV6_TRANSPARENT
        handed.bind(("::", 9201 if transparent else 0))
        handed.listen(64)
        os.set_inheritable(handed.fileno(), True)
        script = (f"exec 3<&{handed.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; "
                  'exec "$@"')
        popen = subprocess.Popen

        def keeping(*args, **more):
            return popen(*args, pass_fds=(handed.fileno(),), **more)
        lab.subprocess.Popen = keeping
        try:
            return lab.Gateway(
                PROGRAM, {"set_user": '"nobody"', "mode": mode, "port": PORT},
                under=(*within(ROUTER), *as_user(capabilities), "/bin/sh", "-c", script,
                       "sh"))
        finally:
            lab.subprocess.Popen = popen

    def test_on_a_transparent_socket_that_was_handed_over(self):
        """Dual-stack, and its port is not the one of the configuration."""
        gate = self.handed(True, "getsockname", ())
        try:
            rules(SAMPLE.replace("gateway = 9199", "gateway = 9201"))
            for family in FAMILIES:
                with self.subTest(family.word):
                    self.mark()
                    with talk(family.server, family.public) as client:
                        client.hello()
                        self.assertRegex(client.submit(lab.mail(b"x"))[-1], "^250")
                    self.assertSink(f"from {re.escape(family.router_out)} COMPLETE")
                    self.mark()
                    self.refused("not redirected here", family.router_out, None, 9201)
        finally:
            gate.stop()

    def test_on_another_socket_that_was_handed_over(self):
        with self.assertRaises(AssertionError) as error:
            self.handed(False, "getsockname", ()).stop()
        self.assertRegex(str(error.exception), "cannot be made transparent.*Transparent=yes")
        self.handed(False, "getsockname", ("net_raw",)).stop()


# -- loops

class Loop(Case):
    """Two gateways that hand over each other's connections; and what else goes round."""

    def setUp(self):
        super().setUp()
        self.gates = []

    def tearDown(self):
        for gate in self.gates:
            gate.stop()

    def start(self, namespace, mode, **config):
        gate = gateway(namespace, mode=mode, max_connections=200,
                       capabilities=("net_raw", "net_admin"), **config)
        self.gates.append(gate)
        return gate

    def most(self, gate):
        return len(gate.logged("^connect "))

    def test_through_two_gateways(self):
        """One behind the other, and no loop: mail passes both."""
        for mode, text, seen in (("tproxy", SAMPLE, "public"),
                                 ("netfilter", REDIRECT, "second_out")):
            one, two = self.start(ROUTER, mode), self.start(SECOND, mode)
            rules(text)
            rules(text, SECOND, "t-r")
            for family in FAMILIES:
                with self.subTest(f"{mode} {family.word}"):
                    self.mark()
                    with talk(family.far, family.public) as client:
                        client.hello()
                        self.assertRegex(client.submit(lab.mail(b"x"))[-1], "^250")
                        self.assertRegex(client.submit(lab.infected_mail())[-1], "^550")
                    self.assertSink(f"from {re.escape(getattr(family, seen))} COMPLETE")
                    self.assertEqual(len(one.logged("^verdict .*clean")),
                                     len(two.logged("^verdict .*clean")))
            self.tearDown()
            self.gates = []

    def test_round_and_round(self):
        """Each sends to the other: it ends by itself, with a few sessions of each.  (With
        tproxy after one turn: the router replies to the client, not to the second.)"""
        for mode, text, least, reply in (
                ("tproxy", SAMPLE, 2, "^421 .*does not answer"),
                ("netfilter", REDIRECT, 30, "^554 .*lead back here")):
            one, two = (self.start(namespace, mode, timeout_connect=2)
                        for namespace in (ROUTER, SECOND))
            rules(text, device="{ lan0, r-t }")
            rules(text, SECOND, "t-r")
            for family in FAMILIES:
                with self.subTest(f"{mode} {family.word}"):
                    before = self.most(one) + self.most(two)
                    with talk(family.nowhere, family.public) as client:
                        self.assertRegex(client.reply(), reply)
                    turns = self.most(one) + self.most(two) - before
                    self.assertTrue(least <= turns < 70, turns)
                    ends = [line for gate in (one, two)
                            for line in gate.logged("^refuse .*why=loop .*no hops left")]
                    self.assertEqual(len(ends) > 0, mode == "netfilter", ends)
                    with talk(family.server, family.public) as client:
                        self.assertRegex(client.hello(), "^250")
            self.tearDown()
            self.gates = []

    def test_round_through_a_stranger(self):
        """One that begins with all hops anew: it may take so many sessions and no more."""
        one = self.start(ROUTER, "netfilter", max_waiting=20)
        rules(REDIRECT, device="{ lan0, r-t }")
        rules(REDIRECT, SECOND, "t-r")
        stranger = subprocess.Popen(
            [*within(SECOND), sys.executable, str(TEST / "net" / "stranger.py"), str(PORT)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=lab.die_with_parent)
        try:
            stranger.stdout.readline()
            with talk(FOUR.nowhere, FOUR.public) as client:
                self.assertRegex(client.reply(), "^421 .*Too many connections")
            self.assertEqual(self.most(one), 20)
            self.assertTrue(one.logged("^refuse .*why=too-many-waiting "))
            with talk(FOUR.server, FOUR.public) as client:
                self.assertRegex(client.hello(), "^250")
        finally:
            stranger.kill()
            stranger.wait()
            stranger.stdout.close()

    def test_what_the_router_sends_itself(self):
        """A rule that hands over the gateway's own connections: the first turn ends it."""
        one = self.start(ROUTER, "netfilter")
        rules(REDIRECT + """
            table inet too_much {
                chain out {
                    type nat hook output priority -100; policy accept;
                    tcp dport 25 redirect to :9199
                }
            }""")
        for family in FAMILIES:
            with self.subTest(family.word):
                self.mark()
                before = self.most(one)
                self.refused("lead back here", family.server, family.public)
                self.assertEqual(self.most(one), before + 1)
        self.assertEqual(len(one.logged("^refuse .*why=loop .*our own connection")), 2)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lab.main()
