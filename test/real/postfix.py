"""A Postfix of our own: private configuration, queue and mailboxes, on loopback ports; one
of them wants a PROXY header from whoever comes.

It delivers what comes for box1@example.test (to box99, and box1-a to box99-a) to the
Maildir of that name, so that every byte of what was delivered can be looked at.  AUTH and STARTTLS are offered.
"""
import os
import pwd
import re
import shutil
import subprocess
import tempfile

import lab
import started

BOXES = [f"box{number}{more}" for number in range(1, 100) for more in ("", "-a")]
USER, PASSWORD = "ann", "opensesame-4711"

MAIN = """\
compatibility_level = 3.6
queue_directory = {tmp}/queue
data_directory = {tmp}/data
maillog_file = {tmp}/maillog
maillog_file_prefixes = {tmp}
myhostname = server.example
inet_interfaces = 127.0.0.1
inet_protocols = all
mynetworks = 127.0.0.0/8 [::1]/128
mydestination =
alias_maps =
alias_database =
local_header_rewrite_clients =
virtual_mailbox_domains = example.test
virtual_mailbox_base = {tmp}/mail
virtual_mailbox_maps = texthash:{tmp}/etc/mailboxes
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
message_size_limit = 104857600
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = {tmp}/etc/cert.pem
smtpd_tls_key_file = {tmp}/etc/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_path = smtpd
cyrus_sasl_config_path = {tmp}/etc/sasl
{more}"""

# Daemons are not chrooted ("n" in the fifth column): there is nothing in our queue.
MASTER = """\
127.0.0.1:{port} inet n - n - 100 smtpd
127.0.0.1:{proxied_port} inet n - n - 100 smtpd
    -o smtpd_upstream_proxy_protocol=haproxy
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - 20 virtual
anvil unix - - n - 1 anvil
"""


def run(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stdout.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


class Maildirs:
    """Of a server that delivers to the Maildirs self.tmp/mail/NAME."""

    def delivered(self, name):
        """The files of this mailbox, as they lie there."""
        directory = f"{self.tmp}/mail/{name}/new"
        if not os.path.isdir(directory):
            return []
        mails = []
        for file in sorted(os.listdir(directory)):
            with open(os.path.join(directory, file), "rb") as opened:
                mails.append(opened.read())
        return mails

    def count(self, name):
        directory = f"{self.tmp}/mail/{name}/new"
        return len(os.listdir(directory)) if os.path.isdir(directory) else 0


class Postfix(Maildirs):
    def __init__(self, options=None):
        """OPTIONS of main.cf, by name, in place of those above or besides."""
        self.master = None
        self.options = options or {}
        self.port = lab.free_port()
        self.proxied_port = lab.free_port()
        self.tmp = tempfile.mkdtemp(prefix="gated-postfix-")
        try:
            self.write_files()
            run("postfix", "-c", self.tmp + "/etc", "check")
            self.start()
            if not lab.wait_until(self.answers, 30):
                raise AssertionError("Postfix does not answer:\n" + self.log())
        except BaseException:
            self.stop()
            raise

    def start(self):
        daemons = run("postconf", "-c", self.tmp + "/etc", "-h", "daemon_directory").strip()
        with open(self.tmp + "/words", "wb") as words:
            self.master = subprocess.Popen(
                [daemons + "/master", "-s"], stdin=subprocess.DEVNULL, stdout=words,
                stderr=words, start_new_session=True, preexec_fn=lab.die_with_parent,
                env=dict(os.environ, MAIL_CONFIG=self.tmp + "/etc"))

    def write_files(self):
        nobody, postfix = pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
        os.chmod(self.tmp, 0o755)
        for name in ("etc", "etc/sasl", "queue", "data", "mail"):
            os.mkdir(f"{self.tmp}/{name}", 0o755)
        os.chown(self.tmp + "/data", postfix.pw_uid, -1)
        os.chown(self.tmp + "/mail", nobody.pw_uid, nobody.pw_gid)
        # A server that is strict about newlines shows that we send it none that stray.
        strict = ""
        if "smtpd_forbid_bare_newline" in run("postconf", "-d"):
            strict = "smtpd_forbid_bare_newline = yes\nsmtpd_forbid_bare_newline_exclusions =\n"
        main = MAIN.format(tmp=self.tmp, uid=nobody.pw_uid, gid=nobody.pw_gid, more=strict)
        for name, value in self.options.items():
            main = re.sub(rf"(?m)^{name} = .*\n", "", main) + f"{name} = {value}\n"
        self.write("main.cf", main)
        self.write("master.cf", MASTER.format(port=self.port,
                                              proxied_port=self.proxied_port))
        self.write("mailboxes", "".join(f"{name}@example.test {name}/\n" for name in BOXES))
        self.write("sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                   f"mech_list: PLAIN LOGIN\nsasldb_path: {self.tmp}/etc/sasldb2\n")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=server.example", "-keyout", self.tmp + "/etc/key.pem",
            "-out", self.tmp + "/etc/cert.pem")
        subprocess.run(["saslpasswd2", "-p", "-c", "-u", "server.example",
                        "-f", self.tmp + "/etc/sasldb2", USER],
                       input=PASSWORD.encode(), check=True, timeout=20)
        shutil.chown(self.tmp + "/etc/sasldb2", "postfix")

    def write(self, name, text):
        with open(f"{self.tmp}/etc/{name}", "w", encoding="ascii") as file:
            file.write(text)

    def answers(self):
        return started.greets(self.port)

    def log(self):
        try:
            with open(self.tmp + "/maillog", encoding="ascii", errors="replace") as file:
                return file.read()
        except OSError:
            return "(no log)"

    def queue_is_empty(self):
        return not any(files for kind in ("incoming", "active", "deferred", "maildrop")
                       for _, _, files in os.walk(f"{self.tmp}/queue/{kind}"))

    def stop(self):
        started.end(self.master)
        shutil.rmtree(self.tmp, ignore_errors=True)
