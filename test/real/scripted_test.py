#!/usr/bin/python3
"""Scanners that do as they are told: each step of a protocol, and each way to fail there.

    scripted_test.py PROGRAM [unittest arguments, as: Scripted.test_name]

Whatever a scanner does, a message that it has not called clean is not delivered, the client
gets an answer, and in time; another scanner of the same engine stands in for it as long as
nothing of an answer has come.
"""
import pathlib
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import scripted                         # noqa: E402
from scanners import FAILED, TAKEN      # noqa: E402

ABILITIES = (b"ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nISTag: \"1\"\r\nPreview: 1024\r\n"
             b"Options-TTL: 60\r\nAllow: 204\r\nEncapsulated: null-body=0\r\n\r\n")
UNCHANGED = b"ICAP/1.0 204 No Content\r\nISTag: \"1\"\r\n\r\n"


class Clamd(scripted.Talk):
    STEPS = ("call", "command", "middle", "all", "half")
    OPTIONS, SERVERS = {"antivirus_type": "clamd"}, "antivirus_path"

    def hold(self):
        self.step("call")
        assert self.read(10) == b"zINSTREAM\0"
        self.step("command")
        chunks = 0
        while size := struct.unpack(">I", self.read(4))[0]:
            self.read(size)
            chunks += 1
            if chunks == 10:
                self.step("middle")
        self.step("all")
        self.say(b"stream:")
        self.step("half")
        self.say(b" OK\0")


class Hasty(Clamd):
    """Calls a message clean of which it has got the beginning."""

    def hold(self):
        assert self.read(10) == b"zINSTREAM\0"
        self.read(struct.unpack(">I", self.read(4))[0])
        self.say(b"stream: OK\0")
        time.sleep(1)                   # more is on its way than fits into sockets
        while size := struct.unpack(">I", self.read(4))[0]:
            self.read(size)


class Busy(Clamd):
    """Takes for ever with messages that say so."""

    def hold(self):
        assert self.read(10) == b"zINSTREAM\0"
        message = b""
        while size := struct.unpack(">I", self.read(4))[0]:
            message += self.read(size)
        if b"for ever" in message:
            self.read(1)
        self.say(b"stream: OK\0")


class Icap(scripted.Talk):
    STEPS = ("call", "options", "options half", "options told", "request", "preview", "continued",
             "middle", "all", "half", "content")
    OPTIONS, SERVERS = {"antivirus_type": "icap"}, "icap_url"
    URL = "icap://{}/av"

    def head(self):
        lines = []
        while row := self.line():
            lines.append(row)
        return lines

    def chunk(self):
        """One of the message; what ends it is empty."""
        size, _, rest = self.line().partition(b";")
        self.ieof = rest.strip() == b"ieof"
        raw = self.read(int(size, 16))
        self.read(2)
        return raw

    def hold(self):
        self.step("call")
        first = self.line()
        if first.startswith(b"OPTIONS "):
            self.head()
            self.step("options")
            self.say(ABILITIES[:40])
            self.step("options half")
            self.say(ABILITIES[40:])
            self.step("options told")
            first = self.line()
        assert first.startswith(b"RESPMOD "), first
        self.step("request")
        self.head(), self.head(), self.head()
        size = 0
        while raw := self.chunk():
            size += len(raw)
        assert size == 1024 and not self.ieof
        self.step("preview")
        self.say(b"ICAP/1.0 100 Continue\r\n\r\n")
        self.step("continued")
        while raw := self.chunk():
            size += len(raw)
            if size > 500000:
                self.step("middle")
        self.step("all")
        if self.failing == "content":
            self.say(b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n"
                     b"HTTP/1.1 200 OK\r\n\r\n8\r\nReceived\r\n")
            self.step("content")
        self.say(UNCHANGED[:20])
        self.step("half")
        self.say(UNCHANGED[20:])


class Scripted(scripted.Case, unittest.TestCase):
    PROGRAM, TIMEOUT = lab.program(), "timeout_scanner"

    @staticmethod
    def outcome(kind, step, how):
        """What becomes of a message: with the one that fails alone, and with another."""
        before = ("call", "options", "options half") if kind is Icap else ()
        if how == "hang" or step in ("half", "content"):
            return FAILED, FAILED
        if how == "babble":
            return FAILED, TAKEN if step in before else FAILED
        if step == "options told" and how == "close":   # it is called again
            return TAKEN, TAKEN
        if step == "options told":      # a matter of time: what was told may be lost with it
            return (TAKEN, FAILED), TAKEN
        return FAILED, TAKEN

    def test_clamd_fails(self):
        self.check_all(Clamd)

    def test_icap_fails(self):
        self.check_all(Icap)

    def test_clamd_knows_too_early(self):
        server = scripted.Server(Hasty)
        self.addCleanup(server.stop)
        gateway = self.by(server)
        self.assertEqual(self.submit(gateway, scripted.MESSAGE * 8), FAILED)

    def test_clamd_works_for_others(self):
        """Messages that take too long are not held against it then."""
        self.check_busy(Busy, FAILED)

    def test_slow(self):
        for kind in (Clamd, Icap):
            self.check_slow(kind)


if __name__ == "__main__":
    lab.main()
