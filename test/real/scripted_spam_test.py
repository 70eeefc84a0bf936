#!/usr/bin/python3
"""Spam scanners that do as they are told: each step of a protocol, and each way to fail there.

    scripted_spam_test.py PROGRAM [unittest arguments, as: Scripted.test_name]

Whatever a scanner does, a message that it has not passed is not delivered, the client gets
an answer, and in time.
"""
import concurrent.futures
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import scanners                         # noqa: E402
import scripted_test                    # noqa: E402

PROGRAM = lab.program()
MESSAGE, TAKEN = scripted_test.MESSAGE, scripted_test.TAKEN
FAILED = "451 4.3.0 Local error, please try again later"
HAM = b'{"score":1.0,"required_score":15.0,"action":"no action","symbols":{}}'


class Talk(scripted_test.Talk):
    STEPS = ("call", "head", "middle", "all", "half")

    def hold(self):
        self.step("call")
        lines = []
        while row := self.line():
            lines.append(row)
        assert lines[0] == self.FIRST, lines
        size = int([row for row in lines if row.lower().startswith(b"content-length:")][0][15:])
        assert size == len(MESSAGE)
        self.step("head")
        self.read(size // 2)
        self.step("middle")
        assert self.read(size - size // 2) == MESSAGE[size // 2:]
        self.step("all")
        self.say(self.ANSWER[:40])
        self.step("half")
        self.say(self.ANSWER[40:])


class Spamd(Talk):
    KIND, OPTION = "spamassassin", "antispam_path"
    FIRST = b"SYMBOLS SPAMC/1.5"
    ANSWER = b"SPAMD/1.1 0 EX_OK\r\nContent-length: 4\r\nSpam: False ; 1.0 / 5.0\r\n\r\nRULE"


class Rspamd(Talk):
    KIND, OPTION = "rspamd", "rspamd_url"
    FIRST = b"POST /checkv2 HTTP/1.1"
    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(HAM), HAM)


class Server(scripted_test.Server):
    def __init__(self, kind, *how, **more):
        super().__init__(kind, *how, **more)
        port = self.socket.getsockname()[1]
        self.name = ("http://" if kind is Rspamd else "") + f"127.0.0.1:{port}"


class Scripted(scanners.Case, unittest.TestCase):
    def ask(self, kind, *servers, **options):
        """The reply to a message that a new gateway has them look at, and how long it took."""
        listed = ", ".join(f'"{server.name}"' for server in servers)
        gateway = self.new_gateway(
            PROGRAM, antivirus_type="off", antispam_type=kind.KIND, spam_max_size="10M",
            **{kind.OPTION: f"{{{listed}}}"}, **options)
        try:
            return self.timed(gateway, MESSAGE)
        finally:
            for server in servers:
                server.stop()
            gateway.stop()

    @staticmethod
    def outcome(kind, step, how):
        """What becomes of a message: with the one that fails alone, and with another, which
        is asked as long as no answer has begun; by HTTP also if that was none."""
        if how == "hang":
            return FAILED, FAILED
        if kind is Spamd and (how == "babble" or step == "half"):
            return FAILED, FAILED
        return FAILED, TAKEN

    def try_failure(self, kind, step, how):
        first, second, good = Server(kind, step, how), Server(kind, step, how), Server(kind)
        replies = (self.ask(kind, first, timeout_spam=1),
                   self.ask(kind, second, good, timeout_spam=3 if how != "hang" else 2))
        self.assertEqual((replies[0][0], replies[1][0]), self.outcome(kind, step, how))
        self.assertLess(max(replies[0][1], replies[1][1]), 10)
        self.assertEqual(first.troubles + second.troubles + good.troubles, [])

    def check_all(self, kind):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            tries = {pool.submit(self.try_failure, kind, step, how): (step, how)
                     for step in kind.STEPS for how in ("close", "reset", "babble", "hang")}
            for one in concurrent.futures.as_completed(tries):
                with self.subTest(tries[one]):
                    one.result()

    def test_spamd_fails(self):
        self.check_all(Spamd)

    def test_rspamd_fails(self):
        self.check_all(Rspamd)

    def test_slow(self):
        """By the byte, and reading slowly: that is no failure."""
        for kind in (Spamd, Rspamd):
            server = Server(kind, slow=True)
            self.assertEqual(self.ask(kind, server)[0], TAKEN)
            self.assertEqual(server.troubles, [])


if __name__ == "__main__":
    lab.main()
