#!/usr/bin/python3
"""Mail signed by opendkim, which still verifies when it has been held and got headers of ours,
and when it was tagged, unless its subject is signed.

    dkim_test.py PROGRAM [unittest arguments, as: Signed.test_tagged]
"""
import base64
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import lab                              # noqa: E402
import scanners                         # noqa: E402
import spam                             # noqa: E402
from scanners import TAKEN              # noqa: E402

PROGRAM = lab.program()
SIGN = """\
Mode s
Domain example.test
Selector sel
KeyFile {tmp}/key
RequireSafeKeys no
Canonicalization {how}
SignHeaders {names}
Syslog no
"""
VERIFY = """\
Mode v
TestDNSData {tmp}/names
Syslog no
"""
HEAD = [b"From: Ann <ann@example.test>", b"To: bob@example.test",
        b"Date: Mon, 23 Nov 2026 10:00:00 +0000", b"Message-ID: <1@example.test>"]
SUBJECT = [b"Subject: Hello"]
MAILS = {
    "plain": HEAD + SUBJECT + [b"", b"FOUR-POINTS"],
    "folded": HEAD + [b"Subject: =?utf-8?q?=C3=A4?=", b"\t and  more ", b" of it",
                      b"X-List:\ta,  b,", b"   c  "] + [b"", b"FOUR-POINTS"],
    "long": HEAD + SUBJECT + [b"X-Long: " + b"a" * 900, b"", b"b" * 990, b"FOUR-POINTS"],
    "blanks": HEAD + SUBJECT + [b"", b" FOUR-POINTS \t ", b"", b".", b"..", b"", b""],
    "8bit": HEAD + [b"Subject: \xc3\xa4\xff", b"X-Odd: \x01\x7f\x80", b"",
                    b"\xc3\xa4\xff\xfe\x0b\x7f", b"FOUR-POINTS"],
    "forged": HEAD + SUBJECT + [b"X-Spam-Flag: NO", b"X-Spam-Status: No,", b" really",
                                b"Authentication-Results: gate.example; dkim=pass",
                                b"", b"FOUR-POINTS"],
}


class Keys:
    def __init__(self):
        self.tmp = tempfile.mkdtemp(prefix="gated-dkim-")
        self.run("openssl", "genrsa", "-out", self.tmp + "/key", "2048")
        public = self.run("openssl", "rsa", "-in", self.tmp + "/key", "-pubout", "-outform",
                          "der")
        with open(self.tmp + "/names", "w", encoding="ascii") as file:
            file.write("sel._domainkey.example.test v=DKIM1; k=rsa; p="
                       + base64.b64encode(public).decode() + "\n")

    def close(self):
        shutil.rmtree(self.tmp)

    @staticmethod
    def run(*command):
        return subprocess.run(command, check=True, timeout=30, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout

    def opendkim(self, config, mail, *options):
        """What it says of MAIL when it is tested, as a filter of mail servers would."""
        for name, content in ("conf", config.encode()), ("mail", mail):
            with open(f"{self.tmp}/{name}", "wb") as file:
                file.write(content)
        done = subprocess.run(["opendkim", "-x", self.tmp + "/conf", "-t", self.tmp + "/mail",
                               *options], timeout=30, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        return done.stdout.decode("latin-1")

    def sign(self, mail, how, names):
        words = self.opendkim(SIGN.format(tmp=self.tmp, how=how, names=names), mail, "-vv")
        value = re.search(r"hname='DKIM-Signature' hvalue='([^']*)'", words)
        assert value, words
        return (b"DKIM-Signature: " + value[1].replace("\n", "\r\n").encode() + b"\r\n" + mail)

    def verifies(self, mail):
        words = self.opendkim(VERIFY.format(tmp=self.tmp), mail, "-v")
        found = re.search(r"verification \(.*\) (succeeded|failed)", words)
        assert found, words
        return found[1] == "succeeded"


class Signed(scanners.Case, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = Keys()
        cls.spamd = spam.Spamd()

    @classmethod
    def tearDownClass(cls):
        cls.spamd.stop()
        cls.keys.close()
        super().tearDownClass()

    def by(self, **options):
        return self.gateway(PROGRAM, **{
            "antivirus_type": "off", "antispam_type": "spamassassin",
            "antispam_path": scanners.listed(self.spamd.socket), "delivery": "hold",
            "result_headers": "{virus, spam, auth}", "proxy_name": '"gate.example"',
            **options})

    def through(self, gateway, mail):
        self.assertEqual(self.submit(gateway, mail), TAKEN)
        return self.sink.messages[-1]

    def each(self, names):
        for how in "relaxed/simple", "simple/simple", "relaxed/relaxed", "simple/relaxed":
            for name, lines in MAILS.items():
                with self.subTest(mail=name, how=how):
                    mail = self.keys.sign(b"\r\n".join(lines) + b"\r\n", how, names)
                    self.assertTrue(self.keys.verifies(mail))
                    yield mail

    def test_headers(self):
        gateway = self.by(spam_threshold=1000)
        for mail in self.each("From,To,Subject,Date,X-Long,X-Odd,X-List"):
            got = self.through(gateway, mail)
            self.assertIn(b"\r\nX-Spam-Flag: NO\r\n", got)
            self.assertTrue(self.keys.verifies(got), got)

    def test_tagged(self):
        gateway = self.by(spam_threshold=3, on_spam="tag")
        for mail in self.each("From,To,Date"):
            got = self.through(gateway, mail)
            self.assertIn(b"\r\nX-Spam-Flag: YES\r\n", got)
            self.assertIn(b"\r\nSubject: [SPAM] ", got)
            self.assertTrue(self.keys.verifies(got), got)

    def test_tagged_and_signed(self):
        gateway = self.by(spam_threshold=3, on_spam="tag")
        for mail in self.each("From,Subject"):
            self.assertFalse(self.keys.verifies(self.through(gateway, mail)))

    def test_signed_result(self):
        """Who signs a header that says what is ours to say signs something that goes."""
        gateway = self.by(spam_threshold=1000)
        mail = self.keys.sign(b"\r\n".join(MAILS["forged"]) + b"\r\n", "relaxed/simple",
                              "From,X-Spam-Status")
        self.assertTrue(self.keys.verifies(mail))
        self.assertFalse(self.keys.verifies(self.through(gateway, mail)))


if __name__ == "__main__":
    lab.need_root()
    lab.need_programs("opendkim", "spamd", "openssl")
    lab.main()
