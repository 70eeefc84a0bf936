#!/usr/bin/python3
"""What it costs that the scanner is elsewhere: libclamav, clamd, and c-icap that asks clamd.

    scanners.py PROGRAM [TURNS]                     30 unless told, fewer of large ones

To be run by hand; needs clamd and c-icap, about a minute.  The same signatures for all, each
message another one, the scanners in alternating turns.  A message is there but for its dot
before time is taken: from the dot to the reply, and scan_ms of the gateway's log.
"""
import pathlib
import re
import statistics
import sys
import time

TURNS = int(sys.argv[2]) if len(sys.argv) > 2 else 30
del sys.argv[2:]
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / part)
                for part in (".", "real")]
import lab                              # noqa: E402
import scanners                         # noqa: E402

PROGRAM = lab.program()
SIZES = {"10 KB": 10_000, "1 MB": 1_000_000, "10 MB": 10_000_000}
KINDS = ("text", "base64")


def message(kind, size, number):
    if kind == "text":
        words = [b"%08d plain words that nobody has to unpack, again and again %06d" % (at, number)
                 for at in range(size // 70)]
        return lab.mail(*words)
    return lab.mail_with(lab.random_bytes(size * 3 // 4, number), name="a.bin")


def ask(gateway, raw):
    """Seconds from the dot to the reply, and milliseconds of the scan."""
    with lab.Client(("127.0.0.1", gateway.port), 120) as client:
        client.hello()
        client.ask("MAIL FROM:<ann@example.test>")
        client.ask("RCPT TO:<bob@example.test>")
        client.ask("DATA")
        client.send(lab.dotted(raw)[:-3])
        time.sleep(0.05 + len(raw) / 5e7)
        before = time.monotonic()
        client.send(b".\r\n")
        reply = client.reply()
        took = time.monotonic() - before
    assert reply.startswith("250"), reply
    return 1000 * took, float(re.findall(r"^verdict .*scan_ms=([\d.]+)", gateway.log(),
                                         re.MULTILINE)[-1])


def main():
    case = scanners.Case()
    case.sink = scanners.Sink()
    clamd = scanners.Clamd(more="MaxFileSize 100M")
    icap = scanners.Icap(clamd=clamd)
    usual = {"log_level": "info", "max_connections": 100}
    gateways = {
        "libclamav": case.new_gateway(PROGRAM, antivirus_type="libclamav", **usual),
        "clamd": case.new_gateway(PROGRAM, antivirus_type="clamd",
                                  antivirus_path=f'{{"{clamd.socket}"}}', **usual),
        "clamd by TCP": case.new_gateway(PROGRAM, antivirus_type="clamd",
                                         antivirus_path=f'{{"127.0.0.1:{clamd.port}"}}', **usual),
        "icap, clamd": case.new_gateway(PROGRAM, antivirus_type="icap",
                                        icap_url=f'{{"{icap.url}/virus_scan"}}', **usual)}
    number = 0
    print(f"{'':16}" + "".join(f"{name:>24}" for name in gateways))
    print(f"{'':16}" + f"{'dot / scan, ms':>24}" * len(gateways))
    for kind in KINDS:
        for words, size in SIZES.items():
            took = {name: [] for name in gateways}
            for _ in range(max(3, TURNS * 200_000 // (size + 100_000))):
                for name, gateway in gateways.items():
                    number += 1
                    took[name].append(ask(gateway, message(kind, size, number)))
            cells = [(statistics.median(t[0] for t in took[name]),
                      statistics.median(t[1] for t in took[name])) for name in gateways]
            print(f"{kind + ' ' + words:16}" +
                  "".join(f"{f'{dot:.2f} / {scan:.2f}':>24}" for dot, scan in cells), flush=True)
    for gateway in gateways.values():
        gateway.stop()
    icap.stop()
    clamd.stop()


if __name__ == "__main__":
    lab.need_programs("clamd", "c-icap")
    main()
