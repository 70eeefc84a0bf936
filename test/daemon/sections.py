#!/usr/bin/python3
"""Listen and policy sections: who comes where, and what applies to them.

    sections.py PROGRAM [unittest arguments]
"""
import re
import signal

from gated import Case, Client, Sink, main, wait_until
import lab

CLEAN, INFECTED = lab.mail(b"at noon"), lab.mail(lab.EICAR)


def section(kind, name, **options):
    lines = "".join(f"\t{option} = {value}\n" for option, value in options.items())
    return f'\n{kind} "{name}" {{\n{lines}}}\n'


class Sections(Case):
    """The main part's listener leads to one server, "two" to another one."""

    def setUp(self):
        super().setUp()
        self.other = Sink("127.0.0.9")
        self.addCleanup(self.other.close)
        self.port = lab.free_port()

    def two(self, **options):
        options = {"port": self.port, "fixed_server": '"127.0.0.9"',
                   "fixed_server_port": self.other.port, **options}
        return section("listen", "two", **options)

    def start(self, *sections, **options):
        self.gated.configure(sections="".join(sections), **options)
        self.gated.start()
        self.addCleanup(self.end)

    def end(self):
        if self.gated.process.poll() is None:
            self.gated.stop()

    def comes(self, port=None, source=None):
        client = Client(self.gated, ("127.0.0.1", port or self.gated.port), source)
        self.addCleanup(client.__exit__)
        self.assertRegex(client.hello(), "^250")
        return client

    def sends(self, message, port=None, source=None):
        """The last word on it."""
        client = self.comes(port, source)
        word = client.submit(message)[-1]
        client.ask("QUIT")
        client.__exit__()
        return word

    def assert_passes(self, word, sink, message):
        self.assertRegex(word, "^250 taken")
        self.assertTrue(sink.complete.pop().endswith(message[-40:]))

    def rows(self):
        """Session to (listener, policy), as the state file has them."""
        self.gated.write_state()
        rows = [line.split() for line in self.gated.statefile.read_text().splitlines()]
        return {row[-3]: tuple(row[-2:]) for row in rows if row and row[0].isdecimal()}


class Listeners(Sections):
    def test_each_leads_to_its_server(self):
        self.start(self.two(msg_virus_found='"Two:"'), statefile_type="slots")
        self.assert_passes(self.sends(CLEAN), self.sink, CLEAN)
        self.assert_passes(self.sends(CLEAN, self.port), self.other, CLEAN)
        self.assertRegex(self.sends(INFECTED), "^550 .*Virus found:")
        self.assertRegex(self.sends(INFECTED, self.port), "^550 .*Two:")
        self.comes(self.port)
        self.comes()
        connects = self.gated.logged("^connect ")
        self.assertEqual([" listener=two" in line for line in connects],
                         [False, True, False, True, True, False])
        self.assertNotIn("policy=", "".join(connects))
        rows = self.rows()
        ids = [re.search(r" s=(\w+)", line)[1] for line in connects[-2:]]
        self.assertEqual([rows[session] for session in ids], [("two", "-"), ("default", "-")])
        self.gated.wait_for_log(f"text=listening address=127.0.0.1:{self.port} listener=two")

    def test_modes_differ(self):
        self.start(self.two(mode="netfilter"))
        self.assert_passes(self.sends(CLEAN), self.sink, CLEAN)
        client = Client(self.gated, ("127.0.0.1", self.port))
        self.assertRegex(client.reply(), "^554 ")
        client.__exit__()
        self.gated.wait_for_log("^refuse .*why=not-redirected .*listener=two")

    def test_without_that_of_the_main_part(self):
        self.start(self.two(address="127.0.0.1"), bind_address="{}")
        self.assert_passes(self.sends(CLEAN, self.port), self.other, CLEAN)
        self.assertFalse(self.gated.is_listening())

    def test_one_that_leads_to_the_other(self):
        self.gated.configure(sections=section("listen", "loop", port=self.port,
                                              fixed_server_port=self.gated.port))
        self.assertRegex(self.gated.refused(), 'listen "loop": fixed_server .*come back')

    def test_port_that_is_taken(self):
        self.gated.configure(sections=section("listen", "two", address='{"127.0.0.9"}',
                                              port=self.other.port))
        self.assertRegex(self.gated.refused(),
                         rf'cannot listen on 127.0.0.9 port {self.other.port} '
                         r'\(listen "two"\): .*in use')

    def test_proxy_names_the_client_of_a_policy(self):
        self.start(self.two(proxy_protocol_from='{"127.0.0.1"}'),
                   section("policy", "white", clients='{"192.0.2.7"}', antivirus_type="off"))
        for host, code in (("192.0.2.7", "250"), ("192.0.2.8", "550")):
            client = Client(self.gated, ("127.0.0.1", self.port))
            client.send(f"PROXY TCP4 {host} 192.0.2.1 1234 25\r\n".encode())
            self.assertRegex(client.hello(), "^250")
            self.assertRegex(client.submit(INFECTED)[-1], f"^{code}")
            client.__exit__()
        self.assertRegex(self.sends(INFECTED), "^550")

    def said_at_start(self):
        return self.gated.logged("^start ")[-1]

    def test_start_says_what_any_section_uses(self):
        """The main part scans for nothing, listens nowhere; policies and sections do."""
        self.start(self.two(antispam_type="{rspamd}", mode='"getsockname"'),
                   section("listen", "three", address='{"127.0.0.1"}',
                           port=self.gated.port, fixed_server='"127.0.0.9"'),
                   section("policy", "white", clients='{"192.0.2.7"}',
                           antispam_type="{spamassassin}"),
                   bind_address="{}", antivirus_type="libclamav")
        self.assertRegex(self.said_at_start(), r" mode=fixed,getsockname scanner=libclamav "
                                               r"spam=spamassassin,rspamd user=")

    def test_start_says_nothing_of_what_serves_nobody(self):
        self.start(section("listen", "three", address='{"127.0.0.1"}',
                           port=self.gated.port, antispam_type="off"),
                   bind_address="{}", antivirus_type="off", antispam_type="{rspamd}")
        self.assertRegex(self.said_at_start(), " mode=fixed scanner=off spam=off user=")

    def test_start_says_the_port_of_the_main_part(self):
        self.start(self.two())
        self.assertRegex(self.said_at_start(), f" port={self.gated.port} user=")

    def test_upgrade(self):
        self.start(self.two())
        served = len(self.gated.logged("^start "))
        self.gated.signal(signal.SIGUSR2)
        self.gated.wait_for_log("^start ", served + 1)
        self.assertEqual(self.gated.end(), 0)
        self.gated.process, self.gated.pid = None, int(self.gated.pidfile.read_text())
        self.assert_passes(self.sends(CLEAN), self.sink, CLEAN)
        self.assert_passes(self.sends(CLEAN, self.port), self.other, CLEAN)
        self.gated.wait_for_log("listening where the predecessor did.* name=two .*listener=two")
        self.gated.signal(signal.SIGTERM)
        self.assertEqual(self.gated.end(), 0)

    def end(self):
        if self.gated.process is not None:
            super().end()


class Policies(Sections):
    WHITE = section("policy", "white", clients='{"127.0.0.2", "127.1.0.0/16"}',
                    antivirus_type="off")

    def test_by_client(self):
        self.start(self.WHITE)
        self.assert_passes(self.sends(INFECTED, source="127.0.0.2"), self.sink, INFECTED)
        self.assert_passes(self.sends(INFECTED, source="127.1.2.3"), self.sink, INFECTED)
        for source in ("127.0.0.1", "127.0.0.3", "127.2.0.1"):
            self.assertRegex(self.sends(INFECTED, source=source), "^550")
        self.assertEqual([" policy=white" in line for line in self.gated.logged("^connect ")],
                         [True, True, False, False, False])

    def test_by_server(self):
        self.start(self.two(), section("policy", "trusted", servers='"127.0.0.9"',
                                       antivirus_type="off"))
        self.assert_passes(self.sends(INFECTED, self.port), self.other, INFECTED)
        self.assertRegex(self.sends(INFECTED), "^550")

    def test_by_listener_and_client(self):
        self.start(self.two(), section("policy", "backup", listeners="two",
                                       clients='"127.0.0.7"', antivirus_type="off"))
        self.assert_passes(self.sends(INFECTED, self.port, "127.0.0.7"), self.other, INFECTED)
        self.assertRegex(self.sends(INFECTED, self.port), "^550")
        self.assertRegex(self.sends(INFECTED, None, "127.0.0.7"), "^550")

    def test_limits(self):
        """The first that is for a session, and only that."""
        self.start(section("policy", "large", clients='"127.0.0.2"', timeout_body=1),
                   section("policy", "small", clients="127.0.0.0/8", scan_max_size=2048,
                           on_unscannable="refuse", forbid_starttls="yes"))
        large = lab.mail(*[b"x" * 60] * 100)
        self.assert_passes(self.sends(large, source="127.0.0.2"), self.sink, large)
        self.assertRegex(self.sends(large), "^554")
        self.assertNotIn("STARTTLS", self.comes().ask("EHLO client.example"))
        client = self.comes(source="127.0.0.2")
        self.assertIn("STARTTLS", client.ask("EHLO client.example"))
        client.begins_mail()
        self.assertRegex(client.reply(), "^421 ")       # timeout_body

    def test_scanner_that_only_a_policy_wants(self):
        self.start(section("policy", "black", clients='"127.0.0.2"',
                           antivirus_type="libclamav"), antivirus_type="off")
        self.assertRegex(self.sends(INFECTED, source="127.0.0.2"), "^550")
        self.assert_passes(self.sends(INFECTED), self.sink, INFECTED)
        self.assertEqual(self.gated.logged("nothing is scanned"), [])

    def test_state_file(self):
        self.start(self.WHITE, statefile_type="slots")
        self.comes(source="127.0.0.2")
        self.assertEqual(list(self.rows().values()), [("default", "white")])


class Reloads(Sections):
    WHITE = Policies.WHITE

    def waits(self):
        return [re.findall(r"(listener|option)=(\S+)", line)
                for line in self.gated.logged("takes effect at a restart only")]

    def test_policy_comes_and_goes(self):
        """Sessions keep what they have."""
        self.start()
        scanned = self.comes(source="127.0.0.2")
        self.gated.reload(sections=self.WHITE)
        white = self.comes(source="127.0.0.2")
        self.assertRegex(scanned.submit(INFECTED)[-1], "^550")
        white.begins_mail(lab.EICAR + b"\r\n")
        self.gated.reload(sections="")
        self.assertRegex(white.ends_mail(), "^250")
        self.assertRegex(self.sends(INFECTED, source="127.0.0.2"), "^550")
        self.gated.reload(sections=self.WHITE)
        self.assertRegex(white.submit(INFECTED)[-1], "^250")
        self.assertRegex(self.sends(INFECTED, source="127.0.0.2"), "^250")
        self.assertEqual(self.waits(), [])

    def test_many_reloads_with_sessions(self):
        """Nothing is freed that somebody has."""
        self.start(self.two(), self.WHITE)
        old = []
        for number in range(20):
            old += [self.comes(source="127.0.0.2"), self.comes(self.port)]
            self.gated.reload(sections=self.two() + self.WHITE * (number % 2))
        for client in old[::2] + old[1::2]:
            self.assertRegex(client.ask("QUIT"), "^221")

    def test_listener(self):
        self.start(self.two(msg_virus_found='"Two:"'))
        old = self.comes(self.port)
        self.gated.reload(sections=self.two(msg_virus_found='"Deux:"'))
        self.assertRegex(self.sends(INFECTED, self.port), "Deux:")
        self.assertRegex(old.submit(INFECTED)[-1], "Two:")
        self.assertEqual(self.waits(), [])
        port = lab.free_port()
        self.gated.reload(sections=self.two(port=port, mode="netfilter",
                                            msg_virus_found='"Drei:"'))
        self.assertEqual(self.waits(), [[("listener", "two"), ("option", "port")],
                                        [("listener", "two"), ("option", "mode")]])
        self.assertRegex(self.sends(INFECTED, self.port), "Drei:")
        self.assert_passes(self.sends(CLEAN, self.port), self.other, CLEAN)
        with self.assertRaises(ConnectionRefusedError):
            self.comes(port)

    def test_listener_comes_and_goes(self):
        self.start(self.two(msg_virus_found='"Two:"'))
        self.gated.reload(sections=section("listen", "three", port=lab.free_port()),
                          msg_virus_found='"Main:"')
        self.assertEqual(self.waits(), [[("listener", "two"), ("option", "listen")],
                                        [("listener", "three"), ("option", "listen")]])
        self.assertRegex(self.sends(INFECTED), "Main:")
        self.assertRegex(self.sends(INFECTED, self.port), "Two:")
        self.assert_passes(self.sends(CLEAN, self.port), self.other, CLEAN)

    def test_scanner_that_was_not_loaded(self):
        self.start(antivirus_type="off")
        self.gated.reload(sections=section("policy", "black", clients='"127.0.0.2"',
                                           antivirus_type="libclamav"))
        self.assertEqual(self.waits(), [[("option", "antivirus_type")]])
        self.assert_passes(self.sends(INFECTED, source="127.0.0.2"), self.sink, INFECTED)
        self.gated.wait_for_log("^connect .* policy=black")

    def test_bad_section(self):
        self.start(self.two())
        self.gated.configure(sections=self.two() + "\npolicy {\n}\n")
        self.gated.signal(signal.SIGHUP)
        self.gated.wait_for_log("stays as it was.* why=.*a section needs a name")
        self.assert_passes(self.sends(CLEAN, self.port), self.other, CLEAN)
        self.assertTrue(wait_until(lambda: self.gated.process.poll() is None))


if __name__ == "__main__":
    main()
