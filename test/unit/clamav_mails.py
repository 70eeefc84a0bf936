#!/usr/bin/env python3
"""Makes mails to scan, and the signatures to find EICAR with.

usage: clamav_mails.py DIRECTORY

The mails have no head of ours: that is what the tested code puts in front.  EICAR is
put together here from two halves, so that no file of the sources is taken for a virus.
"""
import base64
import bz2
import gzip
import io
import lzma
import pathlib
import random
import sys
import zipfile

EICAR = (b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" +
         b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*")
HEADER = (b"From: a@example.org\r\nTo: b@example.org\r\nSubject: test\r\n"
          b"MIME-Version: 1.0\r\n")
MIXED = b'Content-Type: multipart/mixed; boundary="b1"\r\n\r\n'

random.seed(1)
top = pathlib.Path(sys.argv[1])
for name in ("mails", "shapes", "db", "db-phishing"):
    (top / name).mkdir(parents=True, exist_ok=True)


def zipped(*files, how=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for number, data in enumerate(files):
            archive.writestr(f"file{number}.bin", data)
    return out.getvalue()


def encrypted():
    """A zip whose entry says that it is encrypted (bit 0 of the flags)."""
    data = bytearray(zipped(b"nobody can read this", how=zipfile.ZIP_STORED))
    for magic, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.find(magic) + flags] |= 1
    return bytes(data)


def nested(depth):
    data = EICAR
    for _ in range(depth):
        data = zipped(data)
    return data


def attached(data):
    return (b"\r\n--b1\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Transfer-Encoding: base64\r\n"
            b'Content-Disposition: attachment; filename="a.bin"\r\n\r\n' +
            base64.encodebytes(data).replace(b"\n", b"\r\n"))


def mail(*attachments, text=b"Hello.\r\n", kind=b"text/plain", header=HEADER):
    return (header + MIXED + b"--b1\r\nContent-Type: " + kind + b"\r\n\r\n" + text +
            b"".join(map(attached, attachments)) + b"\r\n--b1--\r\n")


def words(size):
    chosen = [b"%x" % random.getrandbits(40) for _ in range(5000)]
    out = bytearray()
    while len(out) < size:
        out += b" ".join(random.choices(chosen, k=8)) + b"\r\n"
    return bytes(out[:size])


def put(name, data, where="mails"):
    (top / where / name).write_bytes(data)


zeros = bytes(5_000_000)
phishing = (b'<html><a href="http://evil.example.net/x">http://www.paypal.com/in</a>'
            b"</html>\r\n")

put("clean", mail())
put("plain", HEADER + b"\r\n" + EICAR + b"\r\n")
put("base64", mail(EICAR))
put("zip", mail(zipped(EICAR)))
put("deep", mail(nested(30)))
put("deep+eicar", mail(nested(30), EICAR))
put("big-member", mail(zipped(zeros)))
put("big-member+eicar", mail(zipped(zeros), EICAR))
put("big-gzip", mail(gzip.compress(zeros)))
put("big-bzip2", mail(bz2.compress(zeros)))
put("big-xz", mail(lzma.compress(zeros)))
put("many-files", mail(zipped(*[b"file %d" % n for n in range(500)])))
put("many-files+eicar", mail(zipped(*[b"file %d" % n for n in range(500)]), EICAR))
put("eicar+many-files", mail(EICAR, zipped(*[b"file %d" % n for n in range(500)])))
put("encrypted", mail(encrypted()))
put("encrypted+eicar", mail(encrypted(), EICAR))
put("encrypted+phishing", mail(encrypted(), text=phishing, kind=b"text/html"))
broken = lzma.compress(words(20000))[:5000] + b"broken" * 50
put("broken-xz", mail(broken))
put("broken-xz+eicar", mail(broken, EICAR))
slow = words(5_000_000) * 3
put("slow+eicar+slow", HEADER + MIXED + slow + attached(EICAR) + b"\r\n--b1\r\n" +
    MIXED.replace(b"b1", b"b2") + slow + b"\r\n--b2\r\n\r\nHello.\r\n--b2--\r\n--b1--\r\n")
put("eicar-600", mail(*[EICAR + b"%d" % n for n in range(600)]))
# 50 MB of zeros, 30 times: 1.5 GB in a mail of 2 MB
fifty = zipped(bytes(50_000_000))
put("bomb", mail(zipped(*[fifty] * 30, how=zipfile.ZIP_STORED)))
put("small-bomb", mail(zipped(*[fifty] * 8, how=zipfile.ZIP_STORED)))
for size in (4_000, 100_000, 5_000_000):
    put(f"text-{size}", HEADER + b"\r\n" + words(size))
    put(f"attached-{size}", mail(random.randbytes(size * 3 // 4)))
    put(f"zip-{size}", mail(zipped(words(size), EICAR)))

# What makes libclamav miss the attachment if the file begins with it
rest = (b"MIME-Version: 1.0\r\n" + MIXED + b"--b1\r\nContent-Type: text/plain\r\n\r\nHello.\r\n" +
        attached(EICAR) + b"\r\n--b1--\r\n")
first_lines = [b"ID3: x", b"GIF: x", b"BM: x", b"MZ: x", b"RIFF: x", b"OggS: x", b"Rar!: x",
               b"BZh: x", b"%PDF-: x", b"begin : x", b"X-Foo: x", b"X-Foo:1", b"SUBJECT: x",
               b"from:a@example.org", b"Content-Type: text/plain; x=y", b"\xef\xbb\xbfFrom: x",
               b">From x", b"From x Thu Jan  1 00:00:00 1970", b"PK\3\4: x", b"\x1f\x8b\x08: x",
               b"\xff\xd8\xff\xe0: x", b"\x7fELF: x", b"X" * 3000 + b": x", b"X-Nul: \0\0"]
for number, line in enumerate(first_lines):
    put(f"first-{number:02}", line + b"\r\n" + rest, "shapes")
put("capitals", mail(EICAR).replace(b"Content-", b"CONTENT-").replace(b"MIME-V", b"MIME-v")
    .replace(b"From:", b"FROM:"), "shapes")
put("no-space", mail(EICAR, header=HEADER.replace(b": ", b":")), "shapes")
put("padded", mail(EICAR, header=b"".join(b"X-Pad-%d: x\r\n" % n for n in range(300)) + HEADER),
    "shapes")
put("few-headers", b"Subject: x\r\n" + rest, "shapes")
put("no-from", rest, "shapes")
put("lf-only", mail(EICAR).replace(b"\r\n", b"\n"), "shapes")
put("no-headers", b"\r\n" + EICAR + b"\r\n", "shapes")
put("only-eicar", EICAR, "shapes")

signature = "Eicar-Test:0:*:" + EICAR.hex() + "\n"
(top / "db/test.ndb").write_text(signature)
(top / "db-phishing/test.ndb").write_text(signature)
(top / "db-phishing/test.pdb").write_text("H:paypal.com\n")
