#!/usr/bin/python3
"""Modes remote-udp and remote: the gateway is one host, the router that redirects another.

    remote_test.py PROGRAM HELPER [unittest arguments]

    client 10.98.1.2 --- 10.98.1.1 router 10.98.2.1 --- 10.98.2.2 server, port 25
        fd98:1::2    --- fd98:1::1        fd98:2::1 --- fd98:2::2
                                   10.98.4.1 --- 10.98.4.2 gateway, port 9199
                                   fd98:4::1 --- fd98:4::2

The helper runs on the router as an ordinary user. The router either puts its own address in
the place of the client's (as with 1.4, it is the one to be asked then), or leaves that.
"""
import atexit
import contextlib
import functools
import hashlib
import hmac
import os
import pathlib
import re
import signal
import socket
import struct
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
HELPER = lab.reachable(sys.argv.pop(2)) if len(sys.argv) > 2 else ""
PORT = 9199
MANY = 400
KEY = "a key that nobody has guessed so far"
CLIENT, ROUTER, SERVER, GATEWAY = (f"gated-{name}-{os.getpid()}" for name in "crsg")


class Family:
    def __init__(self, word, prefix, length):
        def address(net, node):
            return prefix % net + str(node)

        self.word, self.length = word, length
        self.client, self.router_in = address(1, 2), address(1, 1)
        self.server, self.router_out = address(2, 2), address(2, 1)
        self.gateway, self.router = address(4, 2), address(4, 1)

    def endpoint(self, address, port):
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def networks(self, address):
        return f"{address}/{self.length}"


FOUR, SIX = FAMILIES = (Family("ip", "10.98.%d.", 24), Family("ip6", "fd98:%d::", 64))

DNAT = """
table inet gated {
    chain pre {
        type nat hook prerouting priority dstnat; policy accept;
        iifname "r-c" meta nfproto ipv4 tcp dport 25 dnat ip to 10.98.4.2:9199
        iifname "r-c" meta nfproto ipv6 tcp dport 25 dnat ip6 to [fd98:4::2]:9199
    }
    chain post {
        type nat hook postrouting priority srcnat; policy accept;
        MASQUERADE
    }
}
"""
HIDING = DNAT.replace("MASQUERADE", 'oifname "r-g" masquerade')
PLAIN = DNAT.replace("MASQUERADE", "")


def rules(text):
    run(*within(ROUTER), "nft", "-f", "-", text="flush ruleset\n" + text)


def set_up():
    make(CLIENT, ROUTER, SERVER, GATEWAY)
    for host, device, near, far in ((CLIENT, "c", "client", "router_in"),
                                    (SERVER, "s", "server", "router_out"),
                                    (GATEWAY, "g", "gateway", "router")):
        connect(host, device + "0", [f.networks(getattr(f, near)) for f in FAMILIES],
                ROUTER, "r-" + device, [f.networks(getattr(f, far)) for f in FAMILIES])
        for family in FAMILIES:
            run(*within(host), "ip", "route", "add", "default", "via", getattr(family, far))
    for name in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        path = "/proc/sys/net/" + name.replace(".", "/")
        run(*within(ROUTER), "sh", "-c", f"echo 1 >{path}")


def tear_down():
    if sink is not None:
        sink.kill()
        sink.wait()
    remove(CLIENT, ROUTER, SERVER, GATEWAY)


sink = sink_log = None


def setUpModule():
    global sink, sink_log
    lab.need_root()
    lab.need_programs("ip", "nft", "nsenter")
    if not os.access(HELPER, os.X_OK):
        raise AssertionError(f"no such helper: {HELPER!r}")
    try:
        atexit.register(tear_down)
        set_up()
        for text in (HIDING, PLAIN):
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


class Helper:
    """The helper on the router, as an ordinary user with one capability."""

    def __init__(self, *options, allow=("10.98.4.0/24", "fd98:4::/64")):
        self.log_file = tempfile.NamedTemporaryFile()
        allowed = [word for net in allow for word in ("--allow", net)]
        self.process = subprocess.Popen(
            [*within(ROUTER), HELPER, "--user", "nobody", *allowed, *options],
            stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file,
            preexec_fn=lab.die_with_parent)
        if not lab.wait_until(lambda: re.search("^start", self.log(), re.M)
                              or self.process.poll() is not None, 20) \
                or self.process.poll() is not None:
            raise AssertionError("the helper did not start: " + self.log())

    def log(self):
        with open(self.log_file.name, encoding="ascii", errors="backslashreplace") as file:
            return file.read()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(10)
        if code != 0 or lab.SANITIZER.search(self.log()):
            raise AssertionError(f"the helper ended with {code}:\n{self.log()}")


def secret_file(text):
    file = tempfile.NamedTemporaryFile("w")
    file.write(text + "\n")
    file.flush()
    os.chmod(file.name, 0o600)
    return file


def of_families(*families):
    """Makes one test of each: test(self, family)."""
    def decorate(test):
        @functools.wraps(test)
        def of_each(self):
            for family in families:
                with self.subTest(family.word):
                    self.setUp()
                    test(self, family)
        return of_each
    return decorate


both = of_families(FOUR, SIX)


class Case(unittest.TestCase):
    """A gateway, and a helper on the router; subclasses say how they talk."""
    config = {}
    options = ()
    ruleset = HIDING
    hidden = True           # the gateway sees the router in the place of the client

    @classmethod
    def setUpClass(cls):
        rules(cls.ruleset)
        cls.helper = cls.gateway = None
        cls.start_helper()
        try:
            cls.gateway = lab.Gateway(
                PROGRAM, {"allow_root": "yes", "port": PORT, "timeout_lookup": 2, "max_per_ident": 0,
                          "bind_address": '{"0.0.0.0", "::"}', **cls.config},
                under=within(GATEWAY))
        except AssertionError:
            cls.helper.stop()
            raise

    @classmethod
    def start_helper(cls):
        cls.helper = Helper(*cls.options)

    @classmethod
    def tearDownClass(cls):
        try:
            cls.gateway.stop()
        finally:
            cls.helper.stop()

    def setUp(self):
        self.log_from = len(self.gateway.log())
        self.sink_from = len(sink_words())

    def talk(self, address, port=25, seconds=120):
        with inside(CLIENT):
            return lab.Client((address, port), seconds=seconds)

    def sink_says(self, pattern):
        return re.search(pattern, sink_words()[self.sink_from:]) is not None

    def assertLogged(self, pattern):
        self.assertTrue(
            lab.wait_until(lambda: re.search(pattern, self.gateway.log()[self.log_from:],
                                             re.M), 10),
            f"not logged: {pattern}\n{self.gateway.log()[self.log_from:]}\n"
            f"helper:\n{self.helper.log()}")

    def passes(self, family):
        with self.talk(family.server) as client:
            client.hello()
            self.assertRegex(client.submit(lab.mail(b"At noon?", subject="lunch"))[-1],
                             r"^250 .*message \d+ taken")
            self.assertRegex(client.ask("QUIT"), r"^221")
        self.assertTrue(lab.wait_until(lambda: self.sink_says(
            rf"from {re.escape(family.gateway)} COMPLETE.*lunch"), 10), sink_words())
        seen = family.router if self.hidden else family.client
        ident = f" ident={re.escape(family.client)}$" if self.hidden else "$"
        self.assertLogged(
            rf"^connect .*client={re.escape(family.endpoint(seen, ''))}\d+ "
            rf"server={re.escape(family.endpoint(family.server, 25))}{ident}")

    def refuses_infected(self, family):
        with self.talk(family.server) as client:
            client.hello()
            self.assertRegex(client.submit(lab.infected_mail())[-1],
                             rf"^550 .*{lab.EICAR_NAME}")
        self.assertTrue(lab.wait_until(lambda: self.sink_says("BROKEN OFF"), 10))
        self.assertFalse(self.sink_says("COMPLETE"))

    def serves_many(self, family):
        """All of them hold on until the last one has its greeting."""
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.talk(family.server)) for _ in range(MANY)]
            for client in clients:
                self.assertRegex(client.reply(), "^220 ")
            print(f"{type(self).__name__} {family.word}: {MANY} sessions open at once, "
                  f"greeted in {time.monotonic() - began:.2f} s", flush=True)
            for client in clients:
                client.send(b"QUIT\r\n")
            for client in clients:
                self.assertRegex(client.reply(), "^221 ")

    def greets_quickly(self, family):
        """Not that it is quick, for machines differ: how quick is printed."""
        times = []
        for _ in range(50):
            began = time.monotonic()
            with self.talk(family.server) as client:
                self.assertRegex(client.reply(), "^220 ")
                times.append(time.monotonic() - began)
                client.ask("QUIT")
        times.sort()
        print(f"{type(self).__name__} {family.word}: from the call to the greeting "
              f"{times[25] * 1000:.2f} ms (median of 50)", flush=True)

    def turns_away_direct(self, family):
        """Through the router, but not redirected by it."""
        with self.talk(family.gateway, PORT) as client:
            self.assertRegex(client.reply(), r"^554 .*not redirected here")
        self.assertLogged("^refuse .*why=not-redirected .*helper at ")

    def fails_in_time_without_helper(self, family, within_seconds):
        self.helper.process.kill()
        self.helper.process.wait()
        try:
            watch = lab.Stopwatch()
            with self.talk(family.server) as client:
                self.assertRegex(client.reply(), "^421 ")
            took = watch.here()
            self.assertLess(took, within_seconds)
            print(f"{type(self).__name__} {family.word}: without a helper 421 after "
                  f"{took:.2f} s", flush=True)
        finally:
            type(self).start_helper()
        self.passes(family)


class UdpAsIn14(Case):
    """Version 0x0402, a number for a secret: IPv4."""
    config = {"mode": "remote-udp", "remote_udp_secret": 305419896}

    @classmethod
    def setUpClass(cls):
        cls.secret = secret_file("0x12345678")
        cls.options = ("--secret-file", cls.secret.name, "--only", "udp")
        super().setUpClass()

    def test_clean_mail_passes(self):
        self.passes(FOUR)

    def test_infected_mail_is_refused(self):
        self.refuses_infected(FOUR)

    def test_no_relay_for_who_was_not_redirected(self):
        self.turns_away_direct(FOUR)

    def test_ipv6_takes_a_key(self):
        with self.talk(SIX.server) as client:
            self.assertRegex(client.reply(), "^421 ")
        self.assertLogged("^refuse .*remote_udp_keyfile")

    def test_many(self):
        self.serves_many(FOUR)

    def test_helper_is_an_ordinary_user_with_one_capability(self):
        with open(f"/proc/{self.helper.process.pid}/status", encoding="ascii") as file:
            status = file.read()
        self.assertRegex(status, r"(?m)^Uid:(\t[1-9]\d*){4}$")
        for kind in ("Prm", "Eff"):
            self.assertRegex(status, rf"(?m)^Cap{kind}:\t0*1000$")
        self.assertRegex(status, r"(?m)^CapBnd:\t0*(1000)?$")
        for kind in ("Inh", "Amb"):
            self.assertRegex(status, rf"(?m)^Cap{kind}:\t0*$")
        self.assertRegex(status, r"(?m)^NoNewPrivs:\t1$")

    def test_wrong_secret(self):
        """The helper does not answer to it, and tells its log."""
        datagram = bytearray(question_of_14((FOUR.router, 1), (FOUR.gateway, PORT)))
        with inside(GATEWAY):
            self.assertEqual(len(ask_datagram(datagram, FOUR.router)), 66, "the right one")
            datagram[8:12] = b"\0\0\0\1"
            self.assertEqual(ask_datagram(datagram, FOUR.router), b"")
        self.assertRegex(self.helper.log(), "refuse .*wrong secret")


class Keyed(Case):
    config = {"mode": "remote-udp"}

    @classmethod
    def setUpClass(cls):
        cls.key = secret_file(KEY)
        cls.config = {**cls.config, "remote_udp_keyfile": f'"{cls.key.name}"'}
        cls.options = ("--key-file", cls.key.name, "--debug")
        super().setUpClass()

    @both
    def test_clean_mail_passes(self, family):
        self.passes(family)

    @both
    def test_infected_mail_is_refused(self, family):
        self.refuses_infected(family)

    @both
    def test_no_relay_for_who_was_not_redirected(self, family):
        self.turns_away_direct(family)

    @both
    def test_many(self, family):
        self.serves_many(family)

    def test_helper_gone(self):
        self.fails_in_time_without_helper(SIX, 4)
        self.assertLogged("^refuse .*why=lookup-timeout .*Connection refused")

    def test_time(self):
        self.greets_quickly(SIX)

    def test_0402_is_not_answered(self):
        with inside(GATEWAY):
            datagram = bytearray(question_of_14((FOUR.router, 1), (FOUR.gateway, PORT)))
            datagram[8:12] = bytes(4)
            self.assertEqual(ask_datagram(datagram, FOUR.router), b"")
        self.assertRegex(self.helper.log(), "refuse .*0x0402")

    def test_stranger_is_not_answered(self):
        with self.talk(FOUR.server) as client:
            client.hello()
            with inside(CLIENT):
                for size in (0, 1, 66, 112, 1400):
                    self.assertEqual(ask_datagram(b"R" * size, FOUR.router_in), b"")
            self.assertRegex(client.ask("NOOP"), "^250")
        self.assertRegex(self.helper.log(), 'refuse why="not allowed" client=10.98.1.2:')

    def test_one_lookup(self):
        """The time of one question and its answer, for a connection that is there."""
        with self.talk(SIX.server) as client:
            client.hello()
            asked = [line for line in self.helper.log().splitlines()
                     if line.startswith("reply ") and "fd98:4::1" in line][-1]
            port = int(re.search(r"client=\[fd98:4::1\]:(\d+)", asked)[1])
            question = question_keyed((SIX.router, port), (SIX.gateway, PORT))
            times = []
            with inside(GATEWAY), \
                    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                sock.connect((SIX.router, 114))
                for _ in range(1000):
                    began = time.monotonic()
                    sock.send(question)
                    answer = sock.recv(512)
                    times.append(time.monotonic() - began)
            self.assertEqual(len(answer), 112)
            self.assertEqual(answer[14:16], b"\0\x12", "found")
            self.assertEqual(answer[40:56], socket.inet_pton(socket.AF_INET6, SIX.server))
            times.sort()
            print(f"one lookup, keyed, IPv6: {times[500] * 1e6:.0f} us median, "
                  f"{times[990] * 1e6:.0f} us at 99 % of 1000", flush=True)


class KeyedSeen(Keyed):
    """The client keeps its address, and so the router has to be named."""
    ruleset, hidden = PLAIN, False
    config = {"mode": "remote-udp", "remote_host": '"10.98.4.1"'}
    test_one_lookup = None

    def test_helper_gone(self):
        self.fails_in_time_without_helper(FOUR, 4)


class WrongKey(Case):
    """Two keys: nobody believes anybody."""
    config = {"mode": "remote-udp"}

    @classmethod
    def setUpClass(cls):
        cls.keys = secret_file(KEY), secret_file(KEY + "!")
        cls.config = {**cls.config, "remote_udp_keyfile": f'"{cls.keys[0].name}"'}
        cls.options = ("--key-file", cls.keys[1].name)
        super().setUpClass()

    @both
    def test_is_no_key(self, family):
        watch = lab.Stopwatch()
        with self.talk(family.server) as client:
            self.assertRegex(client.reply(), "^421 .*Nobody tells")
        self.assertLess(watch.here(), 4)
        self.assertRegex(self.helper.log(), "refuse .*wrong secret or key")


class Tcp(Case):
    config = {"mode": "remote"}
    options = ("--only", "tcp")

    @both
    def test_clean_mail_passes(self, family):
        self.passes(family)

    @both
    def test_infected_mail_is_refused(self, family):
        self.refuses_infected(family)

    @both
    def test_no_relay_for_who_was_not_redirected(self, family):
        self.turns_away_direct(family)

    @both
    def test_many(self, family):
        self.serves_many(family)

    def test_helper_gone(self):
        self.fails_in_time_without_helper(FOUR, 2)
        self.assertLogged("^refuse .*why=no-route .*Connection refused")

    def test_time(self):
        self.greets_quickly(SIX)

    @both
    def test_lines(self, family):
        """What else may be said to the helper, by who is allowed and who is not."""
        for line, answer in ((b"1 , 2\r\n", b"1 , 2 : ERROR : NO-USER\r\n"),
                             (b"1,2\n", b"1 , 2 : ERROR : NO-USER\r\n"),
                             (b"hello\r\n", b""), (b"0 , 0\r\n", b""),
                             (b"x" * 4000, b""), (b"\r\n", b"")):
            with inside(GATEWAY), socket.create_connection((family.router, 114), 5) as sock:
                self.assertEqual(said(sock, line), answer, line)
        with inside(CLIENT), socket.create_connection((family.router_in, 114), 5) as sock:
            self.assertEqual(said(sock, b"1 , 2\r\n"), b"")


class TcpSeen(Tcp):
    ruleset, hidden = PLAIN, False
    config = {"mode": "remote", "remote_host": '"fd98:4::1"'}

    def test_helper_gone(self):
        self.fails_in_time_without_helper(SIX, 2)


class Limited(Case):
    """A limit for each of the clients that the router hides, and who they are."""
    config = {"mode": "remote-udp", "max_per_ident": 2, "statefile_type": "{slots}"}

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.config = {**cls.config, "statefile": f'"{cls.directory.name}/state"'}
        super().setUpClass()

    def from_another(self):
        """A session of another client; its addresses are taken away at the end."""
        with inside(CLIENT):
            client = lab.Client.__new__(lab.Client)
            client.socket = socket.create_connection((FOUR.server, 25), 20, ("10.98.1.3", 0))
            client.input = client.socket.makefile("rb")
            return client

    def test_third_session_of_one_client(self):
        run(*within(CLIENT), "ip", "addr", "add", "10.98.1.3/24", "dev", "c0")
        with self.talk(FOUR.server) as one, self.talk(FOUR.server) as two:
            self.assertRegex(one.reply(), "^220 ")
            self.assertRegex(two.reply(), "^220 ")
            with self.talk(FOUR.server) as three:
                self.assertRegex(three.reply(), "^421 .*Too many connections from you")
            self.assertLogged("^found .*finding=max-ident .*action=defer .*ident=10.98.1.2")
            with self.from_another() as other:
                self.assertRegex(other.reply(), "^220 ")
                self.assertRegex(self.state(), r"(?m) 10\.98\.4\.1 .* 10\.98\.1\.3 +\w+ default")
            self.assertRegex(one.ask("QUIT"), "^221 ")
            one.__exit__()
            self.assertLogged("^close .*end=client-quit")
            with self.talk(FOUR.server) as three:
                self.assertRegex(three.reply(), "^220 ")

    def state(self):
        path = self.directory.name + "/state"
        self.gateway.process.send_signal(signal.SIGUSR1)
        self.assertTrue(lab.wait_until(lambda: os.path.exists(path), 10))
        with open(path, encoding="ascii") as file:
            return file.read()


class Stopped(Case):
    """A helper that hangs: the kernel takes what is sent, nobody answers."""
    config = {"mode": "remote"}

    @both
    def test_times_out(self, family):
        self.helper.process.send_signal(signal.SIGSTOP)
        try:
            watch = lab.Stopwatch()
            with self.talk(family.server) as client:
                self.assertRegex(client.reply(), "^421 .*Nobody tells")
            self.assertLess(watch.here(), 4)
        finally:
            self.helper.process.send_signal(signal.SIGCONT)
        self.assertLogged("^refuse .*why=lookup-timeout .*has not answered")


def said(sock, line):
    """What comes back, to the end of it."""
    answer = b""
    try:
        sock.sendall(line)
        while more := sock.recv(4096):
            answer += more
    except ConnectionError:
        pass
    return answer


def question_of_14(client, gateway):
    return (b"RPHD" + struct.pack(">IIHH", 99, 0x12345678, 0x0402, 1)
            + socket.inet_aton(client[0]) + socket.inet_aton(gateway[0])
            + struct.pack(">HH", client[1], gateway[1]) + bytes(38))


def question_keyed(client, gateway):
    """Made by hand: that the program can talk to itself proves little."""
    text = b"RPHD" + struct.pack(">QHHHHHH", 99, 0x0500, 1, 6, client[1], gateway[1], 0)
    for host in (client[0], gateway[0]):
        text += socket.inet_pton(socket.AF_INET6, host)
    text += bytes(40)
    return text + hmac.new(KEY.encode(), text, hashlib.sha256).digest()[:16]


def ask_datagram(datagram, helper):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.3)
        sock.connect((helper, 114))
        sock.send(datagram)
        try:
            return sock.recv(512)
        except socket.timeout:
            return b""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lab.main()
