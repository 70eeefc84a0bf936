#!/usr/bin/python3
"""Lists, and name servers, that die and come back: who waits for them, and for how long.

    dnsbl_rest_test.py PROGRAM [unittest arguments, as: Rest.test_name]

The lists are a script's, the name server that stops altogether is unbound.
"""
import os
import pathlib
import signal
import sys
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "dialog")]
import lab                              # noqa: E402
import mailserver                       # noqa: E402
import names as scripted                # noqa: E402
import unbound                          # noqa: E402

PROGRAM = lab.program()
QUICK = 1.0                             # no waiting for anybody, on a busy machine
LISTED = "554 gate.example Your address is on a block list: "


class Lists(scripted.Names):
    """Lists that have some addresses; one of them can be muted."""
    address = "127.0.0.1"

    def __init__(self, rows):
        self.muted, self.asked = None, []
        super().__init__(rows)

    def hear(self, packet, peer):
        name = scripted.read_question(packet)[0]
        self.asked.append(name)
        if not self.muted or not name.endswith(self.muted):
            super().hear(packet, peer)


def greetings(port, clients):
    """What each of them is told, and after how many seconds (see lab.Stopwatch: here() and
    seconds()); all at the same time."""
    told = {}

    def come(client):
        watch = lab.Stopwatch()
        with lab.Client(("127.0.0.1", port), 30) as talk:
            talk.send(f"PROXY TCP4 {client} 192.0.2.25 4000 25\r\n".encode())
            words = talk.reply().rstrip("\r\n")
            told[client] = words, watch.here(), watch.seconds()
    threads = [threading.Thread(target=come, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


class Rest(unittest.TestCase):
    def setUp(self):
        self.server = mailserver.Sink()
        self.addCleanup(self.server.close)
        self.next_client = 0

    def gateway(self, names, **options):
        made = unbound.Gateways(PROGRAM, names, self.server, log_level="info",
                                proxy_protocol_from='"127.0.0.1"', **options)
        self.addCleanup(made.stop)
        return made("it")

    def strangers(self, count):
        first, self.next_client = self.next_client + 1, self.next_client + count
        return [f"198.51.100.{number}" for number in range(first, first + count)]

    def come(self, gateway, count, least, most):
        """They are greeted by the server, after so many seconds."""
        for client, (words, here, seconds) in greetings(gateway.port, self.strangers(count)).items():
            self.assertEqual(words, "220 sink.example ESMTP", client)
            self.assertTrue(least <= seconds and here < most, f"{client} waited for {seconds:.2f} s")

    def come_until(self, gateway, pattern, seconds):
        """One after another, until the log has it.  One of them may have to wait, to try."""
        slow, end = 0, time.monotonic() + seconds
        while not gateway.logged(pattern):
            self.assertLess(time.monotonic(), end, f"never logged: {pattern}\n" + gateway.log())
            for words, waited, _ in greetings(gateway.port, self.strangers(1)).values():
                self.assertEqual(words, "220 sink.example ESMTP")
                slow += waited > QUICK
            time.sleep(0.1)
        return slow

    def test_a_list(self):
        names = Lists(["1.2.0.192.a.test A 127.0.0.2", "2.2.0.192.b.test A 127.0.0.2",
                       "3.2.0.192.a.test A 127.0.0.2"])
        self.addCleanup(names.fini)
        at = self.gateway(names, dnsbl='{"a.test", "b.test"}')
        self.come(at, 3, 0, QUICK)
        self.assertEqual(greetings(at.port, ["192.0.2.1"])["192.0.2.1"][0], LISTED + "a.test")

        names.muted = "a.test"
        self.come(at, 8, 4.5, 7)                # all at once: nobody knew
        self.assertTrue(at.wait_for_log(r"^trouble text=\"this list .* list=a\.test "
                                        r"option=dnsbl why=\"no answer in time\""))
        names.asked.clear()
        self.come(at, 10, 0, QUICK)
        os.kill(at.process.pid, signal.SIGHUP)  # and that is not forgotten
        self.assertTrue(at.wait_for_log(r"^config text=\"read again\""))
        self.come(at, 5, 0, QUICK)
        self.assertFalse([name for name in names.asked if name.endswith("a.test")])
        for client, by in (("192.0.2.2", "b.test"), ("192.0.2.1", "a.test")):
            words, seconds, _ = greetings(at.port, [client])[client]
            self.assertEqual(words, LISTED + by)        # what was known of the other holds
            self.assertLess(seconds, QUICK)

        names.muted = None
        self.assertEqual(self.come_until(at, r"^recovered text=\"this list answers again", 15), 0)
        self.assertEqual(greetings(at.port, ["192.0.2.3"])["192.0.2.3"][0], LISTED + "a.test")
        self.assertEqual(len(at.logged("^(trouble|recovered) ")), 2, at.log())

    def test_the_name_server(self):
        """SPF and names for XCLIENT ask it, too."""
        lab.need_programs("unbound")
        names = unbound.Names("127.0.0.57", ["bad.test. 3600 TXT \"v=spf1 -all\""])
        self.addCleanup(names.stop)
        at = self.gateway(names, dnsbl='{"bl.test"}', spf="incoming", on_spf_temperror="defer")
        self.come(at, 3, 0, QUICK)

        names.process.send_signal(signal.SIGSTOP)
        self.come(at, 10, 2, 5.5)
        self.assertTrue(at.wait_for_log(r"^trouble text=\"no name server answers: "))
        self.come(at, 10, 0, QUICK)
        with lab.Client(("127.0.0.1", at.port), 30) as talk:
            talk.send(b"PROXY TCP4 198.51.100.200 192.0.2.25 4000 25\r\n")
            talk.reply()
            talk.ask("EHLO client.test")
            watch = lab.Stopwatch()
            self.assertEqual(talk.ask("MAIL FROM:<ann@bad.test>")[:10], "451 4.7.24")
            self.assertLess(watch.here(), QUICK)

        names.process.send_signal(signal.SIGCONT)
        self.assertTrue(at.wait_for_log(r"^recovered text=\"name servers answer again", 10))
        self.come(at, 3, 0, QUICK)
        self.assertEqual(len(at.logged("^(trouble|recovered) ")), 2, at.log())


if __name__ == "__main__":
    lab.main()
