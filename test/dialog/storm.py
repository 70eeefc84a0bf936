#!/usr/bin/env python3
"""Many random sessions at once with the real program, each held against a model of what
both sides must have seen: see README.md.

usage: storm.py [--sessions N | --minutes N] [--first SEED] PROGRAM
       storm.py --seed SEED [--shrink] PROGRAM
"""
import argparse
import concurrent.futures
import os
import random
import selectors
import socket
import sys
import time

import dialog
import gateway as gateways
import story as stories
from storm_model import outcomes
from storm_peers import Session
from storm_report import fault_of, transcript
from storm_rules import broken_rule
from storm_seed import SESSIONS, WORLDS, Plan, world_of

AT_ONCE = 24
LIMIT = 60                      # seconds for one session
FAULTS = 3                      # of one gateway, then no more are begun
BLOCK = 1600                    # sessions between looks at the clock


class Client:
    """One address with the sessions that it has, one after the other, until it is locked
    out, or nobody can know whether it is."""

    def __init__(self, seed, world, without):
        self.seed, self.world, self.without = seed, world, without
        self.number, self.locked = 0, False
        low = seed % 0x3f0000
        self.host = f"127.{128 + (low >> 16)}.{low >> 8 & 255}.{low & 255}"
        self.session = None

    def begin(self, address, listener):
        plan = Plan(self.seed, self.number, self.world, self.without)
        self.session = Session(plan, self.host, address)
        if self.locked:                 # who is locked out says nothing, and is told so
            self.session.client.out.clear()
            return
        # One after the other, so that the next connection to the server is this one's.
        self.session.accept(listener.accept()[0])

    def ended(self):
        """The fault, or "".  Afterwards: is there a next session?"""
        session = self.session
        late = time.monotonic() - session.began > LIMIT and "it does not end\n"
        rule = broken_rule(session, self.world)
        models = outcomes(session, self.world, self.locked)
        fault, model = fault_of(session, models, rule)
        told = b"Virus found" in session.client.got
        known = not session.loss.who or told or not any(m.locked for m in models)
        was_locked, self.locked = self.locked, self.world.locks and (told or model.locked)
        self.number += 1
        if was_locked or not known or self.number >= SESSIONS:
            self.number = 0
        return (late or "") + fault if fault or late else ""


class Storm:
    """The sessions of one world."""

    def __init__(self, program, number, seeds, without=()):
        self.world, self.seeds, self.without = world_of(number), list(seeds), without
        self.clients, self.held, self.faults, self.said = [], 0, 0, []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.listener.settimeout(10)
        self.story = stories.Story("storm", config=self.world.config())
        self.address = dialog.free_address(self.story, "whole",
                                           self.listener.getsockname()[1])
        self.gateway = gateways.Gateway(self.story, self.address,
                                        self.listener.getsockname())
        self.gateway.start(program, self.story)

    def turn(self):
        selector = selectors.PollSelector()
        for client in self.clients:
            for sock, events, handler in client.session.wishes():
                selector.register(sock, events, handler)
        for key, events in selector.select(0.1):
            if key.fileobj.fileno() >= 0:
                key.data(events)
        selector.close()

    def harvest(self):
        for client in list(self.clients):
            session = client.session
            late = time.monotonic() - session.began > LIMIT
            if not session.over() and not late:
                continue
            self.held += 1
            name = session.plan.seed
            fault = client.ended()
            if fault:
                self.faults += 1
                self.said.append(f"seed {client.seed} (session {name}, {self.world}, "
                                 f"{session.loss}, after {self.held} there): "
                                 f"{fault}\n{transcript(session)}")
            if fault or client.number == 0:
                self.clients.remove(client)
            else:
                client.begin(self.address, self.listener)

    def run(self):
        try:
            while self.clients or (self.seeds and self.faults < FAULTS):
                while self.seeds and len(self.clients) < AT_ONCE and self.faults < FAULTS:
                    client = Client(self.seeds.pop(0), self.world, self.without)
                    client.begin(self.address, self.listener)
                    self.clients.append(client)
                self.turn()
                self.harvest()
            self.gateway.check_tidy(self.story)
            self.gateway.stop(self.story)
        except (AssertionError, OSError) as complaint:
            self.faults += 1
            self.said.append(f"{self.world}: {complaint!r}\n{self.gateway.log()[-3000:]}")
        self.gateway.fini(False)
        self.listener.close()


def run_world(program, number, seeds, without=()):
    storm = Storm(program, number, seeds, without)
    storm.run()
    return storm.held, storm.faults, storm.said


def run_block(program, first, clients):
    """The sessions of so many clients, all worlds side by side.  (sessions, faults)"""
    held = faults = 0
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(run_world, program, world,
                            [s for s in range(first, first + clients)
                             if s % WORLDS == world]) for world in range(WORLDS)]
        for job in concurrent.futures.as_completed(jobs):
            some, wrong, said = job.result()
            held, faults = held + some, faults + wrong
            print("".join(text + "\n\n" for text in said), end="", flush=True)
    return held, faults


def shrink(program, seed):
    """Leaves out one thing that the clients say after the other, as long as it fails."""
    without, world = set(), world_of(seed % WORLDS)
    acts = [(number, i) for number in range(SESSIONS)
            for i in range(len(Plan(seed, number, world).acts) + 1)]
    for act in acts:
        if run_world(program, seed % WORLDS, [seed], without | {act})[1]:
            without.add(act)
    return without


def repeat(program, seed, shrinks):
    without = shrink(program, seed) if shrinks else ()
    held, faults, said = run_world(program, seed % WORLDS, [seed], without)
    print("\n".join(said))
    return held, faults


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--sessions", type=int, default=BLOCK)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--first", type=int, default=None)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("program")
    args = parser.parse_args()
    program, began = os.path.abspath(args.program), time.monotonic()
    first = random.randrange(10**9) if args.first is None else args.first
    if args.seed is not None:
        held, faults = repeat(program, args.seed, args.shrink)
    else:
        print(f"storm.py --first {first}", flush=True)
        held = faults = 0
        while not faults and (time.monotonic() - began < args.minutes * 60 or
                              (not args.minutes and held < args.sessions)):
            more, faults = run_block(program, first, BLOCK // 2)
            held, first = held + more, first + BLOCK // 2
    print(f"{held} sessions, {faults} faults, {time.monotonic() - began:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
