#!/usr/bin/python3
"""Measures the gateway side by side with a plain TCP relay: see README.md here.

Everything runs at once, load and sink are the same for all: directly against the sink,
through haproxy in mode tcp (one thread: one loop against one loop), through the gateway.
The turns alternate, so that a noisy minute of the machine meets all of them, and each
figure is the median of its turns.
"""

import argparse
import collections
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from peers import (COSTS, GATEWAY_CONFIG, HAPROXY_CONFIG, WAY_CONFIG, WAYS, Daemon, Failure,
                   Sink, free_port, values)

SKIP = 77

Case = collections.namedtuple("Case", "name size sessions mails pipelining about")

# What is compared message by message.  "clam" cases go through the gateway that scans.
CASES = [
    Case("4k-20", 4096, 20, 1, False, "4 KB, 20 sessions, 1 message each"),
    Case("4k-1", 4096, 1, 1, False, "4 KB, 1 session, 1 message each"),
    Case("4k-200", 4096, 200, 1, False, "4 KB, 200 sessions, 1 message each"),
    Case("4k-many", 4096, 20, 100, False, "4 KB, 20 sessions, 100 messages each"),
    Case("4k-piped", 4096, 20, 100, True, "the same, MAIL RCPT DATA in one write"),
    Case("100k-20", 102400, 20, 1, False, "100 KB, 20 sessions, 1 message each"),
    Case("5m-4", 5242880, 4, 1, False, "5 MB, 4 sessions, 1 message each"),
]
SCAN_CASES = [
    Case("scan-4k-1", 4096, 1, 50, False, "4 KB, 1 session, scanned by libclamav"),
    Case("scan-1m-1", 1048576, 1, 50, False, "1 MB, 1 session, scanned by libclamav"),
    Case("scan-4k-20", 4096, 20, 1, False, "4 KB, 20 sessions, scanned by libclamav"),
]
HOLD_CASES = [
    Case("hold-4k", 4096, 1, 1, False, "4 KB, 1 session, streamed and held"),
    Case("hold-100k", 102400, 1, 1, False, "100 KB, 1 session, streamed and held"),
    Case("hold-5m", 5242880, 1, 1, False, "5 MB, 1 session, streamed and held"),
]
IDLE = "idle"
COST = "cost"
QUICK = ["4k-20", "4k-many", "5m-4", "scan-4k-1", IDLE]

# What we want of the gateway against haproxy, messages a second; and the least that a
# smoke test takes, on whatever machine.
MARKS = {"4k-20": 0.7, "5m-4": 0.9}
FLOORS = {"4k-20": 0.3, "4k-many": 0.2, "5m-4": 0.1}
OVERHEAD_MARKS = {"scan-4k-1": 0.2}      # ms beyond the scan
MARK_IDLE_KB = 6.0
FLOOR_IDLE_KB = 30.0

GROWN = ("cost.header", "cost.all", "way.headers")     # what comes out has headers of ours

# Of CPU and of time: who is measured against whom.
RATIOS = [("way.stream", "haproxy"), ("way.hold", "way.stream"), ("way.headers", "way.hold")]

EICAR_HASH = "44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test-Signature\n"


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = tempfile.mkdtemp(prefix="smtp-gated-bench.")
        self.running = []
        self.sink = None
        self.peers = {}
        self.results = {"cases": {}}
        self.complaints = []
        self.idle_most = (raise_descriptors() - 200) * 3 // 8    # the rest is for messages

    # -- the cast

    def start(self):
        os.chmod(self.work, 0o755)      # the gateway may give up its privileges
        for name in ("spool", "signatures", "scan"):
            os.mkdir(f"{self.work}/{name}")
        os.chmod(f"{self.work}/spool", 0o777)
        os.chmod(f"{self.work}/scan", 0o777)
        with open(f"{self.work}/signatures/eicar.hdb", "w", encoding="ascii") as file:
            file.write(EICAR_HASH)
        self.sink = Sink(self.options.sink, self.work)
        self.running.append(self.sink)
        self.peers["direct"] = self.sink
        self.start_haproxy()
        if self.options.gateway:
            self.start_gateway("gateway", "off")
            self.start_gateway("scanning", "libclamav")
            if self.wanted(COST):
                os.mkdir(f"{self.work}/locks")
                self.start_variants(COST, COSTS, "earlytalker = no\n", "off")
            if any(self.wanted(case.name) for case in HOLD_CASES):
                self.start_variants("way", WAYS, WAY_CONFIG, "libclamav")

    def start_peer(self, name, template, command, **more):
        port = free_port()
        config = f"{self.work}/{name}.conf"
        with open(config, "w", encoding="ascii") as file:
            file.write(template.format(port=port, sink=self.sink.port, work=self.work,
                                       maxconn=self.idle_most + 50, **more))
        peer = Daemon(name, command + [config], f"{self.work}/{name}.log")
        self.running.append(peer)
        peer.wait_open(port)
        self.peers[name] = peer

    def start_haproxy(self):
        self.start_peer("haproxy", HAPROXY_CONFIG, [self.options.haproxy, "-db", "-f"])

    def start_gateway(self, name, antivirus):
        self.start_peer(name, GATEWAY_CONFIG, [self.options.gateway, "-f"],
                        antivirus=antivirus)

    def start_variants(self, group, texts, common, antivirus):
        for name, text in texts.items():
            last = {}                   # of several lines for one option the last one counts
            for line in (GATEWAY_CONFIG + common + text).splitlines():
                last[line.split("=")[0]] = line
            self.start_peer(f"{group}.{name}", "\n".join(last.values()) + "\n",
                            [self.options.gateway, "-f"], antivirus=antivirus, kind=name)

    def end(self):
        for daemon in reversed(self.running):
            daemon.end()
        if self.options.keep:
            print(f"kept: {self.work}")
        else:
            shutil.rmtree(self.work, ignore_errors=True)

    # -- one turn

    def load_arguments(self, case, peer):
        arguments = [self.options.load, "-p", str(self.peers[peer].port),
                     "-s", str(case.sessions), "-k", str(case.mails),
                     "-z", str(case.size), "-d", str(self.options.seconds),
                     "-m", "1000000", "-A", "4", "-l", f"{self.work}/waits"]
        return arguments + (["-P"] if case.pipelining else [])

    def turn(self, case, peer):
        """Load through one peer.  What came out at the far end must be what went in."""
        daemon = self.peers[peer]
        before, cpu = self.sink.counts(), daemon.cpu_seconds()
        done = subprocess.run(self.load_arguments(case, peer), capture_output=True,
                              text=True, timeout=self.options.seconds + 60, check=False)
        time.sleep(0.05)
        after, cpu = self.sink.counts(), daemon.cpu_seconds() - cpu
        got = values(done.stdout)
        where = f"{case.name} through {peer}"
        if done.returncode or not got.get("messages"):
            raise Failure(f"{where}: {done.stdout}{done.stderr}{daemon.log()[-1000:]}")
        if after["messages"] - before["messages"] != got["messages"]:
            raise Failure(f"{where}: {got['messages']:.0f} messages went in, "
                          f"{after['messages'] - before['messages']:.0f} came out")
        size = after["bytes"] - before["bytes"] - got["messages"] * case.size
        if size != 0 and not (size > 0 and peer in GROWN):
            raise Failure(f"{where}: the bytes that came out are not those that went in")
        got["cpu_ms"] = cpu * 1000 / got["messages"]
        return got

    def turns(self, case, peers):
        """Of each peer, in alternating order."""
        turns = {peer: [] for peer in peers}
        for number in range(self.options.rounds):
            for peer in peers[number % len(peers):] + peers[:number % len(peers)]:
                turns[peer].append(self.turn(case, peer))
        return turns

    @staticmethod
    def medians(turns):
        return {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}

    def compare(self, case):
        names = [name for name in ("direct", "haproxy", "gateway") if name in self.peers]
        turns = self.turns(case, names)
        result = {name: self.medians(turns[name]) for name in names}
        if "gateway" in names:
            ratios = [own["rate"] / other["rate"]
                      for own, other in zip(turns["gateway"], turns["haproxy"])]
            result["ratio"] = statistics.median(ratios)
        self.results["cases"][case.name] = result
        self.compare_print(case, result)

    def compare_print(self, case, result):
        def column(name, key, form):
            return form % result[name][key] if name in result else "-"

        ratio = result.get("ratio")
        line = [case.name.ljust(9)]
        line += [column(name, "rate", "%.0f").rjust(8)
                 for name in ("direct", "haproxy", "gateway")]
        line.append(("%.2f" % ratio if ratio else "-").rjust(6))
        line += [column(name, "cpu_ms", "%.3f").rjust(7)
                 for name in ("direct", "haproxy", "gateway")]
        line += [(column(name, "p50_us", "%.0f") + "/" + column(name, "p99_us", "%.0f"))
                 .rjust(12) for name in ("direct", "haproxy", "gateway")]
        if ratio and case.name in MARKS:
            met = "met" if ratio >= MARKS[case.name] else "MISSED"
            line.append(f"  wanted {MARKS[case.name]}: {met}")
        print(" ".join(line), flush=True)
        if ratio and self.options.quick and ratio < FLOORS.get(case.name, 0):
            self.complaints.append(f"{case.name}: {ratio:.2f} of haproxy's rate, "
                                   f"at least {FLOORS[case.name]} expected")

    @staticmethod
    def compare_head():
        print("\nMessages a second; CPU ms a message of that process (direct: the sink); "
              "dot to reply us p50/p99")
        print(" ".join(["case".ljust(9), "direct".rjust(8), "haproxy".rjust(8),
                        "gateway".rjust(8), "ratio".rjust(6), "cpu:dir".rjust(7),
                        "haproxy".rjust(7), "gateway".rjust(7), "dot:direct".rjust(12),
                        "haproxy".rjust(12), "gateway".rjust(12)]))

    # -- scanning

    def scan_turn(self, case):
        """Pairs what the load waited for each message with what its scan took."""
        scanning = self.peers["scanning"]
        offset = os.path.getsize(scanning.log_path)
        got = self.turn(case, "scanning")
        with open(f"{self.work}/waits", encoding="ascii") as file:
            waits = [int(line) / 1000 for line in file]
        verdicts = [values(line) for line in scanning.log(offset).splitlines()
                    if line.startswith("verdict ")]
        scans = [verdict["scan_ms"] for verdict in verdicts if "scan_ms" in verdict]
        if len(scans) != len(waits):
            raise Failure(f"{case.name}: {len(waits)} messages, but the gateway logged "
                          f"{len(scans)} verdicts with scan_ms=")
        got["scan_ms"] = statistics.median(scans)
        got["handover_ms"] = statistics.median(verdict["wait_ms"] - verdict["scan_ms"]
                                               for verdict in verdicts)
        if case.sessions == 1:
            beyond = sorted(wait - scan for wait, scan in zip(waits, scans))
            got["beyond_ms"] = statistics.median(beyond)
            got["beyond_p99_ms"] = beyond[int((len(beyond) - 1) * 0.99)]
        return got

    def scan(self, case):
        result = self.medians([self.scan_turn(case) for _ in range(self.options.rounds)])
        self.results["cases"][case.name] = result
        line = (f"{case.name:<11} {result['rate']:8.0f} {result['cpu_ms']:7.3f} "
                f"{result['p50_us'] / 1000:9.3f} {result['scan_ms']:8.3f} "
                f"{result['handover_ms']:8.3f}")
        if "beyond_ms" in result:
            line += f" {result['beyond_ms']:8.3f} {result['beyond_p99_ms']:8.3f}"
        if case.name in OVERHEAD_MARKS:
            wanted = OVERHEAD_MARKS[case.name]
            met = "met" if result["beyond_ms"] <= wanted else "MISSED"
            line += f"  wanted {wanted}: {met}"
        print(line, flush=True)

    @staticmethod
    def scan_head():
        print("\nThe gateway with libclamav: messages a second, CPU ms a message, "
              "ms from dot to reply,\nms of the scan itself, ms of waiting for a thread and back, "
              "ms beyond the scan p50 and p99")
        print(f"{'case':<11} {'rate':>8} {'cpu':>7} {'dot':>9} {'scan':>8} {'handover':>8} "
              f"{'beyond':>8} {'p99':>8}")

    # -- checks of clients and commands

    def cost(self):
        """CPU of the gateway a session with one mail; the difference is of turns side by side."""
        turns = self.turns(CASES[0], [f"{COST}.{name}" for name in COSTS])
        print("\nWhat checks cost a session with one mail: CPU us, and beyond none")
        self.results[COST] = {}
        for name in COSTS:
            own, none = ([turn["cpu_ms"] * 1000 for turn in turns[f"{COST}.{kind}"]]
                         for kind in (name, "none"))
            beyond = statistics.median(a - b for a, b in zip(own, none))
            self.results[COST][name] = {"cpu_us": statistics.median(own), "beyond_us": beyond}
            print(f"{name:<9} {statistics.median(own):7.1f} {beyond:+7.1f}", flush=True)

    # -- holding and streaming

    @staticmethod
    def ratio(turns, own, other, key):
        """Of two peers: the median of turns side by side."""
        return statistics.median(a[key] / b[key] for a, b in zip(turns[own], turns[other]))

    def hold(self, case):
        peers = ["haproxy"] + [f"way.{way}" for way in WAYS]
        turns = self.turns(case, peers)
        result = {peer: self.medians(turns[peer]) for peer in peers}
        for key, unit, what in (("cpu_ms", 1, "CPU"), ("p50_us", 1000, "dot")):
            line = f"{case.name:<9} {what}"
            for peer in peers:
                line += f" {result[peer][key] / unit:9.3f}"
            for own, other in RATIOS:
                ratio = self.ratio(turns, own, other, key)
                result[f"{key} {own}/{other}"] = ratio
                line += f" {ratio:9.2f}"
            print(line, flush=True)
        self.results["cases"][case.name] = result

    @staticmethod
    def hold_head():
        print("\nThe ways of delivery beside a plain relay: CPU ms a message, ms from dot to "
              "reply (half of them);\nthen how many times as much: streamed as relayed, held as "
              "streamed, held with result headers as held")
        print(" " * 13 + " ".join(name.rjust(9) for name in
                                  ["haproxy"] + list(WAYS) + ["str/hap", "hold/str", "hdr/hold"]))

    # -- idle sessions

    @staticmethod
    def kernel_kb():
        """Memory of the kernel for sockets and what hangs on them; None: not told."""
        wanted = {"TCP", "sock_inode_cache", "filp", "dentry", "eventpoll_epi",
                  "eventpoll_pwq"}
        try:
            with open("/proc/slabinfo", encoding="ascii") as file:
                rows = [line.split() for line in file]
        except OSError:
            return None
        return sum(int(row[1]) * int(row[3]) for row in rows if row[0] in wanted) / 1024

    def idle_turn(self, peer, count):
        daemon = self.peers[peer]
        self.turn(CASES[0], peer)       # what is allocated once is not the sessions'
        time.sleep(0.5)
        memory, kernel = daemon.memory_kb(), self.kernel_kb()
        load = subprocess.Popen(
            [self.options.load, "-i", "-p", str(daemon.port), "-s", str(count), "-A", "4",
             "-d", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        try:
            opened = values(load.stdout.readline())
            time.sleep(0.5)
            memory, kernel_now = daemon.memory_kb() - memory, self.kernel_kb()
            beside = self.turn(CASES[0], peer)
            out, errors = load.communicate(timeout=120)
        finally:
            if load.poll() is None:
                load.kill()
                load.wait()
        result = {"open": opened.get("open", 0), "alive": values(out).get("alive", 0),
                  "opening_seconds": opened.get("seconds", 0), "kb": memory / count,
                  "rate_beside": beside["rate"],
                  "kernel_kb": None if kernel is None else (kernel_now - kernel) / count}
        if result["alive"] != count:
            self.complaints.append(f"idle through {peer}: of {count} sessions "
                                   f"{result['open']:.0f} opened, {result['alive']:.0f} "
                                   f"lived: {errors}")
        return result

    def idle(self):
        count = 500 if self.options.quick else min(9900, self.idle_most)
        print(f"\n{count} idle sessions, after EHLO: KB each in the process, in the kernel "
              "beyond direct;\nsessions open, alive at the end, seconds to open them, messages a "
              "second of 4k-20 beside them")
        results = {}
        for peer in ("direct", "haproxy", "gateway", "scanning"):
            if peer not in self.peers:
                continue
            result = results[peer] = self.idle_turn(peer, count)
            kernel = "-"
            if peer != "direct" and result["kernel_kb"] is not None:
                kernel = "%.1f" % (result["kernel_kb"] - results["direct"]["kernel_kb"])
            line = (f"{peer:<9} {result['kb']:7.1f} {kernel:>7} {result['open']:7.0f} "
                    f"{result['alive']:7.0f} {result['opening_seconds']:7.2f} "
                    f"{result['rate_beside']:8.0f}")
            if peer == "gateway":
                met = "met" if result["kb"] <= MARK_IDLE_KB else "MISSED"
                line += f"  wanted {MARK_IDLE_KB}: {met}"
                if self.options.quick and result["kb"] > FLOOR_IDLE_KB:
                    self.complaints.append(f"an idle session takes {result['kb']:.1f} KB")
            print(line, flush=True)
        self.results[IDLE] = results

    # -- all of it

    def wanted(self, name):
        if self.options.case:
            return name in self.options.case
        return not self.options.quick or name in QUICK

    def run(self):
        cases = [case for case in CASES if self.wanted(case.name)]
        scans = [case for case in SCAN_CASES if self.wanted(case.name)]
        holds = [case for case in HOLD_CASES if self.wanted(case.name)]
        if cases:
            self.compare_head()
        for case in cases:
            self.compare(case)
        if scans and "scanning" in self.peers:
            self.scan_head()
            for case in scans:
                self.scan(case)
        if holds and self.options.gateway:
            self.hold_head()
            for case in holds:
                self.hold(case)
        if self.wanted(COST) and self.options.gateway:
            self.cost()
        if self.wanted(IDLE):
            self.idle()
        if self.options.json:
            with open(self.options.json, "w", encoding="ascii") as file:
                json.dump(self.results, file, indent=1)


def options_read():
    names = [case.name for case in CASES + SCAN_CASES + HOLD_CASES] + [COST, IDLE]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--gateway", help="smtp-gated; without: only direct and haproxy")
    parser.add_argument("--load", required=True, help="smtp-bench-load")
    parser.add_argument("--sink", required=True, help="smtp-bench-sink")
    parser.add_argument("--haproxy", default=shutil.which("haproxy") or
                        shutil.which("haproxy", path="/usr/sbin:/sbin"))
    parser.add_argument("--case", action="append", choices=names, metavar="NAME",
                        help="only this one; may be repeated: " + ", ".join(names))
    parser.add_argument("--quick", action="store_true",
                        help="a smoke test: few turns, and only loose floors")
    parser.add_argument("--rounds", type=int, help="turns of each case and peer")
    parser.add_argument("--seconds", type=int, default=1, help="of one turn")
    parser.add_argument("--json", metavar="FILE", help="write all figures there too")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 9)
    return options


def main():
    options = options_read()
    if not options.haproxy:
        print("skipped: haproxy is not installed")
        return SKIP
    bench = Bench(options)
    try:
        bench.start()
        bench.run()
    except Failure as failure:
        bench.complaints.append(str(failure))
    finally:
        bench.end()
    for complaint in bench.complaints:
        print(f"FAILED: {complaint}")
    return 1 if bench.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
