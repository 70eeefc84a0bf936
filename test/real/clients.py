"""Mail clients as they are installed.  Each takes the port of a server and jobs (recipient,
message with the line ends of the wire), and says of each what came of it: the reply, as
far as the client tells it, beginning with its code.

What a client needs is in `missing`: why it cannot run here, or nothing.
"""
import base64
import contextlib
import json
import os
import re
import shutil
import smtplib
import subprocess
import tempfile

import lab
import unpacked

SENDER = "ann@example.test"
SECONDS = 120
TAKEN = "250 taken, as the client says"
NODE_MODULES = "/usr/share/nodejs"      # of Debian's packages


def run(*command, given=None, **more):
    done = subprocess.run(
        command, input=given, stdin=None if given else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, check=False, **more)
    return done.returncode, done.stdout.decode(errors="replace")


def unix(message):
    return message.replace(b"\r\n", b"\n")


def body(message):
    return message.partition(b"\r\n\r\n")[2]


@contextlib.contextmanager
def file_of(message):
    """For clients that end the last line themselves."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(unix(message)[:-1])
        file.flush()
        yield file.name


class Client:
    program = None
    chunks = False      # it sends by BDAT, where the server takes that

    def missing(self):
        if shutil.which(self.program):
            return None
        return f"not installed: {self.program} (sh test/install.sh test)"

    @staticmethod
    def makes_of(message):
        """What it sends, with or without a gateway, when it is to send MESSAGE."""
        return message

    def send(self, port, jobs, one_session):
        """ONE_SESSION: whoever can, sends all of them in one."""
        return [self.send_one(port, *job) for job in jobs]


class Swaks(Client):
    program = "swaks"
    more = ()

    @staticmethod
    def makes_of(message):
        """A body of one empty line, where there is none."""
        return message if body(message) else message + b"\r\n"

    def send_one(self, port, recipient, message):
        with file_of(message) as file:
            code, words = run(
                "swaks", "--server", f"127.0.0.1:{port}", "--helo", "client.example",
                "--timeout", "60", "--from", SENDER, "--to", recipient,
                "--data", "@" + file, *self.more)
        refused = re.findall(r"^<\*\* (.*)", words, re.M)
        if (code == 0) == bool(refused):
            return f"exit code {code}: {words[-1000:]}"
        after_the_dot = words.rpartition("\n -> .\n")[2]
        return refused[0] if refused else re.search(r"^<-  (.*)", after_the_dot, re.M)[1]


class PipeliningSwaks(Swaks):
    more = ("--pipeline",)


class Smtplib(Client):
    def missing(self):
        return None

    def send(self, port, jobs, one_session):
        replies = []
        for group in [jobs] if one_session else [[job] for job in jobs]:
            with smtplib.SMTP("127.0.0.1", port, "client.example", SECONDS) as session:
                replies += [self.reply(session, *job) for job in group]
        return replies

    @staticmethod
    def reply(session, recipient, message):
        try:
            session.sendmail(SENDER, [recipient], message)
        except smtplib.SMTPResponseException as error:
            return f"{error.smtp_code} {error.smtp_error.decode(errors='replace')}"
        return TAKEN


NODE = """\
const nodemailer = require("nodemailer");
const told = JSON.parse(require("fs").readFileSync(0));
const transport = nodemailer.createTransport({
	host: "127.0.0.1", port: told.port, name: "client.example", ignoreTLS: true,
	pool: told.pool, maxConnections: 1});
(async () => {
	const replies = [];
	for (const [to, raw] of told.jobs) {
		try {
			const done = await transport.sendMail(
				{envelope: {from: told.from, to}, raw: Buffer.from(raw, "base64")});
			replies.push(done.response);
		} catch (error) {
			replies.push(error.response || String(error));
		}
	}
	transport.close();
	console.log(JSON.stringify(replies));
})();
"""


class Nodemailer(Client):
    def missing(self):
        if shutil.which("node") and os.path.isdir(NODE_MODULES + "/nodemailer"):
            return None
        return "not installed: node-nodemailer (sh test/install.sh test)"

    def send(self, port, jobs, one_session):
        told = {"port": port, "from": SENDER, "pool": one_session,
                "jobs": [(to, base64.b64encode(message).decode()) for to, message in jobs]}
        code, words = run("node", "-e", NODE, given=json.dumps(told).encode(),
                          env=dict(os.environ, NODE_PATH=NODE_MODULES))
        return json.loads(words) if code == 0 else [words] * len(jobs)


class SmtpSource(Client):
    """Of Postfix.  It says what it was told when that was a refusal."""
    program = "smtp-source"

    @staticmethod
    def makes_of(message):
        """An empty line behind the body."""
        return message + b"\r\n" if body(message) else message

    def send_one(self, port, recipient, message):
        with file_of(message) as file:
            code, words = run("smtp-source", "-M", "client.example", "-f", SENDER,
                              "-t", recipient, "-F", file, f"inet:127.0.0.1:{port}")
        refused = re.search(r"end of data rejected: (.*)", words)
        return refused[1] if refused else f"{words}exit code {code}" if code else TAKEN


class Smtp(Client):
    """Of OpenSMTPD."""
    def missing(self):
        return unpacked.missing("opensmtpd")

    def send_one(self, port, recipient, message):
        code, words = run(f"{unpacked.UNPACKED}/opensmtpd/usr/bin/smtp",
                          "-s", f"smtp+notls://127.0.0.1:{port}", "-H", "client.example",
                          "-F", SENDER, recipient, given=unix(message))
        reply = re.search(r"EOM: (.*)", words)
        return reply[1] if reply else f"exit code {code}: {words}"


class Exim(Client):
    def missing(self):
        return unpacked.missing("exim4-daemon-light")

    def send(self, port, jobs, one_session):
        client = unpacked.EximClient(port, self.chunks)
        try:
            return [self.reply(*client.send(message, SENDER, recipient))
                    for recipient, message in jobs]
        finally:
            client.stop()

    @staticmethod
    def reply(code, words):
        refused = re.search(r"after (?:pipelined )?end of data: (.*)", words)
        return refused[1] if refused else f"{words}exit code {code}" if code else TAKEN


class ChunkingExim(Exim):
    chunks = True


class Bdat(Client):
    """Of our own: chunks that end anywhere, one after the other, all at once, and the last
    with nothing in it."""
    chunks = True
    # How large, and whether without waiting for replies; of WAYS one for each message.
    WAYS = ((1 << 20, False), (997, False), (997, True), (4093, True))

    def missing(self):
        return None

    def send(self, port, jobs, one_session):
        replies = []
        for number, (recipient, message) in enumerate(jobs):
            with lab.Client(("127.0.0.1", port)) as session:
                hello = session.hello()
                if "CHUNKING" in hello:
                    way = self.WAYS[number % len(self.WAYS)]
                    replies.append(self.chunked(session, recipient, message, *way))
                else:
                    replies.append(session.submit(message, recipient)[-1])
                session.send(b"QUIT\r\n")
                session.reply()
        return replies

    @staticmethod
    def chunked(session, recipient, message, size, at_once):
        chunks = [message[at:at + size] for at in range(0, len(message), size)] + [b""]
        for command in (f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{recipient}>"):
            session.ask(command)
        replies = []
        for number, chunk in enumerate(chunks):
            last = b" LAST" if number == len(chunks) - 1 else b""
            session.send(b"BDAT %d%s\r\n" % (len(chunk), last) + chunk)
            if not at_once:
                replies.append(session.reply())
                if not replies[-1].startswith("250"):
                    return replies[-1]
        if at_once:
            replies = [session.reply() for _ in chunks]
        return next((reply for reply in replies if not reply.startswith("250")), replies[-1])


ALL = {"swaks": Swaks(), "swaks-pipelining": PipeliningSwaks(), "smtplib": Smtplib(),
       "nodemailer": Nodemailer(), "smtp-source": SmtpSource(), "opensmtpd": Smtp(),
       "exim": Exim(), "exim-bdat": ChunkingExim(), "bdat": Bdat()}
