#!/usr/bin/python3
"""What asking DNS adds to a session, and how many questions a second there can be.

    lookups.py PROGRAM [CLIENTS]                    400 unless told

To be run by hand; needs unbound, about half a minute.  Five lists on one unbound of our own.
Clients come one after the other, each from another address (by the PROXY protocol), and time
is taken from that header to the greeting: without lists, with lists that nobody has asked yet
(cold), and the same clients once more (warm: answers are in the gateway's cache).  Then many
at a time, all of them new: each asks all five lists.
"""
import concurrent.futures
import pathlib
import statistics
import sys
import time

CLIENTS = int(sys.argv[2]) if len(sys.argv) > 2 else 400
del sys.argv[2:]
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / part)
                for part in (".", "real")]
import lab                              # noqa: E402
import mailserver                       # noqa: E402
import unbound                          # noqa: E402

LISTS = [f"l{number}.test" for number in range(5)]
AT_ONCE, SECONDS = 20, 5


def greet(port, number):
    """Milliseconds until client NUMBER is greeted."""
    client = f"198.{18 + number // 65536}.{number // 256 % 256}.{number % 256}"
    with lab.Client(("127.0.0.1", port), 30) as talk:
        before = time.monotonic()
        talk.send(f"PROXY TCP4 {client} 192.0.2.25 4000 25\r\n".encode())
        assert talk.reply().startswith("220"), client
        return 1000 * (time.monotonic() - before)


def tell(name, times):
    times.sort()
    print(f"{name:8} median {statistics.median(times):6.3f} ms   9 of 10 within "
          f"{times[len(times) * 9 // 10]:6.3f} ms")


def storm(port, first):
    """As many clients as can be, for SECONDS; how many, and how long it took."""
    begin = time.monotonic()

    def serve(lane):
        count = 0
        while time.monotonic() < begin + SECONDS:
            greet(port, first + lane + count * AT_ONCE)
            count += 1
        return count
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(serve, range(AT_ONCE))), time.monotonic() - begin


def main():
    sink = mailserver.Sink()
    names = unbound.Names("127.0.0.61", [f"2.0.0.127.{zone}. 3600 A 127.0.0.2" for zone in LISTS])
    make = unbound.Gateways(lab.program(), names, sink, proxy_protocol_from='{"127.0.0.1"}',
                            log_level="notice", earlytalker="no", max_per_host=0)
    plain = make("plain")
    lists = make("lists", dnsbl="{" + ", ".join(f'"{zone}"' for zone in LISTS) + "}")
    try:
        for name, gateway in (("none", plain), ("cold", lists), ("warm", lists)):
            tell(name, [greet(gateway.port, number) for number in range(CLIENTS)])
        count, seconds = storm(lists.port, 2 * CLIENTS)
        print(f"{count / seconds:.0f} new clients a second, "
              f"{len(LISTS) * count / seconds:.0f} questions a second")
    finally:
        make.stop()
        names.stop()


if __name__ == "__main__":
    main()
