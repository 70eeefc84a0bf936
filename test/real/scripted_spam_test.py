#!/usr/bin/python3
"""Spam scanners that do as they are told: each step of a protocol, and each way to fail there.

    scripted_spam_test.py PROGRAM [unittest arguments, as: Scripted.test_name]

Whatever a scanner does, a message that it has not passed is not delivered, the client gets
an answer, and in time.
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import scripted                         # noqa: E402
from scanners import TAKEN              # noqa: E402

FAILED = "451 4.3.0 Local error, please try again later"
HAM = b'{"score":1.0,"required_score":15.0,"action":"no action","symbols":{}}'


def options(kind):
    return {"antivirus_type": "off", "antispam_type": kind, "spam_max_size": "10M"}


class Talk(scripted.Talk):
    STEPS = ("call", "head", "middle", "all", "half")

    def hold(self):
        self.step("call")
        lines = []
        while row := self.line():
            lines.append(row)
        assert lines[0] == self.FIRST, lines
        size = int([row for row in lines if row.lower().startswith(b"content-length:")][0][15:])
        assert size == len(scripted.MESSAGE)
        self.step("head")
        self.read(size // 2)
        self.step("middle")
        assert self.read(size - size // 2) == scripted.MESSAGE[size // 2:]
        self.step("all")
        self.say(self.ANSWER[:40])
        self.step("half")
        self.say(self.ANSWER[40:])


class Spamd(Talk):
    OPTIONS, SERVERS = options("spamassassin"), "antispam_path"
    FIRST = b"SYMBOLS SPAMC/1.5"
    ANSWER = b"SPAMD/1.1 0 EX_OK\r\nContent-length: 4\r\nSpam: False ; 1.0 / 5.0\r\n\r\nRULE"


class Rspamd(Talk):
    OPTIONS, SERVERS, URL = options("rspamd"), "rspamd_url", "http://{}"
    FIRST = b"POST /checkv2 HTTP/1.1"
    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(HAM), HAM)


class Busy(Rspamd):
    """Takes for ever with messages that say so."""

    def hold(self):
        size = 0
        while row := self.line():
            if row.lower().startswith(b"content-length:"):
                size = int(row[15:])
        if b"for ever" in self.read(size):
            self.read(1)
        self.say(self.ANSWER)


class Scripted(scripted.Case, unittest.TestCase):
    PROGRAM, TIMEOUT = lab.program(), "timeout_spam"

    @staticmethod
    def outcome(kind, step, how):
        """What becomes of a message: with the one that fails alone, and with another, which
        is asked as long as no answer has begun; by HTTP also if that was none."""
        if how == "hang":
            return FAILED, FAILED
        if kind is Spamd and (how == "babble" or step == "half"):
            return FAILED, FAILED
        return FAILED, TAKEN

    def test_spamd_fails(self):
        self.check_all(Spamd)

    def test_rspamd_fails(self):
        self.check_all(Rspamd)

    def test_rspamd_works_for_others(self):
        self.check_busy(Busy, FAILED)

    def test_slow(self):
        for kind in (Spamd, Rspamd):
            self.check_slow(kind)


if __name__ == "__main__":
    lab.main()
