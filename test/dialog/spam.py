"""A scripted spam scanner: spamd or rspamd, as far as the gateway can tell."""
import json
import re
import socket
import threading

BABBLE = b"\xff\0 what is it that you want of me?\r\n" * 20


def spamd_answer(words):
    score = float(words)
    rules = b"RULE_ONE,RULE_TWO"
    return (b"SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: %s ; %.1f / 5.0\r\n\r\n%s"
            % (len(rules), b"True" if score >= 5 else b"False", score, rules))


def rspamd_answer(words):
    action, score = words.rsplit(" ", 1)
    symbols = {"SYMBOL_ONE": {"name": "SYMBOL_ONE", "score": float(score)}}
    body = json.dumps({"is_skipped": False, "score": float(score), "required_score": 15.0,
                       "action": action, "symbols": symbols, "messages": {}}).encode()
    return (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n"
            b"Content-Type: application/json\r\n\r\n%s" % (len(body), body))


class Scanner:
    """Says one answer to each message, those for the next ones behind "then"; the last one
    goes on.  spamd: a score; rspamd: an action and a score; both: "silence", "gone" (it hangs
    up instead), "babble", or "dead" (nobody listens, all the time)."""

    def __init__(self, kind, script):
        self.kind, self.answers = kind, script.split(" then ")
        self.talks, self.asked = [], 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        port = self.socket.getsockname()[1]
        self.config = f'rspamd_url = {{"http://127.0.0.1:{port}"}}\n' if kind == "rspamd" \
            else f'antispam_path = {{"127.0.0.1:{port}"}}\n'
        self.type = kind if kind == "rspamd" else "spamassassin"
        if script == "dead":
            self.socket.close()
        else:
            threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                talk, _ = self.socket.accept()
            except OSError:
                return
            self.talks.append(talk)
            answer = self.answers[min(self.asked, len(self.answers) - 1)]
            self.asked += 1
            threading.Thread(target=self.hold, args=(talk, answer), daemon=True).start()

    def hold(self, talk, answer):
        try:
            self.read_request(talk)
            if answer == "silence":
                return
            talk.sendall(b"" if answer == "gone" else BABBLE if answer == "babble"
                         else rspamd_answer(answer) if self.kind == "rspamd"
                         else spamd_answer(answer))
            talk.shutdown(socket.SHUT_WR)
            while talk.recv(65536):
                pass
            talk.close()
        except OSError:
            pass

    @staticmethod
    def read_request(talk):
        raw = b""
        while b"\r\n\r\n" not in raw:
            raw += talk.recv(65536) or b"\r\n\r\n"
        head, _, body = raw.partition(b"\r\n\r\n")
        size = int(re.search(rb"(?i)\r\nContent-length: (\d+)", head)[1])
        while len(body) < size:
            more = talk.recv(65536)
            if not more:
                raise OSError("it went away")
            body += more

    def fini(self):
        self.socket.close()
        for talk in self.talks:
            talk.close()
