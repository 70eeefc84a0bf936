#!/usr/bin/python3
"""What a flood of clients cannot have: the place of others, and the last descriptors.

    limits.py PROGRAM [unittest arguments]
"""
import contextlib
import os
import pathlib
import resource
import signal
import socket
import tempfile
import threading
import time

from gated import Case, Client, IS_SHADOWED, main, wait_until
import lab

FLOOD = 5000
ATTACKER, HONEST = "127.0.0.66", "127.0.0.7"


def flood(port, count, source=ATTACKER):
    """Sockets that say nothing: those that were not refused by then."""
    idle = []
    for _ in range(count):
        one = socket.socket()
        one.bind((source, 0))
        one.settimeout(10)
        one.connect(("127.0.0.1", port))
        idle.append(one)
    return idle


def first_words(sockets):
    """What each has been told; nothing, if that is still to come."""
    words = []
    for one in sockets:
        one.settimeout(0)
        try:
            words.append(one.recv(200).decode())
        except OSError:
            words.append("")
    return words


@contextlib.contextmanager
def load_average(count=40):
    """Raises it by COUNT without using the processor: those who wait, as for a disk, for a
    child that cannot begin, count as well."""
    with tempfile.TemporaryDirectory() as directory:
        fifo = f"{directory}/fifo"
        os.mkfifo(fifo)
        waiting = []
        for _ in range(count):
            child = os.fork()
            if child == 0:
                lab.die_with_parent()
                os.posix_spawn("/bin/true", ["true"], {}, file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, fifo, os.O_RDONLY, 0)])
                os._exit(0)
            waiting.append(child)
        try:
            yield
        finally:
            writer = os.open(fifo, os.O_RDWR)
            for child in waiting:
                os.waitpid(child, 0)
            os.close(writer)


class Limits(Case):
    def setUp(self):
        super().setUp()
        self.gated.configure(lock_on="never")
        self.floods = []
        self.addCleanup(self.end_flood)

    def end_flood(self):
        for one in self.floods:
            one.close()
        self.floods = []

    def honest(self):
        """What another client hears when it submits a mail."""
        client = Client(self.gated, source=HONEST)
        self.addCleanup(client.__exit__)
        greeting = client.reply()
        if not greeting.startswith("220"):
            return greeting
        self.assertRegex(client.ask("EHLO honest.example"), "^250")
        last = client.submit(lab.mail(b"among thousands"))[-1]
        client.__exit__()
        return last

    def flood(self, count):
        self.floods += flood(self.gated.port, count)

    def test_idle_sockets_of_one_client_leave_room_for_another(self):
        self.gated.configure(max_connections=100, max_per_host=20)
        self.gated.start()
        used, begun = self.processor_seconds(), time.monotonic()
        self.flood(FLOOD)
        self.assertRegex(self.honest(), "^250 taken")
        took, used = time.monotonic() - begun, self.processor_seconds() - used
        print(f"{FLOOD} sockets of one client: {took:.1f} s, {used * 1e6 / FLOOD:.0f} us each")
        words = first_words(self.floods)
        refused = [text for text in words if text.startswith(
            "421 gate.example Too many connections from your host, please try again later\r\n")]
        greeted = [text for text in words if text.startswith("220 ")]
        self.assertGreaterEqual(len(greeted), 20)
        self.assertLessEqual(len(greeted), 28)
        self.assertEqual(len(refused) + len(greeted), FLOOD)
        # Few lines say so, and together they count all of them.
        lines = self.gated.logged("^refuse .*why=max_per_host")
        self.assertLess(len(lines), 10)
        state = self.gated.write_state()
        self.assertGreaterEqual(int(state["refused_host"]), FLOOD - 28)
        self.end_flood()
        self.gated.stop()

    def test_without_the_limit_it_would_not(self):
        self.gated.configure(max_connections=100, max_per_host=0)
        self.gated.start()
        self.flood(100)
        self.assertRegex(self.honest(), "^421 gate.example Too many connections, please")
        self.end_flood()
        self.gated.stop()

    def test_a_high_load_keeps_clients_out(self):
        limit = int(os.getloadavg()[0]) + 2
        self.gated.configure(max_load=limit)
        self.gated.start()
        self.assertRegex(self.honest(), "^250 taken")
        with load_average():
            if not wait_until(lambda: os.getloadavg()[0] > limit, 20, 0.2):
                self.skipTest("the load average does not rise here")
            time.sleep(1.1)                 # it is asked for once a second
            refusal = self.honest()
            self.gated.reload(on_load="pass")
            self.assertRegex(self.honest(), "^250 taken")
        self.assertRegex(refusal, "^421 gate.example .*(load|busy)")
        self.assertRegex(self.gated.logged("^found .*finding=load")[0],
                         rf'name="\d+\.\d+, limit {limit}" action=defer stage=connect')
        self.gated.reload(max_load=1000)
        self.assertRegex(self.honest(), "^250 taken")
        self.gated.stop()

    def test_a_high_load_spares_the_search_for_spam(self):
        limit = int(os.getloadavg()[0]) + 2
        self.gated.configure(antispam_type="spamassassin", antispam_path='{"/nowhere"}',
                             spam_max_load=limit)
        self.gated.start()
        self.assertRegex(self.honest(), "^451 Local error")
        with load_average():
            if not wait_until(lambda: os.getloadavg()[0] > limit, 20, 0.2):
                self.skipTest("the load average does not rise here")
            time.sleep(1.1)                 # it is asked for once a second
            reply = self.honest()
        self.assertRegex(reply, "^250 taken")
        self.assertEqual(int(self.gated.write_state()["spam_overload"]), 1)
        self.gated.reload(spam_max_load=1000)
        self.assertRegex(self.honest(), "^451 Local error")
        self.gated.stop()

    def from_address(self, address):
        client = Client(self.gated, source=address)
        self.addCleanup(client.__exit__)
        return client

    def test_policies_and_reloads_set_it_anew(self):
        self.gated.configure(max_per_host=2, sections=f"""
policy "busy" {{
	clients = {HONEST}
	max_per_host = 12
}}
""")
        self.gated.start()
        too_many = "^421 gate.example Too many connections from your host, please"
        for address, most in ((ATTACKER, 2), (HONEST, 12)):
            for _ in range(most):
                self.assertRegex(self.from_address(address).reply(), "^220")
            self.assertRegex(self.from_address(address).reply(), too_many)
        # Those under way count, whatever limit they began with.
        self.gated.reload(max_per_host=4)
        for _ in range(2):
            self.assertRegex(self.from_address("127.0.0.99").reply(), "^220")
        self.gated.reload(max_per_host=2, sections="")
        self.assertRegex(self.from_address("127.0.0.99").reply(), too_many)
        self.assertRegex(self.from_address("127.0.0.98").reply(), "^220")
        self.gated.reload(max_per_host=0)
        self.assertRegex(self.from_address(ATTACKER).reply(), "^220")
        self.gated.signal(signal.SIGTERM)
        self.gated.signal(signal.SIGQUIT)
        self.gated.check_ended()

    def test_a_hundred_thousand_recipients_in_one_go(self):
        count = 100000
        self.gated.extra_environment["ASAN_OPTIONS"] = "quarantine_size_mb=1"
        self.gated.start()
        client = self.begin()
        before, begun = self.gated.memory(), time.monotonic()
        sender = threading.Thread(daemon=True, target=client.send, args=(
            b"MAIL FROM:<a@client.example>\r\n" +
            b"RCPT TO:<b@sink.example>\r\n" * count + b"RSET\r\n",))
        sender.start()
        replies = [client.input.readline() for _ in range(count + 2)]
        sender.join()
        grown, took = self.gated.memory() - before, time.monotonic() - begun
        print(f"{count} recipients: {took:.1f} s, {grown:.1f} MB")
        self.assertEqual(set(replies), {b"250 ok\r\n"})
        if not IS_SHADOWED:
            self.assertLess(grown, 10)
        self.assertRegex(client.ask("QUIT"), "^221")
        client.__exit__()
        self.gated.stop()

    def processor_seconds(self):
        text = pathlib.Path(f"/proc/{self.gated.pid}/stat").read_text(encoding="ascii")
        ticks = text.rpartition(")")[2].split()
        return (int(ticks[11]) + int(ticks[12])) / 100

    def few(self, count):
        def lower():
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
        self.gated.configure(max_connections=1000, max_per_host=0, timeout_close=1)
        self.gated.start(before=lower)
        self.gated.wait_for_log("not enough file descriptors for max_connections.* sessions="
                                f"{(count - 64) * 3 // 8} needed=2731 descriptors={count}")

    def test_a_flood_leaves_descriptors_for_messages_and_scanners(self):
        self.few(200)
        busy = Client(self.gated, source=HONEST)
        self.addCleanup(busy.__exit__)
        busy.hello()
        self.flood(300)
        self.gated.wait_for_log("^trouble .*no file descriptor was left")
        # This message is in a file, and what is in it is unpacked into others.
        self.assertRegex(busy.submit(lab.infected_mail())[-1], f"^550 .*{lab.EICAR_NAME}")
        self.assertRegex(self.honest(), "^421 gate.example Too many connections, please")
        self.assertLess(self.gated.descriptors(), 150)
        self.assertEqual(self.gated.logged("cannot be stored|resting|connect-failed"), [])
        self.assertRegex(self.gated.logged("^trouble .*no file descriptor was left")[0],
                         "LimitNOFILE=.*max_connections.* client=127.0.0.66")
        self.end_flood()
        busy.__exit__()
        self.assertTrue(wait_until(lambda: self.honest().startswith("250 taken")))
        self.gated.stop()

    def test_the_very_last_descriptor_tells_clients_to_come_again(self):
        self.few(200)
        serving = Client(self.gated, source=HONEST)
        self.addCleanup(serving.__exit__)
        serving.hello()
        # Whoever has opened them: none is left, now.
        resource.prlimit(self.gated.pid, resource.RLIMIT_NOFILE,
                         (self.gated.descriptors(), 200))
        watch = lab.Stopwatch()
        for _ in range(20):
            self.assertRegex(self.honest(), "^421 gate.example Too many connections, please")
        self.assertLess(watch.here(), 4)        # enfile_sleep is 5
        self.assertRegex(serving.ask("NOOP"), "^250")
        resource.prlimit(self.gated.pid, resource.RLIMIT_NOFILE, (200, 200))
        self.assertRegex(self.honest(), "^250 taken")
        serving.__exit__()
        self.gated.stop()

    def test_without_even_that_one_it_rests(self):
        self.gated.configure(enfile_sleep=2)
        self.few(200)
        resource.prlimit(self.gated.pid, resource.RLIMIT_NOFILE, (3, 200))
        begun = time.monotonic()
        client = self.from_address(HONEST)
        self.gated.wait_for_log("^trouble .*resting .enfile_sleep.* seconds=2$")
        resource.prlimit(self.gated.pid, resource.RLIMIT_NOFILE, (200, 200))
        self.assertRegex(client.hello(), "^250")
        self.assertGreater(time.monotonic() - begun, 1.8)
        self.assertEqual(len(self.gated.logged("resting")), 1)
        client.__exit__()
        self.gated.stop()


if __name__ == "__main__":
    main()
