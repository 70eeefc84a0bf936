#!/usr/bin/env python3
"""Holds conversations with the real program: see README.md.

usage: dialog.py [-v] [-k] [-1] [-w whole|bytes|glued|N] PROGRAM FILE.dialog...
    -v  show the gateway's log, not only of what fails
    -k  keep the gateway's files (configuration, log, spool)
    -1  hold it one way only: the first of those that it allows
    -w  hold it this way only; N: in segments of N bytes
exit code: 0 all is well; 1 a promise is broken; 2 a dialog is wrong
"""
import argparse
import concurrent.futures
import os
import socket
import subprocess
import sys
import time

import gateway as gateways
import helper as helpers
import names as name_servers
import spam as spam_scanners
import story as stories
from peers import PATIENCE, Peers

COMPLAINTS = (AssertionError, OSError, subprocess.SubprocessError)


def free_address(story, way, server_port):
    """Where the gateway shall listen.  Each run has a loopback address of its own, so that
    runs side by side cannot steal each other's port; and never the server's number, for a
    server there would be the gateway itself."""
    host, family = story.client, socket.AF_INET6
    if not host:
        lane = stories.WAYS.index(way) if way in stories.WAYS else 0
        number = (os.getpid() * 3 + lane) % 0xfdffff + 0x010001
        host = ".".join(map(str, (127, number >> 16, number >> 8 & 255, number & 255)))
        family = socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, 0))
        port = sock.getsockname()[1]
    return (host, port) if port != server_port else free_address(story, way, server_port)


def open_server(story):
    """The scripted server's listener; what else is returned keeps a deaf one deaf."""
    hoard, kind = [], story.server
    family, host = socket.AF_INET, "127.0.0.1"
    if kind == "::1":
        family, host = socket.AF_INET6, kind
    listener = socket.socket(family, socket.SOCK_STREAM)
    if story.window:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, story.window)
    listener.bind((host, 0))
    if kind in ("listens", "::1"):
        listener.listen(64)
    elif kind == "deaf":                    # a full queue: the kernel drops further SYNs
        listener.listen(0)
        for _ in range(4):
            hoard.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            hoard[-1].setblocking(False)
            hoard[-1].connect_ex(listener.getsockname())
        time.sleep(0.1)
    elif kind != "closed":
        raise stories.Mistake(f"server: {kind}? listens, ::1, closed and deaf are known")
    return listener, hoard


def log_step(gateway, peers, step):
    assert gateway.wait_for_log(step.argument, PATIENCE, peers.pump), \
        f"the log should have a line like    {step.argument}"


# What the words of a step mean.
STEPS = {
    "send": lambda gw, peers, step: peers.get(step.who).send(step.data, peers.way, step.final),
    "expect": lambda gw, peers, step: peers.expect(step.who, step.data),
    ":eof": lambda gw, peers, step: peers.get(step.who).finish(),
    ":reset": lambda gw, peers, step: peers.get(step.who).reset(),
    "<eof": lambda gw, peers, step: peers.expect_end(step.who, ["eof"]),
    "<reset": lambda gw, peers, step: peers.expect_end(step.who, ["reset"]),
    "<gone": lambda gw, peers, step: peers.expect_end(step.who, ["eof", "reset"]),
    "<rest": lambda gw, peers, step: peers.expect_rest(step.who),
    "<nothing": lambda gw, peers, step: peers.expect_nothing(step.who, float(step.argument)),
    "<absent": lambda gw, peers, step: peers.expect_absent(float(step.argument)),
    "<like": lambda gw, peers, step: peers.expect_like(step.who, step.argument),
    "wait": lambda gw, peers, step: peers.pause(float(step.argument)),
    "log": log_step,
    "shell": lambda gw, peers, step: gw.shell(step.argument),
    "signal": lambda gw, peers, step: gw.signal(step.argument),
}


def tell(story, gateway, peers):
    """Takes the steps and checks what every dialog promises.  A complaint is raised."""
    step = None
    steps = stories.settle(story.steps, {"$SERVER_PORT": peers.listener.getsockname()[1],
                                         "$GATEWAY_PORT": peers.gateway_address[1]})
    try:
        for step in stories.glue(steps) if peers.way == "glued" else steps:
            STEPS[step.does](gateway, peers, step)
            assert gateway.alive() or story.ends, "the gateway has died"
        step = None
        peers.farewell()
        if not story.ends:
            gateway.check_tidy(story)
        gateway.stop(story)
    except COMPLAINTS as complaint:
        raise AssertionError(f"{step or 'after the last step'}\n    {complaint}") from None


def hold(program, story, way, args):
    """Holds one dialog one way.  Returns the complaint, "" if there is none."""
    listener, hoard = open_server(story)
    address = free_address(story, way, listener.getsockname()[1])
    helper = story.helper and helpers.Helper(story.helper, listener.getsockname(), address)
    names = story.dns and name_servers.Names(story.dns)
    scanners = [spam_scanners.Scanner(kind, getattr(story, kind))
                for kind in ("spamd", "rspamd") if getattr(story, kind)]
    gateway = gateways.Gateway(story, address, listener.getsockname(), helper, names, scanners)
    peers = Peers(listener, address, "1" if way == "bytes" else way, story.window)
    complaint = ""
    try:
        gateway.start(program, story)
        tell(story, gateway, peers)
    except COMPLAINTS as reason:
        complaint = f"{story.name}, {way}: {reason}\n"
    if complaint or args.verbose:
        complaint += f"the gateway's log:\n{gateway.log()}"
    peers.fini()
    gateway.fini(args.keep)
    for one in filter(None, (helper, names, *scanners)):
        one.fini()
    for sock in hoard:
        sock.close()
    return complaint


def hold_all_ways(program, path, args):
    """Holds the dialog each way, side by side.  True if it came out well each time."""
    story = stories.read(path)
    ways = story.ways
    if args.way:
        kind = "bytes" if args.way.isdigit() else args.way
        ways = [args.way] if kind in story.ways else []
    if args.once:
        ways = ways[:1]
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        complaints = list(pool.map(lambda way: hold(program, story, way, args), ways))
    broken = [text for text in complaints if text and not text.startswith("the gateway's")]
    for text in filter(None, complaints):
        print(text)
    print(f"{'FAILED' if broken else 'ok'} {story.name}: {' '.join(ways)}, "
          f"{time.monotonic() - began:.1f} s", flush=True)
    return not broken


def way_name(text):
    if text not in stories.WAYS and not text.isdigit():
        raise argparse.ArgumentTypeError(f"whole, bytes, glued, or a number, not {text}")
    return text


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("-v", dest="verbose", action="store_true")
    parser.add_argument("-k", dest="keep", action="store_true")
    parser.add_argument("-1", dest="once", action="store_true")
    parser.add_argument("-w", dest="way", type=way_name)
    parser.add_argument("program")
    parser.add_argument("dialogs", nargs="+")
    args = parser.parse_args()
    try:
        results = [hold_all_ways(os.path.abspath(args.program), path, args)
                   for path in args.dialogs]
    except (stories.Mistake, OSError) as mistake:
        print(f"dialog.py: {mistake}", file=sys.stderr)
        return 2
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
