#!/usr/bin/python3
"""event_url: real receivers, told by the real daemon.

    events.py PROGRAM [unittest arguments]
"""
import contextlib
import http.server
import json
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time

from gated import Case, as_root, can_mount, main, mount_over, wait_until
import lab

VIRUS = lab.EICAR_NAME + ".UNOFFICIAL"
TOKEN = "s3cret-t0ken"
SOON = 0.9                      # seconds of a session with a virus, sanitizers included


class Receiver(http.server.ThreadingHTTPServer):
    """Answers with STATUSES, in turn, then with 200; keeps what it was told."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *statuses, context=None, delay=0, port=0):
        super().__init__(("127.0.0.1", port), Told)
        self.statuses, self.delay, self.told, self.connections = list(statuses), delay, [], 0
        self.lock = threading.Lock()
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def get_request(self):
        taken = super().get_request()
        self.connections += 1
        return taken

    def handle_error(self, request, client_address):
        pass

    def bodies(self):
        return [json.loads(body) for _, _, body in self.told]


class Told(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):                                  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay)
        with self.server.lock:
            status = self.server.statuses.pop(0) if self.server.statuses else 200
            self.server.told.append((self.path, self.headers, body))
        self.send_response(status)
        self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):                                   # pylint: disable=invalid-name
        self.server.told.append(("GET", self.headers, b"{}"))

    def log_message(self, *_):                          # pylint: disable=arguments-differ
        pass


class Odd(socketserver.ThreadingTCPServer):
    """BEHAVE is called with each connection, when a request is there."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behave):
        self.behave, self.count = behave, 0
        super().__init__(("127.0.0.1", 0), None)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def finish_request(self, request, client_address):
        self.count += 1
        request.recv(65536)
        with contextlib.suppress(OSError):
            self.behave(request)


def hangs(connection):
    connection.recv(65536)              # until it is closed


def resets(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drips(words):
    """WORDS at once, then a byte now and then."""
    def behave(connection):
        connection.sendall(words)
        while True:
            connection.sendall(b"x")
            time.sleep(0.1)
    return behave


class Events(Case):
    def receiver(self, *statuses, **options):
        return self.cleaned(Receiver(*statuses, **options))

    def odd(self, behave):
        return self.cleaned(Odd(behave))

    def cleaned(self, server):
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def start(self, url, **options):
        before = options.pop("before", lambda: None)
        self.gated.configure(event_url=f'"{url}"', **options)
        self.gated.start(before=before)

    def told(self, receiver, count=1):
        """What RECEIVER was told, which are to be so many."""
        self.assertTrue(wait_until(lambda: len(receiver.told) >= count), self.gated.log()[-3000:])
        self.assertEqual(len(receiver.told), count)
        return receiver.bodies()

    def state(self, *names):
        state = self.gated.write_state()
        return [int(state[name]) for name in names]

    def seconds_of(self, count):
        """That the slowest of so many sessions takes."""
        slowest = 0
        for _ in range(count):
            watch = lab.Stopwatch()
            self.infect()
            slowest = max(slowest, watch.here())
        return slowest

    # -- what it is told

    def test_every_fact(self):
        receiver = self.receiver()
        self.gated.extra_environment = {"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
        self.start(f"{receiver.url}/hook?{TOKEN}", lock_on="{never}", lock_duration=60)
        self.serves()                                   # one clean, one with a virus
        self.told(receiver)
        begun = int(time.time())
        host, port = self.infect(hello="pc.example", count=3)
        told = self.told(receiver, 2)[1]
        path, headers, body = receiver.told[1]
        self.assertEqual(path, f"/hook?{TOKEN}")
        self.assertEqual(sorted(headers.items()), [
            ("Content-Length", str(len(body))), ("Content-Type", "application/json"),
            ("Host", receiver.url[7:]), ("User-Agent", "smtp-gated/2.0.0")])
        when = told.pop("unixtime")
        self.assertTrue(begun <= when <= time.time())
        self.assertEqual(told.pop("time"), time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(when)))
        self.gated.wait_for_log(r"^event s=\w+ t=3 ")
        line = self.gated.logged("^event .* t=3 ")[0]
        self.assertRegex(line, rf"^event s={told['session']} t=3 url={receiver.url} finding=virus "
                               rf"client={host}:{port} status=200 tries=1 ms=\d+$")
        told.pop("session")
        self.assertEqual(told, {
            "schema": 1, "finding": "virus", "action": "refuse", "mail": 3,
            "proxy_name": "gate.example", "found": "VIRUS", "virus_name": VIRUS,
            "spam_score": None, "source_ip": host, "source_port": port,
            "target_ip": "127.0.0.1", "target_port": self.sink.port,
            "local_ip": "127.0.0.1", "local_port": self.gated.port,
            "ident": None, "ident_count": 0, "helo": "pc.example",
            "mail_from": "a@client.example", "rcpts_total": 2,
            "size": len(lab.mail(lab.EICAR)), "transaction": 3, "auth": False, "auth_user": None,
            "spool_name": None, "lock_file": None, "lock_duration": 0})
        self.assertEqual(receiver.connections, 1)       # which is kept
        self.assertEqual(self.state("events", "events_now", "events_retried", "events_dropped"),
                         [2, 0, 0, 0])
        self.assertNotIn(TOKEN, self.gated.log())
        self.gated.stop()

    def test_evil_bytes(self):
        receiver = self.receiver()
        self.start(receiver.url)
        client = self.begin()
        client.ask("AUTH PLAIN AGpvZQBwYXNzd29yZA==")
        client.ask("EHLO \x1b]0;x\"\\\x07{}\x9b\xff\xc3\xbc")
        client.ask('MAIL FROM:<"$(id)\x7f\xe2\x80\xae\xc0\xaf"@' + "x" * 200 + ">")
        client.ask("RCPT TO:<b@sink.example>")
        client.ask("DATA")
        client.send(lab.dotted(lab.mail(lab.EICAR)))
        self.assertRegex(client.reply(), "^550")
        told = self.told(receiver)[0]
        self.assertEqual(told["helo"], '?]0;x"\\?{}??\xfc')
        self.assertRegex(told["mail_from"], r'^"\$\(id\)\?\?\?\?"@x{200}$')
        body = receiver.told[0][2]
        body.decode("utf-8")
        for secret in (b"password", b"AGpvZQBwYXNzd29yZA", b"joe"):
            self.assertNotIn(secret, body)
        client.__exit__()
        self.gated.stop()

    # -- what it answers

    def test_answers(self):
        """2yz is taken; 4yz is not tried again, but for two; all others are."""
        for status, again in ((200, 0), (204, 0), (404, 0), (400, 0), (408, 1), (429, 1),
                              (500, 1), (503, 1), (302, 1)):
            with self.subTest(status):
                receiver = self.receiver(status)
                if self.gated.pid:
                    self.gated.reload(event_url=f'"{receiver.url}"', event_retries=0)
                else:
                    self.start(receiver.url, event_retries=0)
                good = status // 100 == 2
                before = self.state("events", "events_dropped")
                self.infect()
                self.told(receiver)
                wanted = [before[0] + good, before[1] + (not good)]
                self.assertTrue(wait_until(lambda: self.state("events", "events_dropped") == wanted))
                self.assertEqual(receiver.connections, 1)
        self.gated.wait_for_log('^event-failed .*text="dropped: the receiver refuses it.* status=404')
        self.gated.wait_for_log('^event-failed .*text="dropped: not taken.*event_retries.* status=408')
        self.gated.stop()

    def test_taken_in_the_end(self):
        receiver = self.receiver(500, 429)
        self.start(receiver.url)
        watch = lab.Stopwatch()
        self.infect()
        told = self.told_in(receiver, 3)
        self.assertTrue(2.9 < watch.seconds() and watch.here() < 10)    # 1 s, then 2
        self.assertEqual(told[0], told[2])
        self.gated.wait_for_log("^event .* status=200 tries=3 ms=(29\d\d|[3-9]\d{3}|\d{5})$")
        self.assertEqual(len(self.gated.logged("^event-failed .*tried again.* status=500")), 1)
        self.assertEqual(self.state("events", "events_retried", "events_dropped"), [1, 2, 0])
        self.gated.stop()

    def told_in(self, receiver, count):
        self.assertTrue(wait_until(lambda: len(receiver.told) >= count))
        return receiver.bodies()

    def test_odd_ones(self):
        """None of them is waited for longer, or read further, than needed."""
        sent = []

        def floods(words):
            def behave(connection):
                connection.sendall(words)
                with contextlib.suppress(OSError):
                    while sum(sent) < 1 << 30:
                        sent.append(connection.send(b"x: y\r\n" * 10000))
            return behave
        rows = [(resets, False, "error="), (drips(b""), False, "error="),
                (drips(b"HTTP/1.1 200 ok\r\n\r\n"), True, "status=200"),
                (drips(b"HTTP/1.1 100 go on\r\n\r\nHTTP/1.1 "), False, "error="),
                (floods(b"HTTP/1.1 200 ok\r\nContent-Length: 99999999999\r\n\r\n"), True, "status=200"),
                (floods(b"HTTP/1.1 500 no\r\n"), False, "error=|status=500"),
                (lambda connection: connection.sendall(b"\0\xff\r\n" * 100), False, "error=")]
        self.gated.start()
        for number, (behave, taken, words) in enumerate(rows):
            with self.subTest(number):
                odd = self.odd(behave)
                self.gated.reload(event_url=f'"{odd.url}"', event_timeout=1, event_retries=0)
                before = self.state("events", "events_dropped")
                self.assertLess(self.seconds_of(1), SOON)
                wanted = [before[0] + taken, before[1] + (not taken)]
                self.assertTrue(wait_until(lambda: self.state("events", "events_dropped") == wanted),
                                self.gated.log()[-3000:])
                if taken:
                    self.gated.wait_for_log(f"^event .*url={odd.url[:-1]} .*({words})")
        self.assertLess(sum(sent), 64 << 20)            # of a gigabyte
        self.gated.wait_for_log("^event-failed .*not taken.*error=")
        self.gated.stop()

    def test_nobody_there(self):
        """It is tried again, and found when it comes."""
        port = lab.free_port()
        self.start(f"http://127.0.0.1:{port}/")
        self.assertLess(self.seconds_of(3), SOON)
        self.gated.wait_for_log("^event-failed .*tried again.*error=")
        self.assertEqual(len(self.gated.logged("^event-failed ")), 1)
        self.assertEqual(self.state("events_now"), [3])
        receiver = self.receiver(port=port)
        self.told_in(receiver, 3)
        self.assertTrue(wait_until(lambda: self.state("events_now", "events") == [0, 3]))
        self.gated.stop()

    # -- nobody waits for it

    def test_one_that_hangs(self):
        """Mail passes as before; so many wait, the rest is dropped; another receiver is told
        at once; the end comes in time."""
        odd, receiver = self.odd(hangs), self.receiver()
        self.gated.configure(event_queue=5)
        self.gated.start()
        usual = self.seconds_of(10)
        self.gated.reload(event_url=f'"{odd.url}"', event_timeout=300, sections=(
            'policy "other" {\n  clients = {"127.0.0.9"}\n'
            f'  event_url = "{receiver.url}"\n}}\n'))
        slowest = self.seconds_of(40)
        self.assertLess(slowest, max(SOON, 3 * usual))
        self.assertTrue(wait_until(lambda: odd.count == 4))
        self.assertEqual(self.state("events_now", "events_dropped"), [4 + 5, 40 - 4 - 5])
        self.assertEqual(len(self.gated.logged('^event-failed .*dropped: event_queue')), 1)
        self.serves()
        watch = lab.Stopwatch()
        self.gated.reload(sections=(
            f'policy "all" {{\n  clients = {{"127.0.0.0/8"}}\n  event_url = "{receiver.url}"\n}}\n'))
        self.infect()
        self.assertEqual(self.told(receiver)[0]["found"], "VIRUS")
        self.assertLess(watch.here(), 20)       # the others' time is 300 seconds
        watch = lab.Stopwatch()
        self.gated.stop()
        self.assertTrue(2.5 < watch.seconds() and watch.here() < 20)
        self.gated.wait_for_log('^event-failed text="dropped: event_queue.*" events=31')
        self.gated.wait_for_log('^event-failed text="dropped: the daemon ends" events=9')

    def test_the_end_tells_what_waits(self):
        receiver = self.receiver(delay=0.2)
        self.start(receiver.url)
        for _ in range(8):
            self.infect()
        self.gated.stop()
        self.told(receiver, 8)
        self.assertEqual(receiver.connections, 4)
        self.assertFalse(self.gated.logged("^event-failed "))

    @as_root
    def test_no_dns(self):
        """A name that nobody answers for holds up nobody, also when time is up."""
        if not can_mount():
            self.skipTest("no mount namespaces here")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            try:
                silent.bind(("127.85.3.1", 53))
            except OSError as error:
                self.skipTest(f"port 53: {error}")
            conf = self.gated.directory / "resolv.conf"
            conf.write_text("nameserver 127.85.3.1\noptions timeout:20 attempts:2\n")
            self.start("http://receiver.invalid/", event_timeout=1, event_retries=0,
                       before=lambda: mount_over("/etc/resolv.conf", conf))
            end, slowest = time.monotonic() + 1.4, 0
            while time.monotonic() < end:
                slowest = max(slowest, self.seconds_of(1))
            self.assertLess(slowest, SOON)
            self.gated.wait_for_log("^event-failed .*dropped: not taken.*error=.*[Rr]esolv")
            silent.settimeout(1)
            self.assertIn(b"receiver", silent.recv(512))
            watch = lab.Stopwatch()             # a thread of it still waits, for 40 seconds
            self.gated.stop()
            self.assertLess(watch.here(), 20)

    # -- https

    def certificates(self):
        """A CA, and a server's certificate for 127.0.0.1 and one for another name."""
        folder = self.gated.directory / "tls"
        folder.mkdir()

        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], check=True, cwd=folder, timeout=60,
                           stdin=subprocess.DEVNULL, capture_output=True)
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
                "-subj", "/CN=a CA")
        for name, whose in (("good", "IP:127.0.0.1"), ("other", "DNS:other.example")):
            (folder / f"{name}.ext").write_text(f"subjectAltName={whose}\n")
            openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr",
                    "-subj", f"/CN={name}")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext",
                    "-out", f"{name}.pem")
        contexts = {}
        for name in ("good", "other"):
            contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            contexts[name].load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        return folder / "ca.pem", contexts

    def test_https(self):
        authority, contexts = self.certificates()
        receiver = self.receiver(context=contexts["good"])
        self.start(receiver.url, event_ca_file=f'"{authority}"', event_retries=0)
        self.assertLess(self.seconds_of(3), SOON)
        self.told(receiver, 3)
        for ca_file, name in ((authority, "other"), ("", "good"), ("/no/such", "good")):
            with self.subTest(ca_file=ca_file, name=name):
                before = self.state("events_dropped")[0]
                other = self.receiver(context=contexts[name])
                self.gated.reload(event_url=f'"{other.url}"', event_ca_file=f'"{ca_file}"')
                self.infect()
                self.assertTrue(wait_until(lambda: self.state("events_dropped")[0] == before + 1))
                self.assertEqual(other.told, [])
        self.gated.wait_for_log("^event-failed .*error=.*(SSL|certificate|subject)")
        self.gated.stop()

    # -- which

    def test_event_on_and_policies(self):
        first, second = self.receiver(), self.receiver()
        self.start(first.url, event_on="{}")
        self.infect()
        self.gated.reload(event_on="{virus}", sections=(
            f'policy "one" {{\n  clients = {{"127.0.0.0/8"}}\n  event_url = "{second.url}"\n}}\n'))
        self.infect(hello="second")
        self.assertEqual(self.told(second)[0]["helo"], "second")
        self.gated.reload(event_url='""', sections="")
        self.infect()
        self.gated.reload(event_url=f'"{first.url}"')
        self.infect(hello="last")
        self.assertEqual(self.told(first)[0]["helo"], "last")
        self.assertEqual(len(second.told), 1)
        self.gated.stop()

    def test_wrong_urls(self):
        for url, words in (("ftp://x/", "begin with http:// or https://"), ("x", "begin with http"),
                           ("http://", "has no host"), ("http://a:0/", "wrong port"),
                           ("http://a:70000", "wrong port"), ("http://[::1", "has no host"),
                           ("https://joe:pw@x/", "no password"), ("http://a b/", "without blanks"),
                           ("http://\u00e4/", "plain ASCII")):
            with self.subTest(url):
                self.gated.configure(event_url=f'"{url}"')
                self.assertRegex(self.gated.refused(), f"event_url: .*{words}")


if __name__ == "__main__":
    main()
