#!/usr/bin/python3
"""Messages that are kept: looked at, deleted, released; with the daemon and without.

    quarantine.py PROGRAM [unittest arguments]
"""
import contextlib
import hashlib
import json
import base64
import os
import pwd
import re
import socketserver
import subprocess
import threading
import time

from gated import (LIBC, PROGRAM, Case, MailServer, as_root, is_gone, lab, main, read_as,
                   wait_until)

USER = pwd.getpwnam("backup")
ID = r"\d{8}T\d{6}Z-\w+-\d+"
TAKEN, NOT_TAKEN = 0, 5
AGE = 86400


class Server(MailServer):
    """Takes mail and keeps the bytes; ANSWERS has other replies to some commands, by how
    they begin; a reply of None closes the connection."""

    def __init__(self, **answers):
        self.answers = answers
        self.heard, self.mails = [], []
        super().__init__(Talk)


class Talk(socketserver.StreamRequestHandler):
    chunk = b""

    def answer(self, what, usual):
        for begin, reply in self.server.answers.items():
            if what.startswith(begin.replace("_", " ")):
                usual = reply
                break
        if usual is None:
            return False
        self.wfile.write(usual.encode("latin-1") + b"\r\n")
        return not usual.startswith("421")

    def handle(self):
        if not self.answer("greeting", "220 server.example ESMTP"):
            return
        for line in self.rfile:
            line = line.decode("latin-1")
            self.server.heard.append(line)
            usual = {"EHLO": "250-server.example\r\n250-SIZE 1000000\r\n250 8BITMIME",
                     "DATA": "354 go on", "AUTH": "235 ok",
                     "QUIT": "221 bye"}.get(line[:4], "250 fine")
            if not self.answer(line, usual) or line.startswith("QUIT"):
                return
            if line.startswith("BDAT"):
                self.chunk += self.rfile.read(int(line.split()[1]))
                if "LAST" not in line:
                    continue
                self.server.mails.append(self.chunk)
                self.chunk = b""
            if line.startswith("DATA") and "DATA" not in self.server.answers:
                mail = b""
                while (more := self.rfile.readline()) not in (b".\r\n", b""):
                    mail += more[1:] if more.startswith(b".") else more
                if not more:
                    return
                self.server.mails.append(mail)
                if not self.answer("end", "250 2.0.0 taken as 4711"):
                    return


class Kept(Case):
    """A daemon that keeps what has a virus."""

    def setUp(self):
        super().setUp()
        self.directory = self.gated.directory / "kept"
        self.directory.mkdir()
        self.gated.configure(spool_leave_on="{virus}", nat_header_type="none",
                             quarantine_path=f'"{self.directory}"')

    def another_server(self, **answers):
        server = Server(**answers)
        self.addCleanup(server.close)
        return server

    def run_it(self, *arguments, file=None, **more):
        return subprocess.run(
            [PROGRAM, "--quarantine", str(file or self.gated.file), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=self.gated.environment(), timeout=60, check=False, **more)

    def quarantine(self, *arguments, code=0, says=None, **more):
        """What it prints; its exit code and what it complains of are checked."""
        done = self.run_it(*arguments, **more)
        words = done.stderr.decode()
        self.assertEqual(done.returncode, code, words)
        if code == 0:
            self.assertEqual(words, "")
        if says:
            self.assertRegex(words, says)
        return done.stdout.decode()

    def rows(self):
        return [line.split("\t") for line in self.quarantine().splitlines()]

    def infect(self, message=None, sender="ann@example.test",
               recipients=("bob@example.test",)):
        """Sends a message that is kept; returns its ID and the bytes."""
        message = message or lab.mail(b".", b"..two", lab.EICAR)
        count = len(self.gated.logged("^kept "))
        client = self.begin()
        self.assertRegex(client.ask(f"MAIL FROM:<{sender}>"), "^250")
        for recipient in recipients:
            self.assertRegex(client.ask(f"RCPT TO:<{recipient}>"), "^250")
        self.assertRegex(client.ask("DATA"), "^354")
        client.send(lab.dotted(message))
        self.assertRegex(client.reply(), "^550 ")
        client.__exit__()
        self.gated.wait_for_log("^kept ", count + 1)
        line = self.gated.logged("^kept ")[-1]
        return re.search(rf" id=({ID}) ", line)[1], message

    def note(self, name):
        return json.loads((self.directory / f"{name}.json").read_text())

    def names(self):
        return sorted(file.name for file in self.directory.iterdir())


class Looking(Kept):
    def test_list_and_show(self):
        """With the daemon and without it."""
        self.gated.start()
        self.assertEqual(self.quarantine(), "")
        first, message = self.infect(sender="")
        second, _ = self.infect(recipients=("bob@example.test", "eve@example.test"))
        rows = self.rows()
        self.assertEqual([row[0] for row in rows], [first, second])
        self.assertEqual(rows[0][1:], ["virus", lab.EICAR_NAME + ".UNOFFICIAL", "127.0.0.1", "<>",
                                       str(len(message))])
        self.assertEqual(rows[1][4], "ann@example.test")
        note = json.loads(self.quarantine("show", second))
        self.assertEqual(note, self.note(second))
        self.assertEqual(note["schema"], 1)
        self.assertEqual(note["recipients"], ["bob@example.test", "eve@example.test"])
        self.assertEqual(note["helo"], "client.example")
        self.assertEqual(note["check"], "libclamav")
        self.assertEqual(note["action"], "refuse")
        self.assertEqual(note["client"]["address"], "127.0.0.1")
        self.assertEqual(note["server"], {"address": "127.0.0.1", "port": self.sink.port})
        self.assertAlmostEqual(note["unixtime"], time.time(), delta=60)
        self.assertFalse(note["authenticated"])
        self.assertEqual(note["sha256"], hashlib.sha256(message).hexdigest())
        state = self.gated.write_state()
        self.assertEqual((state["quarantine_now"], state["quarantine_kept"]), ("2", "2"))
        self.gated.stop()
        self.assertEqual(self.quarantine("list"), "\n".join("\t".join(r) for r in rows) + "\n")

    def test_wrong_command_lines(self):
        one = "20261123T033012Z-k3rrhdxz-1"
        for arguments, words in (
                (("peep",), "list, show, delete or release"), (("show",), "which message"),
                (("show", "../etc/passwd"), "no ID"), (("show", one + "/x"), "no ID"),
                (("delete",), "which message"), (("list", one), "too many words"),
                (("release", one, one), "too many words"),
                (("delete", one, "--older", "1d"), "--older, or IDs"),
                (("delete", "--older", "soon"), "is no age"),
                (("delete", "--older", "-1d"), "is no age"),
                (("list", "--older", "1d"), "does not belong"),
                (("show", one, "--delete"), "does not belong"),
                (("release", one, "--to", "x", "--server", "y"), "not both")):
            with self.subTest(arguments):
                self.quarantine(*arguments, code=2, says=words)
        for arguments, words in (
                (("show", one), f"{one}.json: No such file"),
                (("delete", one), "there is no such message"),
                (("release", one), "there is no such message"),
                (("release", one, "--to", str(self.gated.directory / "out")),
                 "there is no such message")):
            with self.subTest(arguments):
                self.quarantine(*arguments, code=1, says=words)
        self.assertFalse((self.gated.directory / "out").exists())
        self.gated.configure(quarantine_path='"/none"')
        self.quarantine(code=1, says="/none: No such file or directory; nothing has been kept")

    def test_what_is_no_note_of_ours(self):
        """Is listed as far as it goes, harms nobody, and can be deleted."""
        texts = {1: "", 2: "{", 3: "[]", 4: '{"schema": 2}', 5: '{"schema": 1}',
                 6: '{"schema": 1, "sender": 7, "client": "x", "finding": "\\u001b[2J\\u009b"}',
                 7: '{"schema": 1, "schema": 1}', 8: "[" * 100000, 9: None}
        for number, text in texts.items():
            name = self.directory / f"20261123T033012Z-k3rrhdxz-{number}"
            name.with_name(name.name + ".eml").write_bytes(b"x")
            if text is not None:
                name.with_name(name.name + ".json").write_text(text)
        out = self.quarantine()
        self.assertEqual(len(out.splitlines()), 9)
        self.assertNotRegex(out, r"[^\t\n -~]")
        for number in texts:
            name = f"20261123T033012Z-k3rrhdxz-{number}"
            self.quarantine("release", name, code=1)
            self.quarantine("delete", name)
        self.assertEqual(self.names(), [])

    def test_planted_files_are_not_followed(self):
        secret = self.gated.directory / "secret"
        secret.write_text('{"schema": 1, "sender": "secret"}')
        base = "20261123T033012Z-k3rrhdxz-"
        for ending in ("eml", "json"):
            (self.directory / f"{base}1.{ending}").symlink_to(secret)
            os.link(secret, self.directory / f"{base}2.{ending}")
            os.mkfifo(self.directory / f"{base}3.{ending}")
        for number in (1, 2, 3):
            self.assertNotIn("secret", self.quarantine("show", f"{base}{number}", code=1))
            self.assertNotIn("secret", self.quarantine("release", f"{base}{number}", "--to",
                                                       "-", code=1))
            self.quarantine("delete", f"{base}{number}")
        self.assertEqual(self.names(), [])
        self.assertTrue(secret.exists())

    def test_standard_output_that_is_full(self):
        self.gated.start()
        self.infect()
        self.gated.stop()
        with open("/dev/full", "wb") as full:
            done = subprocess.run([PROGRAM, "--quarantine", str(self.gated.file)], stdout=full,
                                  stderr=subprocess.PIPE, timeout=30, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output: No space left", done.stderr)


    def test_header_of_ours(self):
        """What would have been delivered is what is kept."""
        self.gated.configure(nat_header_type="ip-only")
        self.gated.start()
        name, message = self.infect()
        kept = (self.directory / f"{name}.eml").read_bytes()
        self.assertEqual(kept, b"X-Nat-Received: 127.0.0.1\r\n" + message)
        self.assertEqual(self.note(name)["size"], len(kept))
        self.gated.stop()


class Users(Kept):
    """Who has authenticated is in the note, unless the log is not to have addresses."""
    LOGIN = "AUTH PLAIN " + base64.b64encode(b"\0ann@example.test\0secret").decode()

    def keeps(self, **options):
        server = self.another_server()
        self.gated.configure(fixed_server_port=server.port, **options)
        self.gated.start()
        with lab.Client(("127.0.0.1", self.gated.port), seconds=30) as client:
            client.hello()
            self.assertRegex(client.ask(self.LOGIN), "^235")
            self.assertRegex(client.submit(lab.mail(lab.EICAR))[-1], "^550")
        self.gated.wait_for_log("^kept ", 1)
        name = re.search(rf" id=({ID}) ", self.gated.logged("^kept ")[-1])[1]
        self.gated.stop()
        return self.note(name)

    def test_named(self):
        note = self.keeps()
        self.assertEqual((note["authenticated"], note["user"]), (True, "ann@example.test"))

    def test_hidden(self):
        note = self.keeps(log_mail_from="off", log_rcpt_to="off")
        self.assertEqual((note["authenticated"], note["user"]), (True, None))


class Binary(Kept):
    """What came by BDAT with BODY=BINARYMIME is not made of lines."""
    EXTENSIONS = "250-server.example\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 BINARYMIME"
    ODD = (b"Subject: binary\r\n\r\n" + lab.EICAR + b"\0\r.\r\n.\n\n\r\r\n" +
           bytes(range(256)) * 700 + b"\r\n.\r\nthe end")

    def setUp(self):
        super().setUp()
        self.server = self.another_server(EHLO=self.EXTENSIONS)
        self.gated.configure(fixed_server_port=self.server.port, delivery="hold")
        self.gated.start()

    def keep(self, message, body=" BODY=BINARYMIME"):
        """Returns the ID that it is kept by."""
        count = len(self.gated.logged("^kept "))
        with lab.Client(("127.0.0.1", self.gated.port), seconds=30) as client:
            client.hello()
            self.assertRegex(client.ask(f"MAIL FROM:<ann@example.test>{body}"), "^250")
            self.assertRegex(client.ask("RCPT TO:<bob@example.test>"), "^250")
            client.send(b"BDAT %d LAST\r\n" % len(message) + message)
            self.assertRegex(client.reply(), "^550")
        self.gated.wait_for_log("^kept ", count + 1)
        name = re.search(rf" id=({ID}) ", self.gated.logged("^kept ")[-1])[1]
        self.assertEqual((self.directory / f"{name}.eml").read_bytes(), message)
        self.assertEqual(self.note(name)["binarymime"], body != "")
        return name

    def release(self, name, ehlo, **expected):
        server = self.another_server(EHLO=ehlo)
        self.quarantine("release", name, "--server", f"127.0.0.1:{server.port}", **expected)
        return server

    def test_to_a_server_that_takes_it(self):
        name = self.keep(self.ODD)
        self.quarantine("release", name, "--delete")
        self.assertEqual(self.server.mails, [self.ODD])
        self.assertIn("MAIL FROM:<ann@example.test> BODY=BINARYMIME\r\n", self.server.heard)
        self.assertIn(f"BDAT {len(self.ODD)} LAST\r\n", self.server.heard)
        self.assertEqual(self.names(), [])

    def test_to_servers_that_cannot_take_it(self):
        """It is said why, nothing is sent, and nothing is lost."""
        for message in (self.ODD, lab.mail(lab.EICAR) + b"no end", lab.mail(lab.EICAR, b"x" * 999),
                        lab.mail(lab.EICAR, b"\0"), lab.mail(lab.EICAR, b"a\nb")):
            name = self.keep(message)
            for ehlo in ("502 what?", "250-server.example\r\n250 CHUNKING",
                         "250-server.example\r\n250 BINARYMIME"):
                server = self.release(name, ehlo, code=NOT_TAKEN,
                                      says="MAIL: the message is binary, and the server does not "
                                      "offer CHUNKING and BINARYMIME")
                self.assertEqual(server.mails, [])
                self.assertNotIn("MAIL", "".join(server.heard))
            self.assertEqual(self.run_it("release", name, "--to", "-").stdout, message)

    def test_refused_at_the_end(self):
        name = self.keep(self.ODD)
        server = self.another_server(EHLO=self.EXTENSIONS, BDAT="552 too much")
        self.quarantine("release", name, "--delete", "--server", f"127.0.0.1:{server.port}",
                        code=NOT_TAKEN, says="end of the message: 552 too much")
        self.assertEqual(len(self.names()), 2)

    def test_lines_after_all(self):
        """Any server gets it as it is."""
        message = lab.mail(b".", lab.EICAR, b"x" * 998)
        server = self.release(self.keep(message), "250-server.example\r\n250 SIZE")
        self.assertEqual(server.mails, [message])

    def test_chunks_without_an_end(self):
        """What has lines, but for the end of the last one."""
        message = lab.mail(lab.EICAR) + b"no end"
        name = self.keep(message, body="")
        self.assertEqual(self.release(name, "250-server.example\r\n250 CHUNKING").mails, [message])
        self.assertEqual(self.release(name, "250 server.example").mails, [message + b"\r\n"])


class Lmtp(Kept):
    """A server of LMTP that takes EHLO and HELO, too, and answers each recipient in any case:
    whoever takes it for one of SMTP would overlook who was refused."""
    BOTH = "250 2.0.0 bob has it\r\n250 2.0.0 eve has it"
    ONE = "250 2.0.0 bob has it\r\n552 5.2.2 eve has no room"

    def keep(self, **options):
        """A message to bob and eve; its ID."""
        self.gated.configure(**options)
        self.gated.start()
        self.addCleanup(self.gated.stop)
        return self.infect(recipients=["bob@example.test", "eve@example.test"])[0]

    def keep_by_lmtp(self, end):
        server = self.another_server(end=end)
        return server, self.keep(server_protocol="lmtp", delivery="hold",
                                 fixed_server_port=server.port)

    def change(self, name, **changes):
        note = dict(self.note(name), **changes)
        note = {key: value for key, value in note.items() if value is not None}
        (self.directory / f"{name}.json").write_text(json.dumps(note))

    def test_its_server(self):
        """The note knows, whatever the configuration says by now."""
        server, name = self.keep_by_lmtp(self.BOTH)
        self.assertEqual(self.note(name)["protocol"], "lmtp")
        del server.heard[:]
        self.gated.configure(server_protocol="smtp")
        out = self.quarantine("release", name, "--delete")
        self.assertIn("250 2.0.0 eve has it", out)
        self.assertEqual(server.heard[0], "LHLO gate.example\r\n")
        self.assertNotRegex("".join(server.heard), "EHLO|HELO g")
        self.assertEqual(len(server.mails), 1)

    def test_refused_recipient(self):
        _, name = self.keep_by_lmtp(self.ONE)
        self.quarantine("release", name, "--delete", code=NOT_TAKEN,
                        says="1 of 2 recipients are refused.*RCPT eve@example.test: 552 5.2.2")
        self.assertEqual(len(self.names()), 2)

    def test_older_note(self):
        """The configuration says what it does not."""
        server, name = self.keep_by_lmtp(self.ONE)
        self.change(name, protocol=None)
        del server.heard[:]
        self.quarantine("release", name, code=NOT_TAKEN, says="1 of 2 recipients are refused")
        self.assertEqual(server.heard[0], "LHLO gate.example\r\n")

    def test_server_of_smtp(self):
        """Named in its place."""
        _, name = self.keep_by_lmtp(self.BOTH)
        server = self.another_server(LHLO="502 what?")
        self.quarantine("release", name, "--server", f"127.0.0.1:{server.port}")
        self.assertEqual([line[:4] for line in server.heard[:3]], ["LHLO", "EHLO", "MAIL"])
        self.assertEqual(len(server.mails), 1)
        server = self.another_server(LHLO="550 not you")
        self.quarantine("release", name, "--server", f"127.0.0.1:{server.port}", code=NOT_TAKEN,
                        says="LHLO: 550 not you")
        server = self.another_server(LHLO="502 what?", EHLO="502 what?", HELO="502 nor that")
        self.quarantine("release", name, "--server", f"127.0.0.1:{server.port}", code=NOT_TAKEN,
                        says="HELO: 502 nor that")

    def test_smtp_is_as_it_was(self):
        name = self.keep()
        self.assertEqual(self.note(name)["protocol"], "smtp")
        server = self.another_server(EHLO="502 what?", HELO="502 what?", end=self.BOTH)
        self.quarantine("release", name, "--server", f"127.0.0.1:{server.port}")
        self.assertEqual([line[:4] for line in server.heard[:4]],
                         ["EHLO", "HELO", "LHLO", "MAIL"])


class Deleting(Kept):
    def test_by_id_and_by_age(self):
        self.gated.start()
        ids = [self.infect()[0] for _ in range(3)]
        old = time.strftime("%Y%m%dT%H%M%SZ-before-1", time.gmtime(time.time() - 2 * AGE))
        (self.directory / f"{old}.eml").write_bytes(b"x")
        (self.directory / "README").write_text("not ours")
        self.quarantine("delete", ids[0], ids[2])
        self.assertEqual([row[0] for row in self.rows()], [old, ids[1]])
        self.assertEqual(self.quarantine("delete", "--older", "3d"), "deleted 0\n")
        self.assertEqual(self.quarantine("delete", "--older", "1d"), "deleted 1\n")
        self.quarantine("delete", ids[0], ids[1], code=1, says="there is no such message")
        self.assertEqual(self.names(), ["README"])
        self.infect()
        self.gated.stop()


class Releasing(Kept):
    def setUp(self):
        super().setUp()
        self.gated.start()

    def test_to_a_file(self):
        """Byte for byte, from memory and from a file; never over another file."""
        big = lab.mail(*[b"." + bytes(range(14, 256)) * 3] * 2000, lab.EICAR)
        for message in (None, big):
            name, message = self.infect(message)
            out = self.gated.directory / f"out-{name}"
            self.quarantine("release", name, "--to", str(out))
            self.assertEqual(out.read_bytes(), message)
            self.assertEqual(out.stat().st_mode & 0o777, 0o600)
            self.assertEqual(self.run_it("release", name, "--to", "-").stdout, message)
            self.quarantine("release", name, "--to", str(out), code=1, says="File exists")
        self.quarantine("release", name, "--to", str(out) + ".too", "--delete")
        self.assertNotIn(f"{name}.eml", self.names())

    def test_to_its_server(self):
        """The same bytes to the same recipients, at the server that it was for."""
        name, message = self.infect(recipients=["bob@example.test", "eve+x@example.test"])
        before = len(self.sink.complete)
        out = self.quarantine("release", name)
        self.assertEqual(out, f"127.0.0.1 port {self.sink.port}: 250 taken\n")
        self.assertEqual(self.sink.complete[before:], [lab.dotted(message)[:-3]])
        self.assertEqual(len(self.rows()), 1)
        self.quarantine("release", name, "--delete")
        self.assertEqual(self.names(), [])

    def test_to_another_server(self):
        server = self.another_server()
        name, message = self.infect(sender="", recipients=["bob@example.test"])
        out = self.quarantine("release", name, "--server", f"127.0.0.1:{server.port}")
        self.assertIn("250 2.0.0 taken as 4711", out)
        self.assertEqual(server.mails, [message])
        self.assertTrue(wait_until(lambda: len(server.heard) == 5))
        self.assertEqual(server.heard, [
            "EHLO gate.example\r\n", f"MAIL FROM:<> SIZE={len(message)} BODY=8BITMIME\r\n",
            "RCPT TO:<bob@example.test>\r\n", "DATA\r\n", "QUIT\r\n"])
        self.quarantine("release", name, "--server", "localhost:", code=2, says="HOST:PORT")
        self.quarantine("release", name, "--server", "127.0.0.1:0", code=2, says="HOST:PORT")
        self.quarantine("release", name, "--server", "[::1]:65536", code=2, says="HOST:PORT")

    def test_old_server(self):
        server = self.another_server(EHLO="502 what?", HELO="250 old.example")
        name, message = self.infect()
        self.quarantine("release", name, "--server", f"127.0.0.1:{server.port}")
        self.assertEqual(server.mails, [message])
        self.assertIn("MAIL FROM:<ann@example.test>\r\n", server.heard)

    def test_big(self):
        message = lab.mail(*[b"." + bytes(range(14, 256)) * 3] * 8000, lab.EICAR)
        server = self.another_server()
        name, _ = self.infect(message)
        self.quarantine("release", name, "--server", f"127.0.0.1:{server.port}")
        self.assertEqual(server.mails, [message])

    def test_servers_that_do_not_take_it(self):
        """It stays, it is said why, and no server gets half a message as a whole one."""
        name, _ = self.infect(recipients=["bob@example.test", "eve@example.test"])
        for answers, words in (
                ({"greeting": "554 no"}, "greeting: 554 no"),
                ({"greeting": None}, "closed the connection"),
                ({"greeting": "\x1b[2Jhello"}, "said what is no reply"),
                ({"EHLO": "421 later"}, "421 later|closed the connection"),
                ({"MAIL": "451 4.7.1 \x1b]0;grey"}, r"MAIL: 451 4\.7\.1 \?\]0;grey"),
                ({"RCPT_TO:<eve": "550 no such user"},
                 "RCPT eve@example.test: 550 no such user"),
                ({"DATA": "554 no"}, "DATA: 554 no"),
                ({"end": "550 5.7.1 spam"}, "end of the message: 550 5.7.1 spam"),
                ({"end": None}, "is not known: look there before")):
            server = self.another_server(**answers)
            with self.subTest(words):
                self.quarantine("release", name, "--delete", "--server",
                                f"127.0.0.1:{server.port}", code=NOT_TAKEN, says=words)
                self.assertEqual(len(server.mails), "end" in answers)
                self.assertEqual(len(self.names()), 2)
        self.quarantine("release", name, "--server", f"127.0.0.1:{lab.free_port()}",
                        code=NOT_TAKEN, says="connect: Connection refused")
        self.quarantine("release", name, "--server", "name.invalid",
                        code=NOT_TAKEN, says="address: ")

    def test_envelopes_that_are_not_known(self):
        """Neither is a part of the recipients served, nor are others made up."""
        many = [f"r{number}@example.test" for number in range(101)]
        name, message = self.infect(recipients=many)
        self.assertEqual(self.note(name)["recipients_total"], 101)
        self.assertEqual(len(self.note(name)["recipients"]), 100)
        self.quarantine("release", name, code=1, says="envelope is not known in full.*--to")
        self.assertEqual(self.run_it("release", name, "--to", "-").stdout, message)
        name, _ = self.infect(recipients=["x" * 1800 + f"{n}@example.test" for n in range(10)])
        self.quarantine("release", name, code=1, says="envelope is not known in full")
        name, _ = self.infect(recipients=["b\xf6b@example.test"])
        self.assertIn("\ufffd", self.note(name)["recipients"][0])
        self.quarantine("release", name, code=1, says="envelope is not known in full")

    def test_addresses_that_are_not_ascii(self):
        name, message = self.infect(recipients=["bj\xc3\xb6rn@example.test"])
        self.assertEqual(self.note(name)["recipients"], ["bj\xf6rn@example.test"])
        self.quarantine("release", name, code=NOT_TAKEN, says="does not offer SMTPUTF8")
        server = self.another_server(EHLO="250-x\r\n250 SMTPUTF8")
        self.quarantine("release", name, "--server", f"127.0.0.1:{server.port}")
        self.assertIn("MAIL FROM:<ann@example.test> SMTPUTF8\r\n", server.heard)
        self.assertIn("RCPT TO:<bj\xc3\xb6rn@example.test>\r\n", server.heard)
        self.assertEqual(server.mails, [message])

    def test_notes_that_were_tampered_with(self):
        """No words of a note become commands; a message of another size is not sent."""
        name, _ = self.infect()
        note = self.note(name)
        for change in ({"sender": "a>\r\nRSET"}, {"recipients": ["b>\r\nDATA"]},
                       {"recipients": [7]}, {"recipients": []}, {"sender": None},
                       {"size": note["size"] - 1}, {"server": {"address": "", "port": 25}},
                       {"action": "deliver"}, {"action": "tag"}):
            with self.subTest(change):
                (self.directory / f"{name}.json").write_text(json.dumps(dict(note, **change)))
                before = len(self.sink.complete)
                self.quarantine("release", name, code=1)
                self.assertEqual(len(self.sink.complete), before)

    def test_what_was_delivered_is_not_delivered_twice(self):
        self.gated.reload(spool_leave_on="{always}")
        client = self.begin()
        self.assertRegex(client.submit(lab.mail(b"clean"))[-1], "^250")
        self.gated.wait_for_log("^kept .*finding=clean")
        self.quarantine("release", self.rows()[0][0], code=1, says="delivered twice")
        self.assertEqual(len(self.sink.complete), 1)


class Rooms(Kept):
    def test_budget_under_load(self):
        """Eight clients at once: at no time is much more kept than may be, at the end not
        more, and the newest are there."""
        budget = 40 * 4096
        self.gated.configure(quarantine_max_size=budget, spool_leave_on="{always}",
                             antivirus_type="off")
        self.gated.start()
        most = 0

        def load(number):
            client = lab.Client(("127.0.0.1", self.gated.port))
            client.hello()
            for _ in range(40):
                size = 20000 if number == 0 else 2000
                client.submit(lab.mail(b"x" * size, subject=str(number)))
            client.__exit__()
        clients = [threading.Thread(target=load, args=(number,)) for number in range(8)]
        for one in clients:
            one.start()
        while any(one.is_alive() for one in clients):
            kept = 0
            for file in self.directory.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    kept += file.stat().st_size
            most = max(most, kept)
        self.gated.wait_for_log("^kept ", 320)
        self.assertTrue(wait_until(
            lambda: int(self.gated.write_state()["quarantine_bytes"]) <= budget))
        state = self.gated.write_state()
        self.assertEqual(int(state["quarantine_kept"]), 320)
        self.assertEqual(int(state["quarantine_failed"]), 0)
        self.assertEqual(int(state["quarantine_kept"]) - int(state["quarantine_dropped"]),
                         int(state["quarantine_now"]))
        self.assertEqual(len(self.names()), 2 * int(state["quarantine_now"]))
        self.assertLess(sum(file.stat().st_size for file in self.directory.iterdir()), budget)
        self.assertLess(most, 2 * budget)
        self.assertGreater(len(self.gated.logged("^discarded why=size messages=")), 0)
        # Those that went are older than those that stayed, to the second.
        newest = re.search(rf" newest=({ID})", self.gated.logged("^discarded ")[-1])[1]
        self.assertLessEqual(newest[:16], self.names()[0][:16])
        self.gated.stop()

    def test_limits_are_reloaded(self):
        self.gated.start()
        for _ in range(3):
            self.infect()
        self.gated.reload(quarantine_max_size=8192)
        self.gated.wait_for_log("^discarded why=size messages=2 ")
        self.assertEqual(len(self.names()), 2)
        self.gated.reload(quarantine_max_age=1)
        self.gated.wait_for_log("^discarded why=age messages=1 ")
        self.assertEqual(self.names(), [])
        self.gated.reload(quarantine_max_age=0, spool_perm="0600")
        name, _ = self.infect()
        self.assertEqual((self.directory / f"{name}.eml").stat().st_mode & 0o777, 0o600)
        self.gated.reload(quarantine_max_size=4096)
        client = self.begin()
        client.submit(lab.mail(lab.EICAR))
        client.__exit__()
        self.gated.wait_for_log("^trouble .*larger than all that may be kept")
        self.gated.stop()

    def test_restarts_know_what_there_is(self):
        self.gated.start()
        for _ in range(3):
            self.infect()
        self.gated.stop()
        self.gated.configure(quarantine_max_size=2 * 8192)
        self.gated.start()
        self.gated.wait_for_log("^discarded why=size messages=1 ")
        self.assertEqual(len(self.names()), 4)
        self.gated.stop()

    @as_root
    def test_full_disk(self):
        """Mail goes on, nothing half is left, and it is said."""
        if LIBC.mount(b"none", str(self.directory).encode(), b"tmpfs", 0, b"size=200k") != 0:
            self.skipTest("cannot mount")
        self.addCleanup(LIBC.umount2, str(self.directory).encode(), 2)
        self.gated.start()
        client = self.begin()
        big = lab.mail(*[b"x" * 70] * 10000, lab.EICAR)
        self.assertRegex(client.submit(big)[-1], "^550 ")
        client.__exit__()
        self.gated.wait_for_log("^trouble .*could not be kept: make room there.*No space left")
        self.assertEqual(self.names(), [])
        self.infect()
        self.assertEqual(len(self.names()), 2)
        self.assertEqual(self.gated.write_state()["quarantine_failed"], "1")
        self.gated.stop()

    @as_root
    def test_other_file_system(self):
        """It is copied, byte for byte."""
        if LIBC.mount(b"none", str(self.directory).encode(), b"tmpfs", 0, b"size=50m") != 0:
            self.skipTest("cannot mount")
        self.addCleanup(LIBC.umount2, str(self.directory).encode(), 2)
        self.gated.start()
        name, message = self.infect(lab.mail(*[b"." + b"x" * 70] * 100000, lab.EICAR))
        self.assertEqual((self.directory / f"{name}.eml").read_bytes(), message)
        self.gated.stop()


class Telling(Kept):
    def test_action_script(self):
        """It is told where the message is; one in a file is there by then."""
        told = self.gated.directory / "reports" / "told"
        script = self.gated.directory / "script"
        script.write_text(f'#!/bin/sh\nwc -c <"$SPOOL_NAME" >{told}.new\n'
                          f'echo "$SPOOL_NAME" >>{told}.new\nmv {told}.new {told}\n')
        script.chmod(0o755)
        self.gated.configure(action_script=f'"{script}"', script_on="{virus}",
                             lock_on="{never}")
        self.gated.start()
        name, message = self.infect(lab.mail(*[b"x" * 70] * 1000, lab.EICAR))
        self.assertTrue(wait_until(told.exists))
        self.assertEqual(told.read_text(),
                         f"{len(message)}\n{self.directory}/{name}.eml\n")
        told.unlink()
        self.gated.stop()


class Places(Kept):
    def test_spool_path_unless_said_otherwise(self):
        self.gated.configure(quarantine_path=None)
        self.gated.start()
        name, message = self.infect()
        self.assertEqual([row[0] for row in self.rows()], [name])
        self.assertEqual((self.gated.directory / "spool" / f"{name}.eml").read_bytes(), message)
        self.quarantine("delete", name)
        self.gated.stop()

    def test_link_to_a_directory(self):
        (self.gated.directory / "link").symlink_to(self.directory)
        self.gated.configure(quarantine_path=f'"{self.gated.directory}/link"')
        self.gated.start()
        name, _ = self.infect()
        self.assertEqual([row[0] for row in self.rows()], [name])
        self.gated.stop()

    @as_root
    def test_made_for_its_user(self):
        """The directory is made; root looks into it as its owner, and others do not."""
        path = self.gated.directory / "made" / "here"
        self.gated.configure(allow_root=None, set_user='"backup"', spool_perm="0600",
                             quarantine_path=f'"{path}"')
        self.gated.start()
        name, message = self.infect()
        self.directory = path
        self.assertEqual((path.stat().st_uid, path.stat().st_mode & 0o777),
                         (USER.pw_uid, 0o750))
        self.assertFalse(read_as(65534, path / f"{name}.eml"))
        self.assertEqual(self.run_it("release", name, "--to", "-").stdout, message)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        self.quarantine(code=1, says="Permission denied; do this as root", **nobody)
        own = {"user": USER.pw_uid, "group": USER.pw_gid, "extra_groups": []}
        self.assertIn(name, self.quarantine("list", **own))
        # A file of root's that the daemon's user has a link to stays root's.
        out = self.gated.directory / "out"
        self.quarantine("release", name, "--to", str(out), "--delete")
        self.assertEqual((out.read_bytes(), out.stat().st_uid), (message, 0))
        self.assertEqual(list(path.iterdir()), [])
        self.gated.stop()

    @as_root
    def test_nobody_may_write_there(self):
        self.directory.chmod(0o755)
        self.gated.configure(allow_root=None, set_user='"backup"')
        self.assertRegex(self.gated.refused(),
                         f"cannot keep messages in {self.directory}: Permission denied; it "
                         "must be writable for set_user")

    @as_root
    def test_inside_of_a_chroot(self):
        """Without /proc; large and small; the command line finds them from outside."""
        jail = self.gated.directory / "jail"
        for name in ("scan", "spool"):
            (jail / name).mkdir(parents=True)
            (jail / name).chmod(0o1777)
        environment = self.gated.environment()
        environment["ASAN_OPTIONS"] += ":detect_leaks=0"
        self.gated.environment = lambda: environment
        self.gated.configure(allow_root=None, set_user='"backup"', chroot_path=f'"{jail}"',
                             spool_path='"/spool"', scan_path='"/scan"', statefile='""',
                             quarantine_path='"/kept"')
        self.gated.start()
        self.directory = jail / "kept"
        for message in (None, lab.mail(*[b"x" * 70] * 20000, lab.EICAR)):
            name, message = self.infect(message)
            self.assertEqual((self.directory / f"{name}.eml").read_bytes(), message)
            self.assertEqual(self.run_it("release", name, "--to", "-").stdout, message)
        self.assertEqual(len(self.rows()), 2)
        self.gated.stop()

    def test_upgrade_keeps_on(self):
        """The old process finishes what it has; the new one knows of it."""
        self.gated.start()
        self.infect()
        subprocess.run([PROGRAM, "--upgrade", str(self.gated.file)], check=True, timeout=60,
                       env=self.gated.environment(), stdout=subprocess.DEVNULL)
        old, self.gated.pid = self.gated.pid, int(self.gated.pidfile.read_text())
        self.assertTrue(wait_until(lambda: is_gone(old)))
        self.gated.process.wait()
        self.gated.process = None
        name, message = self.infect()
        self.assertEqual((self.directory / f"{name}.eml").read_bytes(), message)
        self.assertTrue(wait_until(lambda: self.gated.write_state()["quarantine_now"] == "2"))
        self.gated.stop()


if __name__ == "__main__":
    main()
