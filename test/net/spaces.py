"""Network namespaces for tests: made, entered, connected, and removed."""
import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000


def run(*command, text=None):
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, encoding="utf-8",
                          stderr=subprocess.STDOUT, timeout=30, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}")
    return done.stdout


def within(namespace):
    """Not "ip netns exec": that mounts a /sys, which not every container lets it."""
    return ["nsenter", f"--net=/run/netns/{namespace}"]


@contextlib.contextmanager
def inside(namespace):
    """Sockets made in here belong to NAMESPACE, and go on doing so."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as home, \
            open(f"/run/netns/{namespace}", "rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if libc.setns(home.fileno(), CLONE_NEWNET) != 0:
                os._exit(1)             # better nowhere than in the wrong network


def make(*namespaces):
    for namespace in namespaces:
        run("ip", "netns", "add", namespace)
        run(*within(namespace), "ip", "link", "set", "lo", "up")


def remove(*namespaces):
    for namespace in namespaces:
        subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL,
                       stdin=subprocess.DEVNULL, timeout=30, check=False)


def connect(one, device, addresses, other, other_device, other_addresses):
    """A cable between two namespaces, with these addresses (and their lengths) at its ends."""
    run(*within(one), "ip", "link", "add", device, "type", "veth",
        "peer", "name", other_device, "netns", other)
    for namespace, name, ends in ((one, device, addresses),
                                  (other, other_device, other_addresses)):
        for address in ends:
            nodad = ["nodad"] if ":" in address else []
            run(*within(namespace), "ip", "addr", "add", address, "dev", name, *nodad)
        run(*within(namespace), "ip", "link", "set", name, "up")
