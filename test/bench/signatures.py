#!/usr/bin/python3
"""What the reload of a large signature database costs: memory, and how long the loop stands.

    signatures.py PROGRAM [HASHES [BODIES]]         1000000 and 100000 unless told

To be run by hand, as root or on a machine that does nothing else; about two minutes.  A
session asks every 10 ms for what the gateway answers itself; two others send mail all the
while.  What an idle gateway beside it takes to answer is the machine's own noise.
"""
import contextlib
import multiprocessing
import os
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "daemon"))
NUMBERS = [int(word) for word in sys.argv[2:]]
del sys.argv[2:]
from gated import Client, Gated, Sink           # noqa: E402
import lab                                      # noqa: E402

HASHES, BODIES = (NUMBERS + [1000000, 100000][len(NUMBERS):])[:2]
LOADED = 'text="loaded again"'


def make_large(directory):
    numbers = random.Random(1)
    with open(directory / "many.hdb", "w", encoding="ascii") as file:
        for n in range(HASHES):
            file.write(f"{numbers.getrandbits(128):032x}:{numbers.randrange(100, 9999999)}:H.{n}\n")
    with open(directory / "many.ndb", "w", encoding="ascii") as file:
        for n in range(BODIES):
            file.write(f"B.{n}:0:*:{numbers.getrandbits(8 * 40):080x}\n")


def ask(gated, over, results):
    """In a process of its own: no other thread shall hold it up."""
    answers, wrong = [], []
    with contextlib.suppress(PermissionError):
        os.nice(-20)                                    # as the gateway: main()
    with Client(gated) as client:
        client.hello()
        while not over.wait(0.01):
            began = time.monotonic()
            reply = client.ask("XCLIENT x")             # no server hears of it
            answers.append((1000 * (time.monotonic() - began), began))
            if not reply.startswith("50"):
                wrong.append(reply)
        client.ask("QUIT")
    results.put((answers, wrong))


class Watch:
    """RSS, and the time that the gateway takes for an answer, from begin to end."""

    def __init__(self, gated, control):
        self.gated, self.over = gated, multiprocessing.Event()
        self.results = multiprocessing.Queue()
        self.resident, self.answers, self.verdicts, self.wrong = [], [], [], []
        self.control = multiprocessing.Queue()
        self.askers = [
            multiprocessing.Process(target=ask, args=(gated, self.over, self.results)),
            multiprocessing.Process(target=ask, args=(control, self.over, self.control))]
        for asker in self.askers:
            asker.start()
        self.threads = [threading.Thread(target=work, daemon=True)
                        for work in (self.look, self.send, self.send)]
        for thread in self.threads:
            thread.start()

    def look(self):
        while not self.over.wait(0.02):
            self.resident.append(self.gated.memory())

    def send(self):
        number = 0
        while not self.over.is_set():
            with Client(self.gated) as client:
                client.hello()
                for _ in range(20):
                    number += 1
                    infected = number % 20 == 0
                    body = [lab.EICAR] if infected else [b"x" * 70] * 100
                    began = time.monotonic()
                    reply = client.submit(lab.mail(*body))[-1]
                    self.verdicts.append(1000 * (time.monotonic() - began))
                    if not reply.startswith("550" if infected else "250"):
                        self.wrong.append(reply)
                client.ask("QUIT")

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(120)
        self.answers, wrong = self.results.get(timeout=120)
        self.idle = self.control.get(timeout=120)[0]
        for asker in self.askers:
            asker.join()
        self.wrong += wrong


def worst(answers):
    return ", ".join(f"{ms:.1f}" for ms, _ in sorted(answers)[-4:])


def show(what, watch):
    print(f"{what or 'no reload'}: RSS {watch.resident[0]:.0f} MB, most"
          f" {max(watch.resident):.0f}, at the end {watch.resident[-1]:.0f}\n"
          f"    answer: median {sorted(watch.answers)[len(watch.answers) // 2][0]:.2f} ms,"
          f" longest {worst(watch.answers)} of {len(watch.answers)};"
          f" of the idle one {worst(watch.idle)}\n"
          f"    mail: longest {max(watch.verdicts):.0f} ms of {len(watch.verdicts)};"
          f" {len(watch.wrong)} wrong {watch.wrong[:2] or ''}", flush=True)


def reload_once(gated, control, directory, what):
    watch = Watch(gated, control)
    time.sleep(2)
    if what:
        seen = len(gated.logged(LOADED))
        (directory / "more.ndb.new").write_text(f"More:0:*:{time.time_ns():032x}\n")
        (directory / "more.ndb.new").replace(directory / "more.ndb")
        gated.wait_for_log(LOADED, seen + 1)
    time.sleep(3)
    watch.end()
    show(what, watch)
    if what:
        print("   ", gated.logged(LOADED)[-1])


def main():
    gated, control = (Gated(Sink().port) for _ in range(2))
    directory = gated.directory / "signatures"
    try:
        make_large(directory)
        time.sleep(0.1)
        if os.geteuid() == 0:           # whatever else this machine does
            for one in (gated, control):
                one.configure(priority=-20)
        control.start()
        for mode in ("concurrent", "in_place"):
            gated.configure(signature_reload=mode)
            gated.start()
            print(gated.logged("text=loaded")[-1])
            for what in ("", mode, mode):
                reload_once(gated, control, directory, what)
            gated.stop()
    finally:
        gated.clear()
        control.clear()


if __name__ == "__main__":
    main()
