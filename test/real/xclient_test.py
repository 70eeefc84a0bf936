#!/usr/bin/python3
"""Postfix behind the gateway, which tells it who its clients are; unbound knows their names.

    xclient_test.py PROGRAM [unittest arguments, as: Xclient.test_name]

All of it runs in a network namespace of its own, where the clients have addresses and names
of their own.  Three gateways are in front of one Postfix, which lets the first say XCLIENT,
the second XFORWARD, and the third neither.
"""
import ctypes
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import postfix                          # noqa: E402

PROGRAM = lab.program()
CLONE_NEWNET = 0x40000000
HERE, HERE6 = "198.51.100.1", "2001:db8::1"     # the gateways listen there
SPEAKS, FORWARDS, IS_NOBODY = "127.0.0.21", "127.0.0.22", "127.0.0.23"

NAMED, NAMED6, LIAR = "198.51.100.7", "2001:db8::7", "198.51.100.8"
NAMELESS, NO_DNS, ODD, UNWANTED = ("198.51.100.9", "198.51.100.10", "198.51.100.11",
                                   "198.51.100.66")
CLIENTS = (NAMED, LIAR, NAMELESS, NO_DNS, ODD, UNWANTED)

ZONES = """\
server:
    interface: 127.0.0.53
    port: {port}
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{tmp}"
    pidfile: ""
    use-syslog: no
    logfile: "{tmp}/log"
    module-config: "iterator"
    local-zone: "test." static
    local-data: "seven.test. A 198.51.100.7"
    local-data: "six.test. AAAA 2001:db8::99"
    local-data: "six.test. AAAA 2001:db8::7"
    local-data: "liar.test. A 198.51.100.99"
    local-zone: "100.51.198.in-addr.arpa." static
    local-data-ptr: "198.51.100.7 seven.test"
    local-data-ptr: "198.51.100.8 liar.test"
    local-data-ptr: "198.51.100.10 name.unreachable"
    local-data-ptr: "198.51.100.11 under_score.test"
    local-data-ptr: "198.51.100.66 seven.test"
    local-zone: "8.b.d.0.1.0.0.2.ip6.arpa." static
    local-data-ptr: "2001:db8::7 six.test"
remote-control:
    control-enable: no
"""

server = names = None
gateways = {}


def enter_network():
    """Nobody else is in it."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        lab.skip_all("cannot make a network namespace: " + os.strerror(ctypes.get_errno()))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (HERE, *CLIENTS):
        subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"], check=True)
    for address in (HERE6, NAMED6):
        subprocess.run(["ip", "addr", "add", address + "/128", "dev", "lo", "nodad"],
                       check=True)


class Names:
    """unbound, which knows what it is told and cannot ask anybody else."""

    def __init__(self):
        self.port, self.tmp = 53, tempfile.mkdtemp(prefix="gated-names-")
        with open(self.tmp + "/conf", "w", encoding="ascii") as file:
            file.write(ZONES.format(port=self.port, tmp=self.tmp))
        with open(self.tmp + "/resolv.conf", "w", encoding="ascii") as file:
            file.write("nameserver 127.0.0.53\n")
        with open(self.tmp + "/words", "wb") as words:
            self.process = subprocess.Popen(
                ["unbound", "-d", "-c", self.tmp + "/conf"], stdin=subprocess.DEVNULL,
                stdout=words, stderr=words, preexec_fn=lab.die_with_parent)
        if not lab.wait_until(self.answers, 20):
            self.stop()
            raise AssertionError("unbound does not answer")

    def answers(self):
        question = bytes.fromhex("123401000001000000000000") + b"\4test\0\0\6\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.5)
            try:
                sock.connect(("127.0.0.53", self.port))
                sock.send(question)
                return sock.recv(512)[:2] == question[:2]
            except OSError:
                return False

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.tmp, ignore_errors=True)


def gateway(outgoing, under=(), **options):
    config = {
        "allow_root": "yes", "mode": '"fixed+xclient"', "fixed_server": '"127.0.0.1"',
        "fixed_server_port": server.port, "outgoing_addr": f'"{outgoing}"',
        "bind_address": f'{{"{HERE}", "{HERE6}"}}', "resolver": '{"127.0.0.53"}',
        "resolver_port": names.port, "earlytalker": "no"}
    config.update(options)
    return lab.Gateway(PROGRAM, config, under)


def setUpModule():
    global server, names
    lab.need_root()
    lab.need_programs("postfix", "postconf", "smtp-source", "openssl", "saslpasswd2",
                      "unbound", "ip")
    enter_network()
    unittest.addModuleCleanup(lambda: [one.stop() for one in gateways.values()])
    names = Names()
    unittest.addModuleCleanup(names.stop)
    server = postfix.Postfix({
        "inet_protocols": "all",
        "mynetworks": f"127.0.0.0/8 198.51.100.0/24 [{NAMED6}]/128",
        "smtpd_authorized_xclient_hosts": SPEAKS,
        "smtpd_authorized_xforward_hosts": FORWARDS,
        "smtpd_delay_reject": "no",
        "smtpd_client_restrictions":
            f"check_client_access inline:{{ {{ {UNWANTED} = REJECT go away }} }}",
        "unknown_client_reject_code": "550",
        "smtpd_recipient_restrictions":
            "check_recipient_access inline:{"
            " { name@example.test = reject_unknown_client_hostname }"
            " { reverse@example.test = reject_unknown_reverse_client_hostname } }"})
    unittest.addModuleCleanup(server.stop)
    for name in (SPEAKS, FORWARDS, IS_NOBODY):
        gateways[name] = gateway(name)


class Case(unittest.TestCase):
    maxDiff = 2000
    boxes = 0

    def setUp(self):
        Case.boxes += 1
        self.box = f"box{Case.boxes}"
        self.address = f"{self.box}@example.test"
        self.log_from = len(server.log())

    def come(self, client, by=SPEAKS):
        """A client comes to a gateway."""
        where = HERE6 if ":" in client else HERE
        return lab.Client((where, gateways[by].port), 30, client)

    def logged_by_server(self):
        return server.log()[self.log_from:]

    def assertLogged(self, pattern):
        """Postfix writes its log when it has time to."""
        found = lab.wait_until(lambda: re.search(pattern, self.logged_by_server()), 10)
        self.assertTrue(found, f"no {pattern} in\n{self.logged_by_server()}")

    def arrived(self, count):
        self.assertTrue(lab.wait_until(lambda: server.count(self.box) >= count, 30),
                        server.log()[-3000:])
        mails = server.delivered(self.box)
        self.assertEqual(len(mails), count)
        return [mail.decode() for mail in mails]

    def send(self, client, by=SPEAKS):
        with self.come(client, by) as talk:
            talk.hello()
            replies = talk.submit(lab.mail(b"hello"), self.address)
            self.assertTrue(replies[-1].startswith("250"), replies)
            talk.ask("QUIT")
        return self.arrived(1)[0]

    def recipient(self, client, recipient, by=SPEAKS):
        """What the server's rules make of the client."""
        with self.come(client, by) as talk:
            talk.hello()
            talk.ask("MAIL FROM:<ann@example.test>")
            reply = talk.ask(f"RCPT TO:<{recipient}@example.test>")
            talk.ask("QUIT")
        return reply[:3]


class Xclient(Case):
    """The server takes the session for the client's own."""

    def check(self, client, seen):
        header = self.send(client)
        self.assertRegex(header, r"(?s)^.*Received: from client\.example \("
                         + re.escape(seen).replace(r"\[", r" \["))
        self.assertLogged(r"smtpd\[\d+\]: \w+: client=" + re.escape(seen))

    def test_name(self):
        self.check(NAMED, f"seven.test[{NAMED}]")

    def test_name_ipv6(self):
        header = self.send(NAMED6)
        self.assertIn(f"Received: from client.example (six.test [IPv6:{NAMED6}])", header)
        self.assertLogged(r"smtpd\[\d+\]: \w+: client=six\.test\[2001:db8::7\]")

    def test_no_name(self):
        self.check(NAMELESS, f"unknown[{NAMELESS}]")

    def test_a_name_that_belongs_to_another(self):
        self.check(LIAR, f"unknown[{LIAR}]")

    def test_a_name_that_is_none(self):
        self.check(ODD, f"unknown[{ODD}]")

    def test_dns_fails(self):
        self.check(NO_DNS, f"unknown[{NO_DNS}]")

    def test_port(self):
        with self.come(NAMED) as talk:
            talk.hello()
            port = talk.socket.getsockname()[1]
            talk.ask("QUIT")
        self.assertTrue(gateways[SPEAKS].wait_for_log(
            rf"^introduced .*by=xclient client={NAMED}:{port} name=seven\.test$"))

    def test_rules_see_the_name(self):
        """As they would without a gateway: 5yz for none, 4yz if there may be one."""
        self.assertEqual(self.recipient(NAMED, "name")[:1], "5", "unknown user")
        self.assertLogged(r"RCPT from seven\.test\[.*User unknown")
        for client, name, reverse in ((NAMELESS, "550", "550"), (ODD, "550", "550"),
                                      (LIAR, "550", None), (NO_DNS, "450", None)):
            with self.subTest(client):
                self.assertEqual(self.recipient(client, "name"), name)
                if reverse:
                    self.assertEqual(self.recipient(client, "reverse"), reverse)
                    continue
                start = len(server.log())
                self.recipient(client, "reverse")
                self.assertTrue(lab.wait_until(
                    lambda: "User unknown" in server.log()[start:], 10),
                    "the reverse name is no reason")

    def test_rules_see_the_address(self):
        """Who is not wanted is not greeted, and never heard."""
        with self.come(UNWANTED) as talk:
            talk.send(b"EHLO client.example\r\n")
            self.assertRegex(talk.reply(), r"^554 5\.7\.1 .*\[198\.51\.100\.66\].*go away")
            self.assertEqual(talk.reply(), "")
        self.assertTrue(gateways[SPEAKS].wait_for_log(
            rf"^close .*end=turned-away phase=introducing client={UNWANTED}"))

    def test_same_words_as_without(self):
        """Greeting and EHLO are the server's, but for what the gateway hides."""
        with lab.Client(("127.0.0.1", server.port)) as direct:
            greeting, offers = direct.reply(), direct.ask("EHLO client.example")
            direct.ask("QUIT")
        with self.come(NAMED) as talk:
            self.assertEqual(talk.reply(), greeting)
            hidden = ("STARTTLS", "XCLIENT", "XFORWARD")
            kept = [line[4:] for line in offers.splitlines() if line[4:] not in hidden]
            self.assertEqual([line[4:] for line in
                              talk.ask("EHLO client.example").splitlines()], kept)
            talk.ask("QUIT")

    def test_all_at_once(self):
        """A client that does not wait for the greeting loses nothing by it."""
        with self.come(NAMED) as talk:
            talk.send(b"EHLO client.example\r\nMAIL FROM:<ann@example.test>\r\n"
                      b"RCPT TO:<" + self.address.encode() + b">\r\nDATA\r\n")
            codes = [talk.reply()[:3] for _ in range(5)]
            self.assertEqual(codes, ["220", "250", "250", "250", "354"])
            talk.send(lab.dotted(lab.mail(b"in a hurry")) + b"QUIT\r\n")
            self.assertEqual([talk.reply()[:3], talk.reply()[:3]], ["250", "221"])
        self.assertIn(f"(seven.test [{NAMED}])", self.arrived(1)[0])

    def test_client_cannot(self):
        with self.come(NAMED) as talk:
            talk.hello()
            for command in ("XCLIENT ADDR=192.0.2.1", "XFORWARD ADDR=192.0.2.1", "STARTTLS"):
                self.assertEqual(talk.ask(command)[:3], "502")
            replies = talk.submit(lab.mail(b"me"), self.address)
            self.assertEqual(replies[-1][:3], "250")
            talk.ask("QUIT")
        self.assertIn(f"(seven.test [{NAMED}])", self.arrived(1)[0])

    def test_infected_is_refused(self):
        with self.come(NAMED6) as talk:
            talk.hello()
            self.assertRegex(talk.submit(lab.infected_mail(), self.address)[-1],
                             "^550 .*" + lab.EICAR_NAME)
        self.assertEqual(server.count(self.box), 0)
        self.assertTrue(gateways[SPEAKS].logged(r"^found .*client=\[2001:db8::7\]"))

    def test_many_sessions(self):
        count = 150
        subprocess.run(["smtp-source", "-f", "ann@example.test", "-t", self.address,
                        "-m", str(count), "-s", "15",
                        f"inet:{HERE}:{gateways[SPEAKS].port}"],
                       check=True, timeout=200, stdin=subprocess.DEVNULL)
        for mail in self.arrived(count):
            self.assertIn(f"[{HERE}]", mail)

    @unittest.skipUnless(subprocess.run(["unshare", "-m", "true"], check=False,
                                        stderr=subprocess.DEVNULL).returncode == 0,
                         "no mounts of its own are to be had here")
    def test_resolv_conf(self):
        """Without option resolver, the file says whom to ask."""
        mount = f'mount --bind {names.tmp}/resolv.conf /etc/resolv.conf && exec "$@"'
        gateways["plain"] = gateway(SPEAKS, ("unshare", "-m", "sh", "-c", mount, "sh"),
                                    resolver="{}")
        try:
            header = self.send(NAMED, "plain")
        finally:
            gateways.pop("plain").stop()
        self.assertIn(f"(seven.test [{NAMED}])", header)

    def test_no_name_wanted(self):
        gateways["shy"] = gateway(SPEAKS, xclient_name="no")
        try:
            self.assertEqual(self.recipient(NAMED, "name", "shy"), "550")
        finally:
            gateways.pop("shy").stop()

    def test_dns_is_silent(self):
        """The client waits for its name no longer than it has to."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.54", names.port))
            gateways["slow"] = gateway(SPEAKS, resolver='{"127.0.0.54"}', timeout_lookup=1)
            try:
                watch = lab.Stopwatch()
                self.assertEqual(self.recipient(NAMED, "name", "slow"), "450")
                self.assertLess(watch.here(), 5)
            finally:
                gateways.pop("slow").stop()


class Xforward(Case):
    """The server logs who the client is; its rules are about the gateway."""

    def come(self, client, by=FORWARDS):
        return super().come(client, by)

    def test_name(self):
        header = self.send(NAMED, FORWARDS)
        self.assertIn(f"[{FORWARDS}]", header)
        self.assertLogged(rf"client=\S*\[{FORWARDS}\], orig_client=seven\.test\[{NAMED}\]")

    def test_name_ipv6(self):
        self.send(NAMED6, FORWARDS)
        self.assertLogged(r"orig_client=six\.test\[2001:db8::7\]")

    def test_no_name(self):
        self.send(NAMELESS, FORWARDS)
        self.assertLogged(rf"orig_client=unknown\[{NAMELESS}\]")

    def test_each_mail(self):
        """Mails one after the other, after RSET, and after EHLO: Postfix forgets each time."""
        with self.come(NAMED) as talk:
            talk.hello()
            for between in ("RSET", "EHLO again.example", "MAIL FROM:<a@b>", "NOOP"):
                self.assertEqual(
                    talk.submit(lab.mail(b"x"), self.address)[-1][:3], "250")
                talk.ask(between)
                if between.startswith("MAIL"):
                    talk.ask("RSET")
            talk.ask("QUIT")
        self.arrived(4)
        lines = re.findall(r"smtpd\[\d+\]: \w+: client=.*", self.logged_by_server())
        self.assertEqual(len(lines), 4)
        for line in lines:
            self.assertRegex(line, rf"orig_client=seven\.test\[{NAMED}\]")

    def test_pipelined(self):
        group = f"MAIL FROM:<ann@example.test>\r\nRCPT TO:<{self.address}>\r\nDATA\r\n".encode()
        with self.come(NAMED) as talk:
            talk.hello()
            talk.send(b"RSET\r\n" + group)
            self.assertEqual([talk.reply()[:3] for _ in range(4)],
                             ["250", "250", "250", "354"])
            talk.send(lab.dotted(lab.mail(b"one")) + b"RSET\r\n" + group)
            self.assertEqual([talk.reply()[:3] for _ in range(5)],
                             ["250", "250", "250", "250", "354"])
            talk.send(lab.dotted(lab.mail(b"two")) + b"QUIT\r\n")
            self.assertEqual([talk.reply()[:3] for _ in range(2)], ["250", "221"])
        self.arrived(2)
        lines = re.findall(r"smtpd\[\d+\]: \w+: client=.*", self.logged_by_server())
        self.assertEqual([f"orig_client=seven.test[{NAMED}]" in line for line in lines],
                         [True, True])

    def test_nested_mail(self):
        with self.come(NAMED) as talk:
            talk.hello()
            self.assertEqual(talk.ask("MAIL FROM:<a@example.test>")[:3], "250")
            self.assertRegex(talk.ask("MAIL FROM:<b@example.test>"), "^503 .*nested MAIL")
            self.assertEqual(talk.ask("QUIT")[:3], "221")

    def test_client_cannot(self):
        with self.come(NAMED) as talk:
            offers = talk.hello()
            self.assertNotRegex(offers, "STARTTLS|XFORWARD|XCLIENT")
            for command in ("XFORWARD ADDR=192.0.2.1", "XCLIENT ADDR=192.0.2.1", "STARTTLS"):
                self.assertEqual(talk.ask(command)[:3], "502")
            talk.ask("QUIT")

    def test_many_mails_a_session(self):
        subprocess.run(["smtp-source", "-f", "ann@example.test", "-t", self.address,
                        "-m", "60", "-s", "4", "-d",
                        f"inet:{HERE}:{gateways[FORWARDS].port}"],
                       check=True, timeout=200, stdin=subprocess.DEVNULL)
        self.arrived(60)
        lines = re.findall(r"smtpd\[\d+\]: \w+: client=.*", self.logged_by_server())
        self.assertEqual(len(lines), 60)
        self.assertEqual({"orig_client=unknown[198.51.100.1]" in line for line in lines},
                         {True})


class Nobody(Case):
    """The server lets this gateway say nothing: no client is served in its name."""

    def test_refused(self):
        with self.come(NAMED, IS_NOBODY) as talk:
            talk.send(b"EHLO client.example\r\nMAIL FROM:<ann@example.test>\r\n")
            self.assertRegex(talk.reply(), "^421 gate.example The mail server does not let us")
            self.assertEqual(talk.reply(), "")
        self.assertTrue(gateways[IS_NOBODY].wait_for_log(
            rf"^trouble .*smtpd_authorized_xclient_hosts.*gateway={IS_NOBODY}:\d+ "))
        self.assertNotIn("client.example", self.logged_by_server())


if __name__ == "__main__":
    lab.main()
