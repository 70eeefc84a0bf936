#!/usr/bin/python3
"""SPF and the memory for answers of DNS, with unbound.

    spf_test.py PROGRAM [unittest arguments, as: Spf.test_name]

unbound serves zones of its own on loopback and can ask nobody else; clients come from
addresses in 127/8, and the server behind the gateway takes whatever it gets.
"""
import pathlib
import re
import socket
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import mailserver                       # noqa: E402
import unbound                          # noqa: E402

PROGRAM = lab.program()
NAMES = "127.0.0.53"
GOOD, NAMED, MAILER, BAD = "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"
LONG = " ".join(f"ip4:198.51.100.{number}/32" for number in range(250))

RECORDS = r"""
ip.test. 3600 TXT "v=spf1 ip4:127.0.1.1 -all"
words.test. 3600 TXT "v=spf1 ip4:127.0.1.1 -all exp=why.words.test"
why.words.test. 3600 TXT "No mail of %{o} comes from %{i}"
soft.test. 3600 TXT "v=spf1 ip4:127.0.1.1 ~all"
neutral.test. 3600 TXT "v=spf1 ip4:127.0.1.1 ?all"
wrong.test. 3600 TXT "v=spf1 ip4:127.0.1.1 oops -all"
two.test. 3600 TXT "v=spf1 -all"
two.test. 3600 TXT "v=spf1 +all"
split.test. 3600 TXT "v=spf1 ip4:127" ".0.1.1 -all"
a.test. 3600 TXT "v=spf1 a -all"
a.test. 3600 A 127.0.1.1
mx.test. 3600 TXT "v=spf1 mx -all"
mx.test. 3600 MX 10 one.mx.test.
mx.test. 3600 MX 20 two.mx.test.
one.mx.test. 3600 A 127.0.1.9
two.mx.test. 3600 A 127.0.1.3
ptr.test. 3600 TXT "v=spf1 ptr -all"
host.ptr.test. 3600 A 127.0.1.2
inc.test. 3600 TXT "v=spf1 include:a.test include:mx.test -all"
red.test. 3600 TXT "v=spf1 redirect=mx.test"
user.test. 3600 TXT "v=spf1 exists:%{l}.in.user.test -all"
ann.in.user.test. 3600 A 127.0.0.2
helo.test. 3600 TXT "v=spf1 ip4:127.0.1.1 -all"
outside.test. 3600 TXT "v=spf1 include:far.away -all"
own.test. 3600 TXT "v=spf1 ip4:127.0.2.1 -all"
fixed.test. 3600 TXT "v=spf1 ip4:203.0.113.7 -all"
short.test. 1 TXT "v=spf1 -all"
"""


def records():
    """With one that is too long for a packet."""
    strings = " ".join(f'"{part}"' for part in
                       re.findall(".{1,200}", f"v=spf1 {LONG} ip4:127.0.1.1 -all"))
    return RECORDS.split("\n") + [f"long.test. 3600 TXT {strings}"]


names = server = gateway = None


def setUpModule():
    global names, server, gateway
    lab.need_programs("unbound")
    names = unbound.Names(NAMES, records(), {"127.0.1.2": "host.ptr.test"})
    unittest.addModuleCleanup(names.stop)
    server = mailserver.Sink()
    unittest.addModuleCleanup(server.close)
    gateway = unbound.Gateways(PROGRAM, names, server, spf="incoming")
    unittest.addModuleCleanup(gateway.stop)


class Case(unittest.TestCase):
    def mail(self, sender, client=GOOD, at=None, helo="client.example"):
        """What is said to MAIL."""
        at = at or gateway("plain")
        with lab.Client(("127.0.0.1", at.port), 30, client) as talk:
            talk.reply()
            talk.ask(f"EHLO {helo}")
            reply = talk.ask(f"MAIL FROM:<{sender}>").rstrip("\r\n")
            talk.ask("RSET")
            talk.ask("QUIT")
        return reply

    def assertPasses(self, sender, client=GOOD, **more):
        self.assertEqual(self.mail(sender, client, **more), "250 2.0.0 Ok")

    def assertRefused(self, sender, client=BAD, **more):
        reply = self.mail(sender, client, **more)
        self.assertRegex(reply, r"^550 5\.7\.23 ")
        self.assertFalse(server.saw(sender), "a command that was refused got through")
        return reply


class Spf(Case):
    def test_each_mechanism(self):
        for sender, good, bad in (
                ("ann@ip.test", GOOD, BAD), ("ann@a.test", GOOD, BAD),
                ("ann@mx.test", MAILER, BAD), ("ann@ptr.test", NAMED, BAD),
                ("ann@inc.test", MAILER, BAD), ("ann@red.test", MAILER, BAD),
                ("ann@split.test", GOOD, BAD), ("ann@long.test", GOOD, BAD)):
            with self.subTest(sender):
                self.assertPasses(sender, good)
                self.assertRefused("b" + sender, bad)

    def test_macros(self):
        self.assertPasses("ann@user.test", BAD)
        self.assertRefused("bob@user.test")
        self.assertRefused('"a\\\\b c"@user.test')

    def test_words_of_the_domain(self):
        """Whose words these are is said in front of them."""
        self.assertEqual(
            self.assertRefused("ann@words.test"),
            "550 5.7.23 The sender's domain has no mail sent from here: words.test: "
            "No mail of words.test comes from 127.0.1.4")

    def test_logged(self):
        self.assertRefused("log@ip.test")
        log = gateway("plain")
        self.assertTrue(log.wait_for_log(
            r'^spf .*result=fail domain=ip\.test term=-all of=127\.0\.1\.4:\d+ '
            r'from=log@ip\.test'))
        self.assertTrue(log.wait_for_log(
            r'^found .*finding=spf .*action=refuse.* stage=mail .*from=log@ip\.test'))

    def test_bounce_is_of_helo(self):
        self.assertPasses("", GOOD, helo="helo.test")
        self.assertRegex(self.mail("", BAD, helo="helo.test"), r"^550 5\.7\.23 ")
        self.assertPasses("", BAD, helo="[127.0.1.4]")
        self.assertPasses("", BAD, helo="box")

    def test_no_policy(self):
        for sender in ("ann@nothing.test", "ann", "ann@[127.0.0.1]", "ann@test"):
            self.assertPasses(sender, BAD)

    def test_route_in_front(self):
        self.assertRegex(self.mail("@x.test,@y.test:ann@ip.test", BAD), r"^550 5\.7\.23 ")

    def test_what_passes_by_default(self):
        for sender, result in (("soft", "softfail"), ("wrong", "permerror"),
                               ("two", "permerror"), ("outside", "temperror")):
            with self.subTest(sender):
                self.assertPasses(f"ann@{sender}.test", BAD)
                self.assertTrue(gateway("plain").wait_for_log(
                    rf"^spf .*result={result} domain={sender}\.test"))
                self.assertTrue(gateway("plain").wait_for_log(
                    rf"^found .*finding=spf-{result} .*action=deliver"))

    def test_neutral_is_nothing(self):
        self.assertPasses("ann@neutral.test", BAD)
        self.assertTrue(gateway("plain").wait_for_log("^spf .*result=neutral domain=neutral"))
        self.assertEqual(gateway("plain").logged(r"^found .*@neutral\.test"), [])

    def test_actions(self):
        at = gateway("strict", on_spf="hangup", on_spf_softfail="refuse",
                     on_spf_temperror="defer", on_spf_permerror="refuse",
                     msg_spf_reject='"Not you:"', msg_spf_error='"Not clear:"')
        for sender, code in (("soft", r"550 5\.7\.23 Not you: soft\.test: softfail"),
                             ("outside", r"451 4\.7\.24 Not clear: outside\.test: DNS gave no"),
                             ("wrong", r"550 5\.7\.24 Not clear: wrong\.test: a term of"),
                             ("two", r"550 5\.7\.24 Not clear: two\.test: a domain has more")):
            with self.subTest(sender):
                self.assertRegex(self.mail(f"strict@{sender}.test", BAD, at), "^" + code)
                self.assertFalse(server.saw(f"strict@{sender}.test"))
        self.assertPasses("strict@neutral.test", BAD, at=at)
        with lab.Client(("127.0.0.1", at.port), 30, BAD) as talk:
            talk.hello()
            self.assertRegex(talk.ask("MAIL FROM:<ann@ip.test>"), "^550 ")
            self.assertEqual(talk.reply(), "")

    def test_log_only(self):
        at = gateway("shy", spf_log_only="yes")
        self.assertPasses("shy@ip.test", BAD, at=at)
        self.assertTrue(at.wait_for_log(r"^spf .*result=fail domain=ip\.test"))
        self.assertEqual(at.logged("^found "), [])

    def test_outgoing(self):
        at = gateway("out", spf="outgoing", outgoing_addr='"127.0.2.1"')
        self.assertPasses("out@own.test", BAD, at=at)
        self.assertRefused("out@ip.test", GOOD, at=at)

    def test_fixed(self):
        at = gateway("fixed", spf="fixed", spf_fixed_ip='"203.0.113.7"')
        self.assertPasses("fixed@fixed.test", BAD, at=at)
        self.assertRefused("fixed@ip.test", GOOD, at=at)

    def test_off(self):
        at = gateway("off", spf="none")
        self.assertPasses("off@ip.test", BAD, at=at)
        self.assertEqual(at.logged("^spf "), [])

    def test_pipelined(self):
        """What is behind MAIL waits with it, and keeps its order."""
        with lab.Client(("127.0.0.1", gateway("plain").port), 30, BAD) as talk:
            talk.hello()
            talk.send(b"MAIL FROM:<p1@ip.test>\r\nRCPT TO:<x@y.test>\r\n"
                      b"MAIL FROM:<p2@words.test>\r\nMAIL FROM:<p3@none.test>\r\n"
                      b"NOOP\r\nQUIT\r\n")
            self.assertEqual([talk.reply()[:3] for _ in range(6)],
                             ["550", "250", "550", "250", "250", "221"])

    def test_client_leaves_meanwhile(self):
        """Nothing is left of questions that nobody waits for."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.54", names.port))
            at = gateway("left", resolver='{"127.0.0.54"}', timeout_lookup=30)
            for number in range(20):
                with lab.Client(("127.0.0.1", at.port), 30, BAD) as talk:
                    talk.hello()
                    talk.send(b"MAIL FROM:<ann@a%d.test>\r\n" % number)
            self.assertTrue(lab.wait_until(lambda: len(at.logged("^close ")) >= 20, 10))
            gateway.made.pop("left").stop()

    def test_dns_is_silent(self):
        """MAIL waits for timeout_lookup, not for ever; then on_spf_temperror decides."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.54", names.port))
            at = gateway("slow", resolver='{"127.0.0.54"}', timeout_lookup=1)
            watch = lab.Stopwatch()
            self.assertPasses("ann@ip.test", BAD, at=at)
            self.assertTrue(0.9 < watch.seconds() and watch.here() < 4)
            gateway.made.pop("slow").stop()


class Kept(Case):
    def test_asked_once(self):
        """An answer that holds is not asked for again, nor that there is none."""
        at = gateway("kept")
        before = names.asked("ip.test"), names.asked("kept-nothing.test")
        for number in range(3):
            self.assertRefused(f"kept{number}@ip.test", at=at)
            self.assertPasses("ann@kept-nothing.test", BAD, at=at)
        self.assertEqual((names.asked("ip.test"), names.asked("kept-nothing.test")),
                         (before[0] + 1, before[1] + 1))

    def test_asked_again(self):
        at = gateway("kept")
        before = names.asked("short.test")
        self.assertRefused("kept1@short.test", at=at)
        time.sleep(1.2)
        self.assertRefused("kept2@short.test", at=at)
        self.assertEqual(names.asked("short.test"), before + 2)

    def test_not_kept(self):
        at = gateway("forgets", resolver_cache=0)
        before = names.asked("ip.test")
        for number in range(2):
            self.assertRefused(f"forgets{number}@ip.test", at=at)
        self.assertEqual(names.asked("ip.test"), before + 2)

    def test_bounds_of_time(self):
        at = gateway("bounds", resolver_ttl_min=0, resolver_ttl_max=1)
        before = names.asked("ip.test")
        self.assertRefused("bounds1@ip.test", at=at)
        time.sleep(1.2)
        self.assertRefused("bounds2@ip.test", at=at)
        self.assertEqual(names.asked("ip.test"), before + 2)


if __name__ == "__main__":
    lab.main()
