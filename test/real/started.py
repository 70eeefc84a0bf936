"""Servers of others that a test has started: do they greet, and how they end."""
import os
import signal
import subprocess

import lab


def greets(port):
    try:
        with lab.Client(("127.0.0.1", port), seconds=5) as client:
            return client.reply().startswith("220")
    except OSError:
        return False


def end(process):
    """The leader of a session of its own, which takes its processes with it; None is fine."""
    if process is None:
        return
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
