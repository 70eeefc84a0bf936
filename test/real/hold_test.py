#!/usr/bin/python3
"""Messages held until they are judged, with Postfix behind: what comes of them must be what
comes of them in passing, but for the sessions, which live on after a refusal.

    hold_test.py PROGRAM [unittest arguments, as: HeldDelivery.test_big]
"""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import postfix                          # noqa: E402
import postfix_test as passing          # noqa: E402

MARK = passing.MARK
HELD = {"delivery": "hold"}
IMPATIENT = 3                           # seconds that the server waits for a command


def setUpModule():
    passing.setUpModule()
    passing.gateway.stop()
    passing.gateway = passing.new_gateway(**HELD)


def tearDownModule():
    passing.tearDownModule()


class HeldSwaks(passing.Swaks):
    pass


class HeldDelivery(passing.Delivery):
    def tearDown(self):
        self.assertEqual(len(self.logged(r"^verdict .*delivery=hold")), 1)


class HeldLoad(passing.Load):
    pass


class HeldSessions(passing.Sessions):
    """After a refusal the session goes on, and the server has seen nothing of it."""

    def test_clean_then_infected(self):
        with self.talk() as client:
            client.hello()
            for number in range(3):
                content = lab.mail(b"clean %d" % number)
                self.assertReply(client.submit(content, self.address)[-1], "250")
                self.assertReply(client.submit(lab.infected_mail(), self.address)[-1],
                                 "550 5.7.1")
            self.assertReply(client.ask("QUIT"), "221")
        self.arrived(3)
        self.assertFalse(self.logged("^takeover"))

    def test_pipelined_clean_then_infected(self):
        replies = self.group(lab.mail(b"clean"), lab.infected_mail())
        self.assertEqual([reply[:3] for reply in replies],
                         ["250", "250", "354", "250", "250", "250", "354", "550", "221"])
        self.arrived(1)

    def test_pipelined_infected_then_clean(self):
        replies = self.group(lab.infected_mail(), lab.mail(b"clean"))
        self.assertEqual([reply[:3] for reply in replies],
                         ["250", "250", "354", "550", "250", "250", "354", "250", "221"])
        self.assertIn(b"clean", self.arrived(1)[0])


class Refusals(passing.Case):
    """A server that says no at DATA, and one that does not wait."""

    def server(self, **options):
        own = postfix.Postfix(options)
        self.addCleanup(own.stop)
        held = passing.new_gateway(fixed_server_port=own.port, **HELD, hold_noop=1)
        self.addCleanup(held.stop)
        client = lab.Client(("127.0.0.1", held.port), seconds=30)
        self.addCleanup(client.__exit__)
        client.hello()
        return own, held, client

    def test_data_refused(self):
        """A bounce to two: Postfix refuses DATA, and leaves the mail open; the next mail
        would be a nested one, had it not been told to forget it."""
        own, held, client = self.server(smtpd_data_restrictions="reject_multi_recipient_bounce")
        client.ask("MAIL FROM:<>")
        for box in (self.box, self.box + "-a"):
            self.assertReply(client.ask(f"RCPT TO:<{box}@example.test>"), "250")
        self.assertReply(client.ask("DATA"), "354")
        client.send(lab.dotted(lab.mail(b"bounce")))
        self.assertReply(client.reply(), "550 5.5.3")
        self.assertReply(client.submit(lab.mail(b"next"), self.address)[-1], "250")
        self.assertReply(client.ask("QUIT"), "221")
        self.assertTrue(lab.wait_until(lambda: own.count(self.box) == 1, 30))
        self.assertIn(b"next", own.delivered(self.box)[0])
        self.assertTrue(held.logged(r"^delivered .*t=1 accepted=no code=550"))

    def test_no_valid_recipient(self):
        _, _, client = self.server()
        client.send(b"MAIL FROM:<ann@example.test>\r\nRCPT TO:<unknown@example.test>\r\nDATA\r\n")
        self.assertEqual([client.reply()[:9] for _ in range(3)],
                         ["250 2.1.0", "550 5.1.1", "554 5.5.1"])
        self.assertReply(client.submit(lab.mail(b"next"), self.address)[-1], "250")

    def send_slowly(self, client):
        """Twice as long as the server waits."""
        client.ask("MAIL FROM:<ann@example.test>")
        client.ask(f"RCPT TO:<{self.address}>")
        self.assertReply(client.ask("DATA"), "354")
        for number in range(2 * IMPATIENT):
            client.send(b"line %d\r\n" % number)
            time.sleep(1)
        client.send(b".\r\n")
        return client.reply()

    def test_a_slow_client_keeps_its_server(self):
        own, _, client = self.server(smtpd_timeout=f"{IMPATIENT}s")
        self.assertReply(self.send_slowly(client), "250")
        self.assertTrue(lab.wait_until(lambda: own.count(self.box) == 1, 30))

    def test_and_would_lose_it_otherwise(self):
        own = postfix.Postfix({"smtpd_timeout": f"{IMPATIENT}s"})
        self.addCleanup(own.stop)
        held = passing.new_gateway(fixed_server_port=own.port, **HELD, hold_noop=0)
        self.addCleanup(held.stop)
        with lab.Client(("127.0.0.1", held.port), seconds=30) as client:
            client.hello()
            self.assertReply(self.send_slowly(client), "421 4.4.2")
        self.assertEqual(own.count(self.box), 0)


if __name__ == "__main__":
    lab.main()
