#!/usr/bin/python3
"""The PROXY protocol: HAProxy in front of the gateway, Postfix behind it.

    haproxy_test.py PROGRAM [unittest arguments, as: Named.test_ipv6]

Clients come from 127.0.0.77 to HAProxy, which calls the gateway from 127.0.0.1, and so does
the gateway Postfix: who still knows 127.0.0.77 has it from a header.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import postfix                          # noqa: E402

PROGRAM = lab.program()
CLIENT = "127.0.0.77"
HAPROXY = """\
global
    maxconn 400
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
"""

server = haproxy = None
gateways = {}


class HAProxy:
    """FRONTS: name -> (bind, lines, server line)."""

    def __init__(self, fronts):
        self.directory = tempfile.mkdtemp(prefix="gated-haproxy-")
        with open(self.directory + "/conf", "w", encoding="ascii") as file:
            file.write(HAPROXY)
            for name, (bind, lines, target) in fronts.items():
                file.write(f"listen {name}\n    bind {bind}\n{lines}    server s {target}\n")
        self.words = self.directory + "/words"
        with open(self.words, "wb") as words:
            self.process = subprocess.Popen(
                ["haproxy", "-db", "-f", self.directory + "/conf"], stdout=words,
                stderr=words, stdin=subprocess.DEVNULL, preexec_fn=lab.die_with_parent)

    def log(self):
        with open(self.words, encoding="ascii", errors="replace") as file:
            return file.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)


def start_gateway(name, **config):
    gateways[name] = lab.Gateway(PROGRAM, {
        "allow_root": "yes", "mode": "fixed", "fixed_server": '"127.0.0.1"',
        "fixed_server_port": server.proxied_port,
        "proxy_protocol_from": '{"127.0.0.1/32", "::1"}', **config})
    return gateways[name].port


PORTS = {name: lab.free_port() for name in
         ("v1", "v2", "six", "mapped", "headerless", "local", "meant", "circle")}


def open_fronts():
    """Gateways, and the ways to them."""
    one = start_gateway("one", send_proxy="v1")
    two = start_gateway("two", send_proxy="v2")
    hasty = start_gateway("hasty", timeout_proxy=1)
    meant = start_gateway("meant", mode="netfilter", fixed_server='""', send_proxy="v2",
                          local_servers="yes")
    circle = start_gateway("circle", fixed_server_port=PORTS["circle"], send_proxy="no")
    to_server = ("    tcp-request connection set-dst ipv4(127.0.0.1)\n"
                 f"    tcp-request connection set-dst-port int({server.proxied_port})\n")
    return HAProxy({
        "v1": (f"127.0.0.1:{PORTS['v1']}", "", f"127.0.0.1:{one} send-proxy"),
        "v2": (f"127.0.0.1:{PORTS['v2']}", "", f"127.0.0.1:{two} send-proxy-v2"),
        "six": (f"[::1]:{PORTS['six']}", "", f"127.0.0.1:{one} send-proxy-v2"),
        "mapped": (f":::{PORTS['mapped']} v4v6", "", f"127.0.0.1:{two} send-proxy"),
        "headerless": (f"127.0.0.1:{PORTS['headerless']}", "", f"127.0.0.1:{hasty}"),
        "local": (f"127.0.0.1:{PORTS['local']}", "    option smtpchk EHLO balancer.example\n",
                  f"127.0.0.1:{two} send-proxy-v2 check check-send-proxy inter 300"),
        "meant": (f"127.0.0.1:{PORTS['meant']}", to_server,
                  f"127.0.0.1:{meant} send-proxy-v2"),
        "circle": (f"127.0.0.1:{PORTS['circle']}", "", f"127.0.0.1:{circle} send-proxy"),
    })


def setUpModule():
    global server, haproxy
    lab.need_root()
    lab.need_programs("haproxy", "postfix", "postconf", "openssl", "saslpasswd2",
                      "smtp-source")
    server = postfix.Postfix()
    try:
        haproxy = open_fronts()
        if not lab.wait_until(lambda: answers("v1"), 20):
            raise AssertionError("HAProxy does not serve:\n" + haproxy.log())
    except BaseException:
        tearDownModule()
        raise


def answers(front):
    try:
        with lab.Client(("127.0.0.1", PORTS[front]), seconds=5) as client:
            return client.reply().startswith("220")
    except OSError:
        return False


def tearDownModule():
    if haproxy:
        haproxy.stop()
    try:
        for gateway in gateways.values():
            gateway.stop()
    finally:
        server.stop()


class Case(unittest.TestCase):
    boxes = 0

    def setUp(self):
        Case.boxes += 1
        self.box = f"box{Case.boxes}"
        self.address = f"{self.box}@example.test"

    def talk(self, front, host="127.0.0.1", source=CLIENT):
        return lab.Client((host, PORTS[front]), seconds=30, source=source)

    def arrived(self, count=1):
        came = lab.wait_until(lambda: server.count(self.box) >= count, 30)
        self.assertTrue(came, f"{server.count(self.box)} of {count} mails have arrived\n"
                        + server.log()[-3000:])
        mails = server.delivered(self.box)
        self.assertEqual(len(mails), count)
        return mails


class Named(Case):
    """Postfix sees the client, through both of us, and the log names it."""

    def check(self, front, gateway, client, destination, host="127.0.0.1", source=CLIENT):
        with self.talk(front, host, source) as talk:
            port = talk.socket.getsockname()[1]
            talk.hello()
            self.assertRegex(talk.submit(lab.mail(b"Hello"), self.address)[-1], "^250")
            talk.ask("QUIT")
        self.assertIn(f"[{client}])\n".encode(), self.arrived()[0])
        self.assertTrue(gateways[gateway].wait_for_log(
            rf"^connect .*client={destination}:{port} .*via=127\.0\.0\.1:\d+ header=tcp$"))
        self.assertTrue(gateways[gateway].wait_for_log(
            rf"^close .*client={destination}:{port} .*delivered=1$"))

    def test_v1_and_v1(self):
        self.check("v1", "one", CLIENT, re.escape(CLIENT))

    def test_v2_and_v2(self):
        self.check("v2", "two", CLIENT, re.escape(CLIENT))

    def test_ipv6(self):
        self.check("six", "one", "IPv6:::1", r"\[::1\]", "::1", "::1")

    def test_ipv4_on_a_socket_of_ipv6(self):
        self.check("mapped", "two", CLIENT, re.escape(CLIENT))

    def test_the_destination_is_the_proxys_word(self):
        self.check("meant", "meant", CLIENT, re.escape(CLIENT))
        self.assertTrue(gateways["meant"].logged(
            rf"^connect .*server=127\.0\.0\.1:{server.proxied_port} via="))

    def test_infected_is_refused(self):
        with self.talk("v2") as talk:
            talk.hello()
            self.assertRegex(talk.submit(lab.infected_mail(), self.address)[-1],
                             f"^550 .*{lab.EICAR_NAME}")
        self.assertTrue(gateways["two"].wait_for_log(
            rf"^found .*client={re.escape(CLIENT)}:"))
        self.assertEqual(server.count(self.box), 0)

    def test_many_at_once(self):
        subprocess.run(
            ["smtp-source", "-f", "ann@example.test", "-t", self.address, "-m", "200",
             "-s", "20", "-l", "4000", f"inet:127.0.0.1:{PORTS['v2']}"],
            check=True, timeout=100, stdin=subprocess.DEVNULL)
        self.arrived(200)


class Unnamed(Case):
    def test_health_checks_are_no_clients(self):
        """HAProxy finds the gateway alive, and says LOCAL each time."""
        self.assertTrue(gateways["two"].wait_for_log(
            r"^connect .*client=(127\.0\.0\.1:\d+) .*via=\1 header=local$"))
        self.assertFalse(gateways["two"].logged(r"^refuse "))
        with self.talk("local") as talk:
            self.assertRegex(talk.reply(), "^220")

    def test_without_a_header(self):
        """A proxy that sends none is not served: the client gets no word of anybody."""
        with self.talk("headerless") as talk:
            self.assertEqual(talk.reply(), "")
        self.assertTrue(gateways["hasty"].wait_for_log(
            r"^refuse .*why=proxy-header client=127\.0\.0\.1:\d+ text=\"nothing came"))
        with self.talk("headerless") as talk:
            talk.send(b"EHLO client.example\r\n")
            self.assertEqual(talk.reply(), "")
        self.assertTrue(gateways["hasty"].wait_for_log(r"^refuse .*begins=\"EHLO client"))

    def test_in_a_circle(self):
        """fixed_server is the proxy before us: the second time we know our own call."""
        with self.talk("circle") as talk:
            self.assertRegex(talk.reply(), "^554 .*lead back here")
        gateway = gateways["circle"]
        self.assertTrue(gateway.wait_for_log(
            r"^refuse .*why=loop .*text=\"the proxy was called by this gateway\""))
        self.assertEqual(len(gateway.logged(r"^connect ")), 1)


if __name__ == "__main__":
    lab.main()
