#!/usr/bin/python3
"""mode = netfilter on a router between a client and a server, in network namespaces.

    netfilter_test.py PROGRAM SILENT_ORIGINAL_DST.so [unittest arguments]

    client 10.99.1.2 --- 10.99.1.1 router 10.99.2.1 --- 10.99.2.2 server, port 25
        fd99:1::2    --- fd99:1::1        fd99:2::1 --- fd99:2::2
    and on the router itself 10.99.3.1 and fd99:3::1

The router does not forward: whatever reaches the server came through the gateway.
"""
import atexit
import functools
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

TEST = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TEST))
import lab                              # noqa: E402
from spaces import connect, inside, make, remove, run, within   # noqa: E402

PROGRAM = lab.program()
SILENT = os.path.abspath(sys.argv.pop(2)) if len(sys.argv) > 2 else ""
PORT = 9199
CLIENT, ROUTER, SERVER = (f"gated-{name}-{os.getpid()}" for name in ("c", "r", "s"))


class Family:
    """Who has which address in it."""

    def __init__(self, word, prefix, length, host):
        self.word, self.host = word, host

        def address(net, node):
            return prefix % net + str(node)

        self.client, self.router = address(1, 2), address(1, 1)
        self.router_out, self.server = address(2, 1), address(2, 2)
        self.router_other = address(3, 1)
        self.length = length

    def whole(self, address):
        return f"{address}/{self.length}"

    def endpoint(self, address, port):
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


FAMILIES = (Family("ip", "10.99.%d.", 24, 32), Family("ip6", "fd99:%d::", 64, 128))

REDIRECT = """
table inet gated {
    chain pre {
        type nat hook prerouting priority dstnat; policy accept;
        iifname "r-c" tcp dport 25 redirect to :9199
    }
}
"""
# Ports that only a mistake would redirect: the gateway's own.
REDIRECT_ALL = REDIRECT.replace("dport 25", "dport { 25, 9199 }")
DNAT = """
table inet gated {
    chain pre {
        type nat hook prerouting priority dstnat; policy accept;
        iifname "r-c" ip daddr 10.99.2.2 tcp dport 25 dnat ip to 10.99.3.1:9199
        iifname "r-c" ip6 daddr fd99:2::2 tcp dport 25 dnat ip6 to [fd99:3::1]:9199
    }
}
"""


def rules(text):
    run(*within(ROUTER), "nft", "-f", "-", text="flush ruleset\n" + text)


def tear_down():
    if sink is not None:
        sink.kill()
        sink.wait()
    remove(CLIENT, ROUTER, SERVER)


def set_up():
    make(CLIENT, ROUTER, SERVER)
    connect(CLIENT, "c0", [one.whole(one.client) for one in FAMILIES],
            ROUTER, "r-c", [one.whole(one.router) for one in FAMILIES])
    connect(SERVER, "s0", [one.whole(one.server) for one in FAMILIES],
            ROUTER, "r-s", [one.whole(one.router_out) for one in FAMILIES])
    for family in FAMILIES:
        run(*within(ROUTER), "ip", "addr", "add", f"{family.router_other}/{family.host}",
            "dev", "lo")
        for namespace, router in ((CLIENT, family.router), (SERVER, family.router_out)):
            run(*within(namespace), "ip", "route", "add", "default", "via", router)


sink = sink_log = None


def setUpModule():
    global sink, sink_log
    lab.need_root()
    lab.need_programs("ip", "nft", "nsenter", "setpriv")
    if not os.access(SILENT, os.R_OK):
        raise AssertionError(f"no such library: {SILENT!r}")
    try:
        atexit.register(tear_down)
        set_up()
        for text in (REDIRECT, DNAT):
            rules(text)
    except AssertionError as error:
        lab.skip_all(f"no network namespaces, or no NAT in them: {error}")
    sink_log = tempfile.NamedTemporaryFile()
    sink = subprocess.Popen(
        [*within(SERVER), sys.executable, str(TEST / "sink.py"),
         *(family.endpoint(family.server, 25) for family in FAMILIES)],
        stdin=subprocess.DEVNULL, stdout=sink_log, stderr=sink_log,
        preexec_fn=lab.die_with_parent)
    if not lab.wait_until(lambda: sink_words().count("listening") == 2, 20):
        raise AssertionError("the server did not start: " + sink_words())


def sink_words():
    with open(sink_log.name, encoding="utf-8") as file:
        return file.read()


def both_families(test):
    """Makes two of a test: test(self, family)."""
    @functools.wraps(test)
    def of_each(self):
        for family in FAMILIES:
            with self.subTest(family.word):
                self.setUp()
                test(self, family)
    return of_each


class Case(unittest.TestCase):
    """A gateway on the router."""
    config = {}
    under = ()
    environment = {}

    @classmethod
    def setUpClass(cls):
        cls.gateway = lab.Gateway(
            PROGRAM, {"mode": "netfilter", "allow_root": "yes", "port": PORT, "bind_address": '{"0.0.0.0", "::"}',
                      **cls.config},
            under=(*within(ROUTER), *cls.under),
            environment=cls.environment)

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()

    def setUp(self):
        self.log_from = len(self.gateway.log())
        self.sink_from = len(sink_words())

    def logged(self, pattern):
        return re.findall(rf"^.*(?:{pattern}).*$", self.gateway.log()[self.log_from:], re.M)

    def sink_says(self, pattern):
        return re.search(pattern, sink_words()[self.sink_from:]) is not None

    def talk(self, address, port=25):
        with inside(CLIENT):
            return lab.Client((address, port), seconds=120)

    def assertLogged(self, pattern):
        self.assertTrue(lab.wait_until(lambda: self.logged(pattern), 10),
                        f"not logged: {pattern}\n{self.gateway.log()[self.log_from:]}")

    def passes(self, family):
        with self.talk(family.server) as client:
            client.hello()
            replies = client.submit(lab.mail(b"At noon?", subject="lunch"))
            self.assertRegex(replies[-1], r"^250 .*message \d+ taken")
            self.assertRegex(client.ask("QUIT"), r"^221")
        self.assertTrue(lab.wait_until(lambda: self.sink_says(
            rf"from {re.escape(family.router_out)} COMPLETE.*lunch"), 10), sink_words())
        client, server = (re.escape(one) for one in (
            family.endpoint(family.client, ""), family.endpoint(family.server, 25)))
        self.assertLogged(rf"^connect .*client={client}\d+ .*server={server}\b")

    def refuses_infected(self, family):
        with self.talk(family.server) as client:
            client.hello()
            replies = client.submit(lab.infected_mail())
            self.assertRegex(replies[-1], rf"^550 .*{lab.EICAR_NAME}")
        self.assertTrue(lab.wait_until(lambda: self.sink_says("BROKEN OFF"), 10))
        self.assertFalse(self.sink_says("COMPLETE"))
        self.assertLogged(rf"^found .*{lab.EICAR_NAME}")

    def turns_away(self, address, port, words):
        """One line with 554 and WORDS instead of a greeting; no server hears of it."""
        with self.talk(address, port) as client:
            self.assertRegex(client.reply(), rf"^554 .*{words}")
            self.assertEqual(client.reply(), "", "the connection is to end")
        self.assertFalse(self.sink_says(r"(?m)^connection from \S+$"), sink_words()[self.sink_from:])
        self.assertLogged(r"^refuse ")


class Redirect(Case):
    @both_families
    def test_clean_mail_passes(self, family):
        rules(REDIRECT)
        self.passes(family)

    @both_families
    def test_infected_mail_is_refused(self, family):
        rules(REDIRECT)
        self.refuses_infected(family)

    @both_families
    def test_no_relay_for_who_comes_straight(self, family):
        rules(REDIRECT)
        for address in (family.router, family.router_out, family.router_other):
            self.turns_away(address, PORT, "not redirected here")

    @both_families
    def test_no_relay_without_any_rule(self, family):
        rules("")
        self.turns_away(family.router, PORT, "not redirected here")

    @both_families
    def test_no_loop(self, family):
        """The gateway's own port, dialled at another address and redirected: a connection
        there would come back."""
        rules(REDIRECT_ALL)
        for address in (family.router_out, family.router_other):
            self.turns_away(address, PORT, "lead back here")

    @both_families
    def test_no_relay_by_the_router_itself(self, family):
        """A server there would take the client for its own machine: nobody is led there."""
        rules(REDIRECT)
        for address in (family.router, family.router_other):
            self.turns_away(address, 25, "lead back here")
            self.assertLogged("text=.*would take the client for it.*local_servers")

    def test_link_local_address(self):
        """Known only with its interface: no relay, no loop, no server, and no crash."""
        rules(REDIRECT)
        shown = run(*within(ROUTER), "ip", "-6", "addr", "show", "dev", "r-c", "scope", "link")
        address = re.search(r"inet6 (fe80:\S+)/", shown).group(1) + "%c0"
        self.turns_away(address, PORT, "not redirected here")
        with self.talk(address) as client:
            self.assertRegex(client.reply(), r"^[45]\d\d ")
        rules(REDIRECT_ALL)
        with self.talk(address, PORT) as client:
            self.assertRegex(client.reply(), r"^[45]\d\d ")
        self.assertFalse(self.sink_says(r"(?m)^connection from \S+$"), sink_words()[self.sink_from:])

    def test_both_families_at_once(self):
        rules(REDIRECT)
        with self.talk(FAMILIES[0].server) as one, self.talk(FAMILIES[1].server) as two:
            for client in (one, two):
                client.hello()
            for client in (one, two, one):
                self.assertRegex(client.submit(lab.mail(b"x"))[-1], r"^250 ")


class Dnat(Case):
    @both_families
    def test_clean_mail_passes(self, family):
        rules(DNAT)
        self.passes(family)

    @both_families
    def test_infected_mail_is_refused(self, family):
        rules(DNAT)
        self.refuses_infected(family)


class OutgoingAddress(Case):
    config = {"outgoing_addr": '"10.99.3.1"'}

    def test_server_sees_it(self):
        rules(REDIRECT)
        with self.talk(FAMILIES[0].server) as client:
            client.hello()
        self.assertTrue(lab.wait_until(
            lambda: self.sink_says(r"connection from 10\.99\.3\.1\b"), 10), sink_words())

    def test_other_family_is_not_hindered(self):
        rules(REDIRECT)
        self.setUp()
        self.passes(FAMILIES[1])


# Under ASan a preloaded library comes before its own.
PRELOAD = {"LD_PRELOAD": SILENT,
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


class Conntrack(Case):
    """The socket does not tell: connection tracking is asked itself."""
    environment = PRELOAD

    @both_families
    def test_redirect(self, family):
        rules(REDIRECT)
        self.passes(family)

    @both_families
    def test_dnat(self, family):
        rules(DNAT)
        self.passes(family)

    @both_families
    def test_no_relay_for_who_comes_straight(self, family):
        rules(REDIRECT)
        self.turns_away(family.router, PORT, "not redirected here")

    @both_families
    def test_no_relay_without_any_rule(self, family):
        rules("")
        self.turns_away(family.router, PORT, "not redirected here")

    @both_families
    def test_no_loop(self, family):
        rules(REDIRECT_ALL)
        self.turns_away(family.router_out, PORT, "lead back here")


class ConntrackAsUser(Conntrack):
    """Root no more, but with the one capability that this takes."""
    config = {"set_user": '"nobody"', "allow_root": "no"}

    def test_is_the_user(self):
        with open(f"/proc/{self.gateway.process.pid}/status", encoding="ascii") as file:
            status = file.read()
        self.assertRegex(status, r"(?m)^Uid:(\t[1-9]\d*){4}$")
        self.assertRegex(status, r"(?m)^CapEff:\t0*1000$")


class WithoutCapability(Case):
    """No CAP_NET_ADMIN: REDIRECT works, for the socket tells; nothing else does."""
    under = ("setpriv", "--bounding-set=-net_admin")

    @both_families
    def test_redirect(self, family):
        rules(REDIRECT)
        self.passes(family)

    @both_families
    def test_no_relay_for_who_comes_straight(self, family):
        rules(REDIRECT)
        self.turns_away(family.router, PORT, "")


class ConntrackWithoutCapability(Case):
    under = ("setpriv", "--bounding-set=-net_admin")
    environment = PRELOAD

    @both_families
    def test_refused_and_said_once(self, family):
        rules(REDIRECT)
        for _ in range(2):
            self.turns_away(family.server, 25, "")
        said = self.gateway.logged("CAP_NET_ADMIN")
        self.assertEqual(len(said), 1, said)
        self.assertTrue(said[0].startswith("trouble "), said)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lab.main()
