#!/usr/bin/python3
"""The units of conf/systemd under a real systemd, in a container.

    units.py PROGRAM LIBRARY [unittest arguments]

LIBRARY is silent_original_dst of test/net.  What is tested is in units_inside.py, and runs
in there.
"""
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import container                        # noqa: E402
import lab                              # noqa: E402

UNITS = HERE.parent.parent / "conf" / "systemd"
PLACES = {"sysusers.conf": "/usr/lib/sysusers.d/smtp-gated.conf",
          "tmpfiles.conf": "/usr/lib/tmpfiles.d/smtp-gated.conf"}
SECONDS = 280


def main():
    program, library, more = sys.argv[1], sys.argv[2], sys.argv[3:]
    try:
        with container.Container() as inside:
            for file in UNITS.iterdir():
                inside.put(file, PLACES.get(file.name, f"/usr/lib/systemd/system/{file.name}"),
                           0o644)
            for more_of_it in ("", "-helper"):
                inside.put(program + more_of_it, "/usr/sbin/smtp-gated" + more_of_it, 0o755)
            inside.put(UNITS.parent / "action.sh", "/etc/smtp-gated/action.sh", 0o755)
            inside.put(library, "/usr/lib/silent_original_dst.so", 0o755)
            for name in ("lab.py", "daemon", "systemd"):
                inside.put(HERE.parent / name, f"/opt/gated/{name}")
            inside.boot()
            return inside.run("python3", "-B", "/opt/gated/systemd/units_inside.py",
                              "/usr/sbin/smtp-gated", *more, check=False, timeout=SECONDS,
                              stdout=None, stderr=None).returncode
    except container.Unavailable as why:
        lab.skip_all(why)
    except subprocess.TimeoutExpired:
        print(f"not done within {SECONDS} seconds", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
