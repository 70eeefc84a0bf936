#!/usr/bin/python3
"""Lists of addresses in DNS, with unbound.

    dnsbl_test.py PROGRAM [unittest arguments, as: Lists.test_name]

unbound serves lists of its own on loopback and refuses all other names.  Clients come by
way of a proxy (their header is ours), for no list is asked about addresses of this machine.
"""
import pathlib
import socket
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import mailserver                       # noqa: E402
import unbound                          # noqa: E402

PROGRAM = lab.program()
NAMES = "127.0.0.55"
NIBBLES = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"

RECORDS = rf"""
1.2.0.192.bl.test. 3600 A 127.0.0.2
1.2.0.192.bl.test. 3600 TXT "https://bl.test/" "?a=1&b=2"
2.2.0.192.bl.test. 3600 A 127.0.0.10
3.2.0.192.bl.test. 3600 A 127.0.0.2
3.2.0.192.bl.test. 3600 A 127.0.0.4
3.2.0.192.wl.test. 3600 A 127.0.10.3
4.2.0.192.bl.test. 3600 A 127.255.255.254
5.2.0.192.bl.test. 1 A 127.0.0.3
{NIBBLES}.bl.test. 3600 A 127.0.0.3
{NIBBLES}.bl.test. 3600 TXT "six"
"""

names = server = gateway = None


def setUpModule():
    global names, server, gateway
    lab.need_programs("unbound")
    names = unbound.Names(NAMES, RECORDS.split("\n"))
    unittest.addModuleCleanup(names.stop)
    server = mailserver.Sink()
    unittest.addModuleCleanup(server.close)
    gateway = unbound.Gateways(PROGRAM, names, server, proxy_protocol_from='"127.0.0.1"',
                               dnsbl='{"bl.test=127.0.0.2-127.0.0.4"}',
                               dnswl='{"wl.test=127.0.0.0/16"}')
    unittest.addModuleCleanup(gateway.stop)


class Lists(unittest.TestCase):
    def greeting(self, client, at=None):
        at = at or gateway("plain")
        family, own = ("TCP6", "2001:db8::25") if ":" in client else ("TCP4", "192.0.2.25")
        with lab.Client(("127.0.0.1", at.port), 30) as talk:
            talk.send(f"PROXY {family} {client} {own} 4000 25\r\n".encode())
            return talk.reply().rstrip("\r\n")

    def test_listed(self):
        words = "554 gate.example Your address is on a block list: bl.test: "
        self.assertEqual(self.greeting("192.0.2.1"), words + "https://bl.test/?a=1&b=2")
        self.assertEqual(self.greeting("2001:db8::1"), words + "six")

    def test_not_listed(self):
        """Another answer, a white list, none at all."""
        for client in ("192.0.2.2", "192.0.2.3", "192.0.2.9", "2001:db8::2"):
            self.assertEqual(self.greeting(client), "220 sink.example ESMTP")
        self.assertTrue(gateway("plain").wait_for_log(
            r"^dnsbl .*result=spared client=192\.0\.2\.3:"))

    def test_nobody_is_asked_about_inside(self):
        self.assertEqual(self.greeting("192.168.2.1"), "220 sink.example ESMTP")
        self.assertEqual(names.asked("1.2.168.192.bl.test"), 0)

    def test_refused(self):
        """By a list that does not want us, and by a name server that does not know it."""
        self.assertEqual(self.greeting("192.0.2.4"), "220 sink.example ESMTP")
        at = gateway("strict", dnsbl='{"far.away"}', on_dnsbl_failed="defer")
        self.assertEqual(self.greeting("192.0.2.1", at),
                         "421 gate.example Local error, please try again later")
        self.assertTrue(at.wait_for_log(r'^found .*finding=dnsbl-failed name="far\.away: no'))

    def test_kept(self):
        for _ in range(3):
            self.greeting("192.0.2.8")
        self.assertEqual(names.asked("8.2.0.192.bl.test"), 1)
        self.assertEqual(self.greeting("192.0.2.5")[:3], "554")
        time.sleep(1.2)
        self.assertEqual(self.greeting("192.0.2.5")[:3], "554")
        self.assertEqual(names.asked("5.2.0.192.bl.test"), 3)   # once for a reason

    def test_name_server_is_gone(self):
        """Clients wait for less than timeout_lookup, many at a time, and get through."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.56", names.port))
            at = gateway("gone", resolver='{"127.0.0.56"}', timeout_lookup=1)
            watch, talks = lab.Stopwatch(), []
            for number in range(1, 31):
                talks.append(lab.Client(("127.0.0.1", at.port), 30))
                talks[-1].send(b"PROXY TCP4 198.51.100.%d 192.0.2.25 4000 25\r\n" % number)
            for talk in talks:
                with talk:
                    self.assertEqual(talk.reply()[:4], "220 ")
            self.assertTrue(0.8 < watch.seconds() and watch.here() < 4)
            gateway.made.pop("gone").stop()


if __name__ == "__main__":
    lab.main()
