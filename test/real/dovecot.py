"""A Dovecot of our own that takes mail by LMTP: private configuration, users and mailboxes,
on a loopback port.

It delivers to the Maildir of box1 to box60 (@example.test).  full@ has no room, which is
for ever, and broken@ has a mailbox that cannot be opened, which may pass.
"""
import os
import pwd
import shutil
import subprocess
import tempfile

import lab
import started

CONF = """\
base_dir = {tmp}/run
state_dir = {tmp}/state
instance_name = gated-{port}
log_path = {tmp}/log
protocols = lmtp
ssl = no
hostname = server.example
first_valid_uid = 1
mail_location = maildir:{tmp}/mail/%n
login_trusted_networks = {trusted}
userdb {{
  driver = passwd-file
  args = {tmp}/etc/users
}}
passdb {{
  driver = passwd-file
  args = {tmp}/etc/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
protocol lmtp {{
  mail_plugins = quota
}}
plugin {{
  quota = maildir:User quota
}}
"""


class Dovecot:
    def __init__(self, trusted=""):
        """TRUSTED: networks that may say XCLIENT."""
        self.master = None
        self.port = lab.free_port()
        self.tmp = tempfile.mkdtemp(prefix="gated-dovecot-")
        try:
            self.write_files(trusted)
            with open(self.tmp + "/words", "wb") as words:
                self.master = subprocess.Popen(
                    ["dovecot", "-F", "-c", self.tmp + "/etc/dovecot.conf"],
                    stdin=subprocess.DEVNULL, stdout=words, stderr=words,
                    start_new_session=True, preexec_fn=lab.die_with_parent)
            if not lab.wait_until(self.answers, 30):
                raise AssertionError("Dovecot does not answer:\n" + self.log())
        except BaseException:
            self.stop()
            raise

    def write_files(self, trusted):
        nobody = pwd.getpwnam("nobody")
        os.chmod(self.tmp, 0o755)
        for name in ("etc", "run", "state", "mail"):
            os.mkdir(f"{self.tmp}/{name}", 0o755)
        os.chown(self.tmp + "/mail", nobody.pw_uid, nobody.pw_gid)
        with open(self.tmp + "/mail/broken", "w", encoding="ascii"):
            pass                        # no directory
        with open(self.tmp + "/etc/dovecot.conf", "w", encoding="ascii") as file:
            file.write(CONF.format(tmp=self.tmp, port=self.port, trusted=trusted))
        with open(self.tmp + "/etc/users", "w", encoding="ascii") as file:
            for name in [f"box{i}" for i in range(1, 61)] + ["full", "broken"]:
                rule = "userdb_quota_rule=*:bytes=10" if name == "full" else ""
                file.write(f"{name}@example.test:{{PLAIN}}x:{nobody.pw_uid}:{nobody.pw_gid}"
                           f"::{self.tmp}/mail/{name}::{rule}\n")

    def answers(self):
        return started.greets(self.port)

    def log(self):
        words = ""
        for name in ("words", "log"):
            try:
                with open(f"{self.tmp}/{name}", encoding="ascii", errors="replace") as file:
                    words += file.read()
            except OSError:
                words += f"(no {name})"
        return words

    def delivered(self, name):
        """The files of this mailbox, as they lie there."""
        directory = f"{self.tmp}/mail/{name}/new"
        mails = []
        for file in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
            with open(os.path.join(directory, file), "rb") as opened:
                mails.append(opened.read())
        return mails

    def stop(self):
        started.end(self.master)
        shutil.rmtree(self.tmp, ignore_errors=True)
