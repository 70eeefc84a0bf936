#!/usr/bin/python3
"""Postfix behind the gateway; swaks, smtp-source and a plain socket in front of it.

    postfix_test.py PROGRAM [unittest arguments, as: Delivery.test_big]
"""
import base64
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
MARK = b"X-Begin: here\r\n"             # what stands above it, Postfix has added

server = gateway = None


def new_gateway(**options):
    return lab.Gateway(PROGRAM, {
        "allow_root": "yes", "mode": "fixed", "fixed_server": '"127.0.0.1"',
        "fixed_server_port": server.port, **options})


def setUpModule():
    global server, gateway
    lab.need_root()
    lab.need_programs("postfix", "postconf", "smtp-source", "swaks", "openssl", "saslpasswd2")
    server = postfix.Postfix()
    try:
        gateway = new_gateway()
    except BaseException:
        server.stop()
        raise


def tearDownModule():
    try:
        gateway.stop()
    finally:
        server.stop()


class Case(unittest.TestCase):
    maxDiff = 2000
    boxes = 0

    def setUp(self):
        Case.boxes += 1
        self.box = f"box{Case.boxes}"
        self.address = f"{self.box}@example.test"
        self.log_from = len(gateway.log())

    def talk(self):
        return lab.Client(("127.0.0.1", gateway.port), seconds=30)

    def logged(self, pattern):
        """Lines that the gateway has written since this test began."""
        return re.findall(rf"^.*(?:{pattern}).*$", gateway.log()[self.log_from:], re.M)

    def arrived(self, count, box=None):
        """Waits for COUNT mails, and a moment for one too many."""
        box = box or self.box
        came = lab.wait_until(lambda: server.count(box) >= count, 30)
        self.assertTrue(came, f"{server.count(box)} of {count} mails have arrived\n"
                        + server.log()[-3000:])
        self.assertTrue(lab.wait_until(server.queue_is_empty, 60), "mail stays in the queue")
        mails = server.delivered(box)
        self.assertEqual(len(mails), count, "mails delivered")
        return mails

    def nothing_arrived(self):
        """The server took nothing, and has nothing left to deliver."""
        self.assertTrue(lab.wait_until(server.queue_is_empty, 60))
        self.assertEqual(server.count(self.box), 0, "mails delivered")

    def swaks(self, *arguments):
        done = subprocess.run(
            ["swaks", "--server", f"127.0.0.1:{gateway.port}", "--timeout", "60",
             "--helo", "client.example", "--from", "ann@example.test",
             "--to", self.address, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=120, check=False)
        return done.returncode, done.stdout.decode(errors="replace")

    def assertReply(self, reply, code):
        self.assertTrue(reply.startswith(code), f"{code} was due, not {reply!r}")

    def assertSame(self, got, sent):
        """GOT is what was SENT from MARK on; both may be long, so say where they differ."""
        at = got.find(MARK.replace(b"\r\n", b"\n"))
        self.assertGreaterEqual(at, 0, "the mark has not arrived")
        got, sent = got[at:], sent.replace(b"\r\n", b"\n")
        if got == sent:
            return
        differs = next((i for i, (a, b) in enumerate(zip(got, sent)) if a != b),
                       min(len(got), len(sent)))
        self.fail(f"sent {len(sent)} bytes, {len(got)} arrived; from byte {differs} on: sent "
                  f"{sent[differs:differs + 60]!r}, arrived {got[differs:differs + 60]!r}")


class Swaks(Case):
    """A usual client, one mail at a time."""

    def test_plain(self):
        code, words = self.swaks("--body", "At noon?", "--header", "Subject: lunch")
        self.assertEqual(code, 0, words)
        self.assertIn(b"At noon?", self.arrived(1)[0])

    def test_pipelining(self):
        code, words = self.swaks("--pipeline", "--body", "At noon?")
        self.assertEqual(code, 0, words)
        self.arrived(1)

    def test_no_final_newline(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(MARK + b"Subject: cut\r\n\r\nno newline here")
            file.flush()
            code, words = self.swaks("--data", "@" + file.name)
        self.assertEqual(code, 0, words)
        self.assertSame(self.arrived(1)[0], MARK + b"Subject: cut\r\n\r\nno newline here\r\n")

    def test_many_recipients(self):
        code, words = self.swaks("--to", f"{self.box}-a@example.test,{self.address}")
        self.assertEqual(code, 0, words)
        self.arrived(1)
        self.arrived(1, self.box + "-a")

    def test_recipient_refused_by_the_server(self):
        code, words = self.swaks("--to", "unknown@example.test")
        self.assertNotEqual(code, 0, words)
        self.assertRegex(words, r"<\*\* 550 .*User unknown")

    def test_infected_is_refused(self):
        with tempfile.NamedTemporaryFile(suffix=".zip") as file:
            file.write(lab.zip_of("readme.com", lab.EICAR))
            file.flush()
            code, words = self.swaks("--attach-type", "application/zip",
                                     "--attach", "@" + file.name)
        self.assertEqual(code, 26, words)       # swaks: refused after the message
        self.assertRegex(words, rf"<\*\* 550 5\.\d\.\d .*{lab.EICAR_NAME}")
        self.assertEqual(len(self.logged(rf"^found .*{lab.EICAR_NAME}")), 1)
        self.nothing_arrived()

    def test_starttls_passes_unread(self):
        code, words = self.swaks("--tls", "--body", "secret")
        self.assertEqual(code, 0, words)
        self.assertIn("CN=server.example", words)
        self.assertRegex(self.arrived(1)[0], rb"(?s)with ESMTPS id .*secret")
        self.assertTrue(self.logged(r"^direct "))
        self.assertFalse(self.logged(r"^verdict "))


class Delivery(Case):
    """The bytes that are sent are the bytes that are delivered."""

    def check(self, content, expected=None):
        with self.talk() as client:
            client.hello()
            self.assertReply(client.submit(content, self.address)[-1], "250")
            client.ask("QUIT")
        self.assertSame(self.arrived(1)[0], content if expected is None else expected)
        self.assertEqual(len(self.logged(r"^verdict .*clean")), 1)

    def test_text(self):
        self.check(MARK + lab.mail(b"Hello,", b"", b"At noon?", b"", b""))

    def test_no_body(self):
        self.check(MARK + b"Subject: only a header\r\n")

    def test_eight_bit(self):
        self.check(MARK + lab.mail(bytes(range(0x80, 0x100)), "Grüße, 你好".encode(),
                                   b"\xff\xfe\xc0\x80"))

    def test_control_characters(self):
        self.check(MARK + lab.mail(bytes(set(range(1, 32)) - {10, 13}) + b"\x7f"))

    def test_nul(self):
        self.check(MARK + lab.mail(b"a\0b", b"\0", b"\0.a", b"." + b"\0" * 10 + b"x", b"end"))

    def test_nul_and_a_lone_dot(self):
        """To a server that ignores NULs this would be an end: it gets one more dot."""
        self.check(MARK + lab.mail(b"one", b"\0\0.", b"two"),
                   MARK + lab.mail(b"one", b"\0\0..", b"two"))

    def test_dots(self):
        self.check(MARK + lab.mail(b".", b"..", b"...", b". ", b".a", b"a.", b" .", b"", b"."))

    def test_long_lines(self):
        sizes = (998, 999, 1000, 2048, 4096, 65535, 65536, 65537, 1000000)
        self.check(MARK + lab.mail(*(b"%d " % size + b"x" * size for size in sizes)))

    def test_long_header(self):
        self.check(MARK + b"X-Long: " + b"y" * 20000 + b"\r\n" + lab.mail(b"body"))

    def test_lines_that_look_like_commands(self):
        self.check(MARK + lab.mail(b"QUIT", b"RSET", b"DATA", b"354 go", b"From ann", b"BDAT 3",
                                   b"STARTTLS"))

    def test_bare_newlines_are_made_whole(self):
        sent = MARK + lab.mail(b"one\ntwo\rthree\n\nfour\r\r\nfive\n.\nsix\r.\rseven")
        head, body = sent.split(b"\r\n\r\n", 1)
        # Each CR or LF that stands alone becomes CRLF; of CR CR LF the first stands alone.
        body = re.sub(rb"\r\n|\r|\n", b"\r\n", body)
        self.check(sent, head + b"\r\n\r\n" + body)

    def test_big(self):
        self.check(MARK + lab.mail(*lab.base64_lines(lab.random_bytes(10 << 20))))

    def test_every_size_around_the_buffers(self):
        """Lines that end on every side of a 64 KB border, a dot behind each."""
        lines = []
        for extra in range(12):
            lines += [b"x" * (65536 - 6 + extra), b".dot", b"."]
        self.check(MARK + lab.mail(*lines))


class Sessions(Case):
    """More than one mail, in more than one way."""

    def test_hello_is_the_servers_own(self):
        with lab.Client(("127.0.0.1", server.port)) as client:
            direct = client.hello()
        with self.talk() as client:
            through = client.hello()
        keywords = [line[4:] for line in direct.splitlines()]
        self.assertIn("CHUNKING", keywords)
        self.assertEqual([line[4:] for line in through.splitlines()], keywords)

    def test_many_mails_in_one_session(self):
        with self.talk() as client:
            client.hello()
            for number in range(20):
                content = MARK + lab.mail(b"number %d" % number)
                self.assertReply(client.submit(content, self.address)[-1], "250")
            self.assertReply(client.ask("QUIT"), "221")
        got = b"".join(self.arrived(20))
        for number in range(20):
            self.assertEqual(got.count(b"number %d\n" % number), 1)

    def test_reset_between(self):
        with self.talk() as client:
            client.hello()
            client.ask("MAIL FROM:<ann@example.test>")
            self.assertReply(client.ask("RSET"), "250")
            self.assertReply(client.submit(lab.mail(b"after RSET"), self.address)[-1], "250")
        self.assertIn(b"after RSET", self.arrived(1)[0])

    def test_clean_then_infected(self):
        with self.talk() as client:
            client.hello()
            self.assertReply(client.submit(lab.mail(b"clean"), self.address)[-1], "250")
            self.assertReply(client.submit(lab.infected_mail(), self.address)[-1], "550 5.7.1")
            self.assertReply(client.submit(lab.mail(b"next"), self.address)[0], "451")
            self.assertReply(client.ask("QUIT"), "221")
        self.assertIn(b"clean", self.arrived(1)[0])

    def group(self, *contents):
        """Sends these mails in one pipelined run.  The end of each group waits for its
        reply, as RFC 2920 demands; what follows DATA goes out with the next group."""
        ours = f"MAIL FROM:<ann@example.test>\r\nRCPT TO:<{self.address}>\r\nDATA\r\n".encode()
        replies = []
        with self.talk() as client:
            client.hello()
            client.send(ours)
            for number, content in enumerate(contents):
                got = [client.reply() for _ in range(3)]
                replies += got
                if not got[-1].startswith("354"):
                    return replies
                last = number == len(contents) - 1
                client.send(lab.dotted(content) + (b"QUIT\r\n" if last else ours))
                replies.append(client.reply())
            replies.append(client.reply())
        return replies

    def test_pipelined_clean(self):
        replies = self.group(*(lab.mail(b"number %d" % i) for i in range(3)))
        self.assertEqual([reply[:3] for reply in replies],
                         ["250", "250", "354", "250"] * 3 + ["221"])
        self.arrived(3)

    def test_pipelined_clean_then_infected(self):
        replies = self.group(lab.mail(b"clean"), lab.infected_mail())
        self.assertEqual([reply[:3] for reply in replies],
                         ["250", "250", "354", "250", "250", "250", "354", "550", "221"])
        self.assertIn(b"clean", self.arrived(1)[0])

    def test_pipelined_infected_then_clean(self):
        """The second is put off, not lost: 451 tells the client to come again."""
        replies = self.group(lab.infected_mail(), lab.mail(b"clean"))
        self.assertEqual([reply[:3] for reply in replies],
                         ["250", "250", "354", "550", "451", "503", "503"])
        self.nothing_arrived()


class Auth(Case):
    """AUTH passes, and what it carries is in no line of the log."""

    def check(self, *steps):
        with self.talk() as client:
            client.hello()
            for sent, code in steps:
                self.assertReply(client.ask(sent), code)
            self.assertReply(client.submit(lab.mail(b"by ann"), self.address)[-1], "250")
            client.ask("QUIT")
        self.assertIn(b"by ann", self.arrived(1)[0])
        self.assertRegex(server.log(), rf"sasl_username={postfix.USER}")
        for secret in (postfix.PASSWORD, self.password, self.plain):
            self.assertFalse(self.logged(re.escape(secret)), f"{secret} is in the log")

    def setUp(self):
        super().setUp()
        user, password = postfix.USER.encode(), postfix.PASSWORD.encode()
        self.user = base64.b64encode(user).decode()
        self.password = base64.b64encode(password).decode()
        self.plain = base64.b64encode(b"\0" + user + b"\0" + password).decode()

    def test_plain_at_once(self):
        self.check((f"AUTH PLAIN {self.plain}", "235"))

    def test_plain_when_asked(self):
        self.check(("AUTH PLAIN", "334"), (self.plain, "235"))

    def test_login(self):
        self.check(("AUTH LOGIN", "334"), (self.user, "334"), (self.password, "235"))

    def test_cancelled_then_plain(self):
        self.check(("AUTH LOGIN", "334"), ("*", "501"), (f"AUTH PLAIN {self.plain}", "235"))

    def test_an_answer_that_looks_like_a_command(self):
        """"DATA" and "QUIT" are base64, too."""
        self.check(("AUTH LOGIN", "334"), ("DATA", "334"), ("QUIT", "535"),
                   ("AUTH LOGIN", "334"), (self.user, "334"), (self.password, "235"))


class AuthOptions(Case):
    """What AUTH is wanted for, and what it spares, with a server that means it."""

    def session(self, **options):
        """A client, greeted, of a gateway with these options."""
        self.own = new_gateway(**options)
        self.addCleanup(self.own.stop)
        client = lab.Client(("127.0.0.1", self.own.port), seconds=30)
        self.addCleanup(client.__exit__)
        client.hello()
        return client

    def authenticate(self, client):
        plain = base64.b64encode(f"\0{postfix.USER}\0{postfix.PASSWORD}".encode()).decode()
        self.assertReply(client.ask(f"AUTH PLAIN {plain}"), "235")

    def submit(self, client, message):
        return client.submit(message, self.address)[-1]

    def test_mandatory(self):
        client = self.session(auth_require="mandatory")
        self.assertReply(self.submit(client, lab.mail(b"by nobody")), "530 5.7.0")
        self.assertReply(client.ask("RSET"), "250")
        self.authenticate(client)
        self.assertReply(self.submit(client, lab.mail(b"by ann")), "250")
        client.ask("QUIT")
        self.assertIn(b"by ann", self.arrived(1)[0])
        self.assertTrue(self.own.logged("^found .*finding=no-auth"))

    def test_ifsupported(self):
        """Postfix offers AUTH, so that it is wanted."""
        client = self.session(auth_require="ifsupported")
        self.assertReply(self.submit(client, lab.mail(b"by nobody")), "530 5.7.0")
        client.ask("QUIT")
        self.nothing_arrived()

    def test_direct(self):
        client = self.session(auth_skip="direct")
        self.authenticate(client)
        message = lab.infected_mail()
        self.assertReply(self.submit(client, message), "250")
        client.ask("QUIT")
        client.__exit__()
        self.assertIn(message.split(b"\r\n")[-3], self.arrived(1)[0])
        self.assertTrue(self.own.wait_for_log("^close .*phase=direct .*auth=yes"))
        self.assertTrue(self.own.logged("^direct .*why=auth"))
        self.assertFalse(self.own.logged("^found"))

    def test_antivir(self):
        client = self.session(auth_skip="antivir")
        self.authenticate(client)
        self.assertReply(self.submit(client, lab.infected_mail()), "250")
        client.ask("QUIT")
        self.arrived(1)
        self.assertTrue(self.own.wait_for_log("^close .*delivered=1 auth=yes"))
        self.assertFalse(self.own.logged("^found|^verdict"))

    def test_who_did_not_authenticate_is_scanned(self):
        client = self.session(auth_skip="{direct, antivir}")
        self.assertReply(self.submit(client, lab.infected_mail()), "550 5.7.1 Virus found")
        self.nothing_arrived()


class Load(Case):
    """smtp-source: many clients at once; nothing is lost, nothing comes twice."""

    def source(self, *arguments):
        subprocess.run(
            ["smtp-source", "-f", "ann@example.test", "-t", self.address, *arguments,
             f"inet:127.0.0.1:{gateway.port}"],
            check=True, timeout=200, stdin=subprocess.DEVNULL)

    def check(self, count, *arguments):
        self.source("-m", str(count), *arguments)
        self.arrived(count)
        self.assertEqual(len(self.logged(r"^verdict .*clean")), count)
        self.assertEqual(len(self.logged(r"^delivered .*code=250")), count)

    def test_many_sessions(self):
        self.check(400, "-s", "40", "-l", "4000")

    def test_many_mails_a_session(self):
        self.check(400, "-s", "8", "-d", "-l", "2000")

    def test_large_mails_at_once(self):
        self.check(24, "-s", "8", "-l", "2000000")

    def test_infected_among_many(self):
        """While others deliver, the infected ones are refused, each of them."""
        source = subprocess.Popen(
            ["smtp-source", "-f", "ann@example.test", "-t", self.address, "-m", "200",
             "-s", "10", "-l", "4000", f"inet:127.0.0.1:{gateway.port}"],
            stdin=subprocess.DEVNULL)
        try:
            for _ in range(20):
                with self.talk() as client:
                    client.hello()
                    replies = client.submit(lab.infected_mail(), self.address)
                    self.assertReply(replies[-1], "550")
            self.assertEqual(source.wait(200), 0)
        finally:
            source.kill()
            source.wait()
        for content in self.arrived(200):
            self.assertNotIn(b"invoice.zip", content)
        self.assertEqual(len(self.logged(r"^found ")), 20)


class Quarantine(Case):
    """What is kept goes to the server when it is released, and not before."""

    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gated-kept-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.keeper = lab.Gateway(PROGRAM, {
            "allow_root": "yes", "mode": "fixed", "fixed_server": '"127.0.0.1"',
            "fixed_server_port": server.port, "spool_leave_on": "{virus}",
            "quarantine_path": f'"{self.directory}"'})
        self.addCleanup(self.keeper.stop)

    def run_it(self, *words, code=0):
        done = subprocess.run(
            [PROGRAM, "--quarantine", self.keeper.directory + "/conf", *words], timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout + done.stderr

    def keep(self, message, by_chunk=False):
        with lab.Client(("127.0.0.1", self.keeper.port), seconds=30) as client:
            client.hello()
            if by_chunk:
                client.ask("MAIL FROM:<ann@example.test>")
                client.ask(f"RCPT TO:<{self.address}>")
                client.send(b"BDAT %d LAST\r\n" % len(message) + message)
                self.assertReply(client.reply(), "550")
            else:
                self.assertReply(client.submit(message, self.address)[-1], "550")
        self.assertTrue(self.keeper.wait_for_log("^kept "))
        self.nothing_arrived()
        return self.run_it().split("\t")[0]

    def test_release(self):
        message = MARK + lab.mail(b".", b"..", bytes(range(128, 256)), lab.EICAR, b"end",
                                  subject="kept")
        name = self.keep(message)
        self.assertRegex(self.run_it("release", name, "--delete"), "250 2.0.0 Ok: queued as ")
        self.assertSame(self.arrived(1)[0], message)
        self.assertEqual(self.run_it(), "")

    def test_by_chunk_and_binary(self):
        """What has no end goes by BDAT; what is no text cannot go there at all."""
        message = MARK + lab.mail(lab.EICAR, b".", subject="kept") + b"no end"
        name = self.keep(message, by_chunk=True)
        note = self.directory / f"{name}.json"
        words = note.read_text()
        self.assertIn('"binarymime": false', words)
        note.write_text(words.replace('"binarymime": false', '"binarymime": true'))
        self.assertRegex(self.run_it("release", name, "--delete", code=5),
                         "MAIL: the message is binary, and the server does not offer")
        self.nothing_arrived()
        note.write_text(words)
        self.assertRegex(self.run_it("release", name, "--delete"), "250 2.0.0 Ok: ")
        self.assertSame(self.arrived(1)[0], message + b"\r\n")


if __name__ == "__main__":
    lab.main()
