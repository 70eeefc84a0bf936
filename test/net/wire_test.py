#!/usr/bin/python3
"""--nft and nft_alive: what becomes of mail when the daemon dies or hangs.

    wire_test.py PROGRAM [unittest arguments]

    client 10.97.1.2 --- 10.97.1.1 router 10.97.2.1 --- 10.97.2.2 server, port 25
        fd97:1::2    --- fd97:1::1        fd97:2::1 --- fd97:2::2

The router forwards: what the server sees as the client's address tells whether a connection
came through the gateway (the router's) or passed by (the client's own).
"""
import atexit
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TEST = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TEST), str(TEST / "net")]
import lab                              # noqa: E402
from spaces import connect, inside, make, remove, run, within   # noqa: E402

PROGRAM = lab.program()
TIMEOUT = 2                             # seconds: nft_timeout
SLACK = 2                               # for a busy machine
CLIENT, ROUTER, SERVER = (f"gated-w{name}-{os.getpid()}" for name in "crs")
ADDRESSES = (("10.97.1.2", "10.97.2.1", "10.97.2.2"), ("fd97:1::2", "fd97:2::1", "fd97:2::2"))
THROUGH, PASSED_BY, REFUSED = "through the gateway", "passed by", "refused"


def tear_down():
    if sink is not None:
        sink.kill()
        sink.wait()
    remove(CLIENT, ROUTER, SERVER)


def set_up():
    make(CLIENT, ROUTER, SERVER)
    connect(CLIENT, "c0", ("10.97.1.2/24", "fd97:1::2/64"),
            ROUTER, "lan0", ("10.97.1.1/24", "fd97:1::1/64"))
    connect(SERVER, "s0", ("10.97.2.2/24", "fd97:2::2/64"),
            ROUTER, "wan0", ("10.97.2.1/24", "fd97:2::1/64"))
    for space, four, six in ((CLIENT, "10.97.1.1", "fd97:1::1"),
                             (SERVER, "10.97.2.1", "fd97:2::1")):
        for router in (four, six):
            run(*within(space), "ip", "route", "add", "default", "via", router)
    for family in ("-4", "-6"):         # for tproxy
        run(*within(ROUTER), "ip", family, "rule", "add", "fwmark", "1", "lookup", "100")
        run(*within(ROUTER), "ip", family, "route", "add", "local", "default", "dev", "lo",
            "table", "100")
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        run(*within(ROUTER), "sh", "-c", f"echo 1 >/proc/sys/net/{name}")


sink = sink_log = None


def setUpModule():
    global sink, sink_log
    lab.need_root()
    lab.need_programs("ip", "nft", "nsenter")
    try:
        atexit.register(tear_down)
        set_up()
    except AssertionError as error:
        lab.skip_all(f"no network namespaces that forward: {error}")
    sink_log = tempfile.NamedTemporaryFile()
    sink = subprocess.Popen(
        [*within(SERVER), sys.executable, str(TEST / "sink.py"), "10.97.2.2:25",
         "[fd97:2::2]:25"],
        stdin=subprocess.DEVNULL, stdout=sink_log, stderr=sink_log,
        preexec_fn=lab.die_with_parent)
    if not lab.wait_until(lambda: sink_words().count("listening") == 2, 20):
        raise AssertionError("the server did not start: " + sink_words())
    for addresses in ADDRESSES:         # neighbours have to be found first
        if not lab.wait_until(lambda a=addresses: what_happens(a) == PASSED_BY, 20):
            raise AssertionError(f"the router does not forward: {addresses}")


def sink_words():
    with open(sink_log.name, encoding="utf-8") as file:
        return file.read()


def what_happens(addresses, gateway=None, is_hidden=False):
    """To one new connection.  None: nobody answers in a second.  It came through the gateway
    if that has it in its log, by the client's port: others that were begun before, and are
    taken later, do not count.  The server then sees the router's address, unless
    IS_HIDDEN; of those that passed by it sees the client's own."""
    client, router, server = addresses
    seen = len(sink_words())
    try:
        with inside(CLIENT):
            connection = socket.create_connection((server, 25), timeout=1)
    except ConnectionRefusedError:
        return REFUSED
    except TimeoutError:
        return None
    with connection:
        try:
            if not connection.recv(1):
                return None
        except (TimeoutError, ConnectionResetError):
            return None
        port = connection.getsockname()[1]
    came = gateway is not None and gateway.logged(rf"^connect .*client=\S+:{port} ")
    by = router if came and not is_hidden else client
    if not lab.wait_until(lambda: f"connection from {by}\n" in sink_words()[seen:], 30):
        return f"not from {by}: {sink_words()[seen:]}"
    return THROUGH if came else PASSED_BY


def end(pid):
    """Its port is the next one's."""
    os.kill(pid, signal.SIGTERM)
    lab.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 60)


class Wire(unittest.TestCase):
    mode = "netfilter"

    is_hidden = False

    def setUp(self):
        self.watch = lab.Stopwatch()
        self.away = 0

    def what_happens(self, addresses):
        is_there = os.path.exists(self.gateway.log_file)
        return what_happens(addresses, self.gateway if is_there else None, self.is_hidden)

    def was_away(self):
        """This machine, so long that the elements may have expired since we last asked."""
        before, self.away = self.away, self.watch.away()
        return self.away > before

    def begin(self, under=(), **options):
        self.gateway = lab.Gateway(
            PROGRAM, {"mode": self.mode, "allow_root": "yes", "port": 9199,
                      "bind_address": '{"0.0.0.0", "::"}', "nft_interfaces": "{lan0}",
                      "nft_alive": "yes", "nft_timeout": TIMEOUT, **options},
            under=(*within(ROUTER), *under))
        self.addCleanup(self.gateway.clear)

    def serve(self, fail, load=True, **options):
        """A gateway, and the rules that it prints."""
        self.begin(**options)
        self.rules = run(PROGRAM, "--nft", fail, self.gateway.directory + "/conf")
        run(*within(ROUTER), "nft", "flush", "ruleset")
        if load:
            self.load()

    def load(self):
        run(*within(ROUTER), "nft", "-f", "-", text=self.rules)

    def signal(self, which):
        self.gateway.process.send_signal(which)

    def each(self, wanted):
        for addresses in ADDRESSES:
            for _ in range(20):
                happened = self.what_happens(addresses)
                # No answer in a second is none of the three: a busy machine.
                if happened is not None and (happened == wanted or not self.was_away()):
                    break
                time.sleep(TIMEOUT / 3)
            self.assertEqual(happened, wanted)

    def comes_to(self, wanted, addresses):
        """Seconds until it does."""
        watch = lab.Stopwatch()
        self.assertTrue(lab.wait_until(lambda: self.what_happens(addresses) == wanted, 60))
        self.assertLess(watch.here(), TIMEOUT + SLACK)
        return watch.seconds()

    def ends(self, which, wanted):
        time.sleep(TIMEOUT + 0.5)               # the elements have been renewed
        self.each(THROUGH)
        self.signal(which)
        took = self.comes_to(wanted, ADDRESSES[0])
        print(f"\n{signal.Signals(which).name}: {wanted} after {took:.2f} s", file=sys.stderr)
        self.comes_to(wanted, ADDRESSES[1])

    def hangs(self, wanted):
        self.ends(signal.SIGSTOP, wanted)
        self.signal(signal.SIGCONT)
        self.comes_to(THROUGH, ADDRESSES[0])
        self.each(THROUGH)
        self.gateway.stop()

    def test_open_killed(self):
        self.serve("open")
        self.ends(signal.SIGKILL, PASSED_BY)

    def test_open_hangs(self):
        self.serve("open")
        self.hangs(PASSED_BY)

    def test_closed_killed(self):
        self.serve("closed")
        self.ends(signal.SIGKILL, REFUSED)

    def test_closed_hangs(self):
        self.serve("closed")
        self.hangs(REFUSED)

    def test_told_to_end(self):
        """Nobody waits for a timeout then."""
        self.serve("open", nft_timeout=100)
        self.each(THROUGH)
        self.gateway.stop()
        for addresses in ADDRESSES:             # long before a hundred seconds
            self.comes_to(PASSED_BY, addresses)

    def test_rules_that_come_later(self):
        self.serve("open", load=False)
        self.assertTrue(self.gateway.wait_for_log("^trouble .*nft_alive:.* why=.*No such"))
        for addresses in ADDRESSES:
            self.comes_to(PASSED_BY, addresses)
        self.load()
        self.assertTrue(self.gateway.wait_for_log("alive is renewed again"))
        time.sleep(TIMEOUT + 0.5)
        self.each(THROUGH)
        self.assertEqual(len(self.gateway.logged("cannot be renewed")), 1)
        self.gateway.stop()

    def test_loading_them_again_leaves_no_gap(self):
        self.serve("open", nft_timeout=9)
        for _ in range(5):
            self.load()
            self.each(THROUGH)
        self.gateway.stop()

    def test_closed_without_a_set(self):
        """Nobody listens: nothing to renew."""
        self.serve("closed", nft_alive="no")
        self.assertNotIn("alive", self.rules)
        self.each(THROUGH)
        self.gateway.stop()
        self.each(REFUSED)

    def test_without_the_capability(self):
        """It says so at once, and once: its rules would end without anybody noticing."""
        with self.assertRaisesRegex(AssertionError, "nft_alive: Operation not permitted; "
                                                    "give the daemon CAP_NET_ADMIN"):
            self.serve("open", under=("setpriv", "--bounding-set=-net_admin"))

    def test_open_needs_the_set(self):
        with self.assertRaisesRegex(AssertionError, "set nft_alive = yes"):
            self.serve("open", nft_alive="no")

    def test_another_process_takes_over(self):
        with tempfile.TemporaryDirectory() as directory:
            self.serve("open", pidfile=f'"{directory}/pid"')
            self.each(THROUGH)
            self.signal(signal.SIGUSR2)
            self.assertEqual(self.gateway.process.wait(30), 0)
            pid = int(pathlib.Path(directory, "pid").read_text())
            self.addCleanup(end, pid)
            until = time.monotonic() + TIMEOUT + 0.5
            while time.monotonic() < until:
                self.each(THROUGH)


class Tproxy(Wire):
    """The server sees the client's own address in any case."""
    mode = "tproxy"
    is_hidden = True

    def test_what_has_passed_by_goes_on(self):
        """A session that began while nobody was there, and lasts until somebody is."""
        self.serve("open")
        for addresses in ADDRESSES:
            self.signal(signal.SIGKILL)
            self.gateway.process.wait()
            self.comes_to(PASSED_BY, addresses)
            with inside(CLIENT):
                client = lab.Client((addresses[2], 25), seconds=20)
            with client:
                client.hello()
                self.begin()
                self.comes_to(THROUGH, addresses)
                self.assertRegex(client.submit(lab.mail(b"At noon?"))[-1], "^250 ")
        self.gateway.stop()


if __name__ == "__main__":
    lab.main()
