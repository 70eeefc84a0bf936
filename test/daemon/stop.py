#!/usr/bin/python3
"""TERM, QUIT and INT with sessions in each state; once, twice, and at the start.

    stop.py PROGRAM [unittest arguments]
"""
import contextlib
import os
import signal
import socket

from gated import Case, main, wait_until
import lab

SIGNALS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)
MANY = 100


class Deaf:
    """A server whose queue is full: calls to it are never answered."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = self.listener.getsockname()[1]
        self.callers = []
        while self.takes_another():
            pass

    def takes_another(self):
        caller = socket.socket()
        self.callers.append(caller)
        caller.settimeout(0.3)
        try:
            caller.connect(("127.0.0.1", self.port))
        except TimeoutError:
            return False
        return True

    def close(self):
        for sock in (self.listener, *self.callers):
            sock.close()


class Stop(Case):
    def start(self, **options):
        self.gated.configure(timeout_scanner=120, **options)
        self.gated.start()

    def stops_once(self, which=signal.SIGTERM):
        """No new sessions, and it waits for those under way."""
        self.gated.signal(which)
        self.gated.wait_for_log('^stop text="no new sessions; waiting')
        self.assertTrue(wait_until(lambda: not self.gated.is_listening()))
        self.assertIsNone(self.gated.process.poll())

    def stops_twice(self, which=signal.SIGTERM):
        self.stops_once(which)
        watch = lab.Stopwatch()
        self.gated.signal(which)
        self.gated.check_ended()
        self.assertLess(watch.here(), 20)

    def ended(self, *patterns):
        """Its log tells of so many ends, in this order or another."""
        lines = self.gated.logged("^close ")
        for pattern in patterns:
            found = [line for line in lines if pattern in line]
            self.assertTrue(found, f"no {pattern} in {lines}")
            lines.remove(found[0])
        self.assertEqual(lines, [])

    def is_in(self, *states):
        self.gated.configure(statefile_type="{slots}")
        self.gated.signal(signal.SIGHUP)
        self.gated.write_state()
        rows = self.gated.statefile.read_text().splitlines()[1:]
        self.assertEqual(sorted(row.split()[2] for row in rows), sorted(states))

    # -- each state; first to its good end, then twice

    def relaying(self):
        return self.begin()

    def in_body(self):
        client = self.begin()
        client.begins_mail()
        return client

    def delivering(self):
        """The server has the whole mail and says nothing."""
        self.sink.silent.set()
        self.addCleanup(self.sink.silent.clear)
        client = self.in_body()
        client.send(b"second half\r\n.\r\n")
        self.assertTrue(wait_until(lambda: self.sink.complete))
        return client

    def direct(self):
        client = self.begin()
        self.assertRegex(client.ask("STARTTLS"), "^220")
        return client

    def taken_over(self):
        client = self.begin()
        self.assertRegex(client.submit(lab.mail(lab.EICAR))[-1], "^550")
        return client

    def test_idle(self):
        for which in SIGNALS:
            with self.subTest(which):
                self.gated.start()
                self.gated.signal(which)
                self.gated.check_ended()

    def test_all_states_come_to_their_end(self):
        for which in SIGNALS:
            with self.subTest(which):
                self.gated.log_file.unlink(missing_ok=True)
                self.start()
                relaying, body, direct, taken = (
                    self.relaying(), self.in_body(), self.direct(), self.taken_over())
                del self.sink.complete[:]
                delivering = self.delivering()
                self.is_in("relaying", "body", "direct", "takeover", "delivering")
                self.stops_once(which)
                self.sink.silent.clear()
                self.assertRegex(delivering.reply(), "^250 taken")
                self.assertRegex(body.ends_mail(), "^250 taken")
                self.assertRegex(relaying.submit(lab.mail(b"last one"))[-1], "^250 taken")
                self.assertRegex(relaying.submit(lab.mail(lab.EICAR))[-1], "^550 ")
                self.assertRegex(direct.ask("NOOP"), "^250")
                for client in (relaying, body, direct, taken, delivering):
                    self.assertIsNone(self.gated.process.poll())
                    self.assertRegex(client.ask("QUIT"), "^221")
                    self.assertTrue(client.is_closed())
                    client.__exit__()
                self.gated.check_ended()
                self.assertEqual(len(self.sink.complete), 3)
                self.ended("end=client-quit", "end=client-quit", "end=takeover-quit",
                           "end=takeover-quit", "phase=direct")

    def test_all_states_twice(self):
        self.start()
        said = {"relaying": self.relaying(), "body": self.in_body(),
                "takeover": self.taken_over(), "direct": self.direct()}
        del self.sink.complete[:]
        said["delivering"] = self.delivering()
        self.is_in(*said)
        self.stops_twice()
        for state, client in said.items():
            with self.subTest(state):
                words = client.reply()
                self.assertRegex(words, "^$" if state == "direct"
                                 else "^421 .*gate.example Service is shutting down")
                self.assertTrue(client.is_closed())
        self.ended(*(f"end=shutdown phase={state}" for state in said))
        self.assertTrue(wait_until(lambda: len(self.sink.broken) >= 1))
        self.assertEqual(len(self.sink.complete), 1)    # the one that it had already

    def test_connecting(self):
        deaf = Deaf()
        self.addCleanup(deaf.close)
        self.gated.configure(fixed_server_port=deaf.port, timeout_connect=2)
        self.gated.start()
        client = self.call()
        self.gated.wait_for_log("^connect ")
        self.is_in("connecting")
        self.stops_once()
        self.assertRegex(client.reply(), "^421 .*does not answer")
        client.__exit__()
        self.gated.check_ended()
        self.gated.configure(timeout_connect=300)
        self.gated.start()
        client = self.call()
        self.gated.wait_for_log("^connect ", 2)
        self.gated.signal(signal.SIGTERM)
        self.gated.wait_for_log('^stop text="no new sessions; waiting', 2)
        self.gated.signal(signal.SIGTERM)
        self.gated.check_ended()
        self.assertRegex(client.reply(), "^421 .*shutting down")
        self.ended("end=connect-timeout phase=connecting", "end=shutdown phase=connecting")

    def judging(self):
        client = self.begin()
        client.begins_mail()
        client.send((b"x" * 70 + b"\r\n") * 200000 + b".\r\n")
        return client

    def test_judging(self):
        self.start(scan_workers=1)
        client = self.judging()
        self.stops_once()
        self.assertRegex(client.reply(), "^250 taken")
        self.assertRegex(client.ask("QUIT"), "^221")
        client.__exit__()
        self.gated.check_ended()

    def test_judging_twice(self):
        """Its dot is never sent."""
        self.start(scan_workers=1)
        client = self.judging()
        self.assertTrue(wait_until(lambda: self.judges(), pause=0))
        self.gated.signal(signal.SIGTERM)
        self.gated.signal(signal.SIGQUIT)       # another number: they do not become one
        self.gated.check_ended()
        words = client.reply()
        self.assertEqual(bool(self.sink.complete), words.startswith("250"))
        self.assertRegex(words, "^(421 .*shutting down|250 taken)")

    def judges(self):
        """A thread that scans is at work."""
        return any(thread["State"][0] == "R" for thread in self.gated.threads()
                   if thread["Name"] != "smtp-gated")

    def test_many_sessions(self):
        """All of them hear of it; none is left."""
        self.start()
        clients = [self.begin() for _ in range(MANY)]
        for client in clients[:MANY // 2]:
            client.begins_mail()
        self.stops_twice()
        for client in clients:
            self.assertRegex(client.reply(), "^421 ")
        self.assertEqual(len(self.gated.logged("^close .*end=shutdown")), MANY)
        self.assertEqual(self.sink.complete, [])

    def test_third_does_not_spoil_the_end(self):
        """However many: exit code 0, the pidfile gone."""
        self.start()
        self.begin()
        while self.gated.process.poll() is None:
            for which in SIGNALS:
                self.gated.process.send_signal(which)
        self.gated.check_ended()

    def test_blocked_and_ignored_signals_are_heard(self):
        """Whoever starts us may have left them like that."""
        def block():
            signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, signal.SIGHUP))
            for which in (*SIGNALS, signal.SIGHUP):
                signal.signal(which, signal.SIG_IGN)
        self.gated.start(before=block)
        self.gated.reload(msg_virus_found='"Look:"')
        self.assertIn("Look:", self.serves())
        self.gated.stop()


class Starting(Case):
    """While signatures load.  From a pipe they do that for as long as we like."""

    def setUp(self):
        super().setUp()
        self.pipe = self.gated.directory / "signatures" / "slow.ndb"
        os.mkfifo(self.pipe)

    def pipe_end(self):
        """-1 while nobody reads there."""
        try:
            return os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return -1

    def spawn(self):
        """The write end of the pipe, when the program reads it."""
        self.gated.spawn("-f", self.gated.file)
        end = -1

        def is_read():
            nonlocal end
            end = self.pipe_end()
            return end >= 0 or self.gated.process.poll() is not None
        self.assertTrue(wait_until(is_read))
        self.assertGreaterEqual(end, 0, self.gated.log())
        return end

    def has_started(self):
        """Some versions of libclamav read all signatures more than once."""
        end = self.pipe_end()
        if end >= 0:
            with contextlib.suppress(BrokenPipeError):  # it has read enough meanwhile
                os.write(end, b"Other-Signature:0:*:" + b"41" * 40 + b"\n")
            os.close(end)
        return self.gated.logged("^start ")

    def test_hup_does_not_kill_and_is_not_lost(self):
        pipe = self.spawn()
        self.gated.signal(signal.SIGUSR1)
        self.gated.configure(msg_virus_found='"Look:"')
        self.gated.signal(signal.SIGHUP)
        os.close(pipe)
        self.assertTrue(wait_until(self.has_started), self.gated.log())
        self.gated.wait_for_log('text="read again"')
        self.assertIn("Look:", self.serves())
        self.assertTrue(wait_until(self.gated.statefile.exists))
        self.gated.stop()

    def test_term(self):
        for which in SIGNALS:
            with self.subTest(which):
                pipe = self.spawn()
                self.gated.signal(which)
                self.assertEqual(self.gated.process.wait(20), -which)
                os.close(pipe)
                self.assertFalse(self.gated.is_listening())
                self.gated.check_reports()

    def test_next_start_after_that(self):
        pipe = self.spawn()
        self.gated.signal(signal.SIGTERM)
        self.gated.process.wait(20)
        os.close(pipe)
        self.pipe.unlink()
        self.gated.start()
        self.serves()
        self.gated.stop()


if __name__ == "__main__":
    main()
