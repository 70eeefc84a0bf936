#!/usr/bin/python3
"""Listening sockets that a service manager hands over: LISTEN_FDS.

    handed.py PROGRAM [unittest arguments]
"""
import os
import shutil
import signal
import socket
import subprocess
import unittest

from gated import Case, Client, main, wait_until
import lab

# The number must be that of the process itself, which is known behind the fork only.
AS_SERVICE = ["/bin/sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh"]


class Handed(Case):
    def listen(self, family=socket.AF_INET, address="127.0.0.1"):
        handed = socket.socket(family)
        self.addCleanup(handed.close)
        handed.bind((address, 0))
        handed.listen(64)
        return handed

    def hand(self, *sockets, names=None):
        """BEFORE= of a start: its descriptors 3 and on are SOCKETS."""
        self.gated.extra_environment = {"LISTEN_FDS": str(len(sockets))}
        if names:
            self.gated.extra_environment["LISTEN_FDNAMES"] = names
        self.gated.wrapper = AS_SERVICE

        def place():
            high = [os.dup2(one.fileno(), 100 + i) for i, one in enumerate(sockets)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i, inheritable=True)
        return {"before": place, "close_fds": False}

    def mail_passes(self, address):
        with Client(self.gated, address) as client:
            client.hello()
            self.assertRegex(client.submit(lab.mail(b"at noon"))[-1], "^250 taken")

    def test_both_families_and_their_names(self):
        four, six = self.listen(), self.listen(socket.AF_INET6, "::1")
        self.gated.start(**self.hand(four, six, names="mail:mail6"))
        for one, name in ((four, "mail"), (six, "mail6")):
            self.mail_passes(one.getsockname()[:2])
            self.gated.wait_for_log(f"handed over.* name={name} ")
        self.assertFalse(self.gated.is_listening(), "on bind_address, too")
        self.gated.stop()

    def test_each_goes_to_the_listener_of_its_name(self):
        """The others go to the main part's; a listener without any opens its own."""
        port = lab.free_port()
        self.gated.configure(sections=(
            'listen "in" {\n address = {}\n msg_virus_found = "In:"\n}\n'
            f'listen "own" {{\n port = {port}\n msg_virus_found = "Own:"\n}}\n'
            'listen "idle" {\n address = {}\n}\n'))
        one, two = self.listen(), self.listen()
        self.gated.start(**self.hand(one, two, names="smtp.socket:in"))
        self.gated.wait_for_log("no listen section has its name.* name=smtp.socket .*"
                                "listener=default")
        self.gated.wait_for_log("handed over.* name=in .*listener=in")
        self.gated.wait_for_log("nothing listens here.* listener=idle")
        for address, word in ((one.getsockname(), "Virus found:"),
                              (two.getsockname(), "In:"), (("127.0.0.1", port), "Own:")):
            with Client(self.gated, address) as client:
                client.hello()
                self.assertIn(word, client.submit(lab.mail(lab.EICAR))[-1])
        self.assertFalse(self.gated.is_listening(), "on bind_address, too")
        self.gated.stop()

    def test_for_nobody(self):
        self.gated.configure(bind_address="{}",
                             sections='listen "in" {\n address = {}\n}\n')
        words = self.gated.refused(**self.hand(self.listen(), names="out"))
        self.assertIn('the socket "out" was handed over, but there is no section listen', words)
        self.gated.extra_environment, self.gated.wrapper = {}, []
        self.assertIn("there is nothing to listen on", self.gated.refused())

    def test_clients_wait_meanwhile(self):
        """Nothing is lost of what comes between a stop and the next start."""
        handed = self.listen()
        self.gated.start(**self.hand(handed))
        self.mail_passes(handed.getsockname())
        self.gated.stop()
        with Client(self.gated, handed.getsockname()) as waiting:
            self.gated.start(**self.hand(handed))
            self.assertRegex(waiting.hello(), "^250")
        self.gated.stop()

    def test_background_keeps_them(self):
        handed = self.listen()
        place = self.hand(handed)
        done = self.gated.background(preexec_fn=place["before"], close_fds=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.mail_passes(handed.getsockname())
        self.gated.signal(signal.SIGTERM)
        wait_until(lambda: not self.gated.pidfile.exists())

    def test_what_is_no_listening_socket(self):
        with open("/dev/null", "rb") as file:
            words = self.gated.refused(**self.hand(self.listen(), file, names="a:b"))
        self.assertRegex(words, r"descriptor 4 \(b\).* no listening TCP socket: .*ListenStream=")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            words = self.gated.refused(**self.hand(datagrams))
        self.assertIn("descriptor 3 (unknown)", words)

    def test_meant_for_another_process(self):
        self.gated.extra_environment = {"LISTEN_FDS": "2", "LISTEN_PID": "1"}
        self.gated.start()
        self.assertTrue(self.gated.is_listening())
        self.gated.stop()

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "needs systemd")
    def test_systemds_own_tool(self):
        port = lab.free_port()
        self.gated.wrapper = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}",
                              "--fdname=mail"]
        self.gated.spawn("-f", self.gated.file)
        wait_until(lambda: "Listening on" in self.gated.log())
        self.mail_passes(("127.0.0.1", port))
        self.gated.wait_for_log("handed over.* name=mail ")
        self.gated.stop()


if __name__ == "__main__":
    main()
