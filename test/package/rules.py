"""The AppArmor profile and the nftables samples are taken by those who will read them.

usage: rules.py SOURCE
"""
import os
import pathlib
import re
import socket
import sys
import tempfile

from package import Faults, need, run, skip

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "net"))
import spaces

source = pathlib.Path(sys.argv[1])
faults = Faults()
need("apparmor_parser", "nft", "unshare", "ip", "nsenter")

profile = source / "conf/apparmor/usr.sbin.smtp-gated"
parsed = run("apparmor_parser", "-Q", "-K", profile, check=False)
faults.expect(parsed.returncode == 0, f"apparmor_parser: {parsed.stdout}")
# What its comments offer for an action script belongs where it says.
local = "include if exists <local/usr.sbin.smtp-gated>"
offered = re.findall(r"(?m)^#\t(/.* \w+,)$", profile.read_text())
with tempfile.NamedTemporaryFile("w", suffix=".profile") as file:
    file.write(profile.read_text().replace(local, "\n\t".join(offered)))
    file.flush()
    parsed = run("apparmor_parser", "-Q", "-K", file.name, check=False)
faults.expect(len(offered) == 3 and parsed.returncode == 0,
              f"apparmor_parser, with {offered}: {parsed.stdout}")
names = run("apparmor_parser", "-N", profile).stdout.splitlines()[-1]
faults.expect(names == "smtp-gated", f"the profile is named {names}")

# Where a kernel could take rules: a network of our own, so that nothing of this machine's is
# read or changed.
if run("unshare", "-n", "true", check=False).returncode != 0:
    skip("no network namespace is to be had here")
samples = sorted((source / "conf/nftables").glob("*.nft"))
faults.expect(len(samples) > 0, "there is no sample for nft")
for sample in samples:
    load = f"nft -c -f {sample} && nft -f {sample}"
    once = run("unshare", "-n", "sh", "-c", f"{load} && nft list ruleset", check=False)
    again = run("unshare", "-n", "sh", "-c", f"{load} && {load} && nft list ruleset", check=False)
    faults.expect(once.returncode == 0, f"{load}\n{once.stdout}")
    faults.expect(":9199" in once.stdout, f"{sample.name} does not lead to port 9199")
    faults.expect(again.stdout == once.stdout, f"{sample.name} loaded twice: {again.stdout}")

# ---- redirect.nft, with a client and a router that has it --------------------------------

CLIENT, ROUTER = f"client-{os.getpid()}", f"router-{os.getpid()}"
FAMILIES = {"IPv4": ("10.9.0.1", "10.9.0.2", "24", "198.51.100.1", "unscanned4"),
            "IPv6": ("fd09::1", "fd09::2", "64", "2001:db8:9::1", "unscanned6")}


def reaches(address, port):
    """Does a client who dials this get through?"""
    with spaces.inside(CLIENT):
        try:
            socket.create_connection((address, port), 5).close()
        except ConnectionRefusedError:
            return False
    return True


def check_redirection():
    rules = source / "conf/nftables/redirect.nft"
    with spaces.inside(ROUTER):
        gateway = socket.create_server(("::", 9199), family=socket.AF_INET6, dualstack_ipv6=True)
    with gateway:
        for name, (router, _, _, far, _) in FAMILIES.items():
            faults.expect(reaches(router, 9199), f"{name}: nothing is there to be closed")
        spaces.run(*spaces.within(ROUTER), "nft", "-f", str(rules))
        for name, (router, client, _, far, passed) in FAMILIES.items():
            faults.expect(reaches(far, 25), f"{name}: port 25 is not redirected")
            faults.expect(not reaches(router, 9199), f"{name}: the gateway's port is open to all")
            spaces.run(*spaces.within(ROUTER), "nft", "add", "element", "inet", "smtp_gated", passed,
                       f"{{ {client} }}")
            faults.expect(not reaches(router, 25), f"{name}: {passed} is scanned all the same")


if faults.count == 0:
    try:
        spaces.make(CLIENT, ROUTER)
        ends = [[f"{row[end]}/{row[2]}" for row in FAMILIES.values()] for end in (0, 1)]
        spaces.connect(ROUTER, "lan0", ends[0], CLIENT, "lan0", ends[1])
        for router, *_ in FAMILIES.values():
            spaces.run(*spaces.within(CLIENT), "ip", "route", "add", "default", "via", router)
        check_redirection()
    finally:
        spaces.remove(CLIENT, ROUTER)
faults.end(f"the profile; {len(samples)} samples for nft; redirect.nft does what it says")
