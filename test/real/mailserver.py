"""A mail server that takes everything."""
import socket
import threading


class Sink(threading.Thread):
    """Takes everything; keeps the commands that it got, and each message as it came, dots
    undone."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.commands, self.messages = [], []
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def close(self):
        """Not under the thread: it would accept what the next socket of that number gets."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.join()
        self.socket.close()

    def talk(self, peer):
        try:
            with peer, peer.makefile("rwb") as file:
                self.serve(file)
        except OSError:
            pass

    def serve(self, file):
        def say(text):
            file.write(text + b"\r\n")
            file.flush()
        say(b"220 sink.example ESMTP")
        for line in file:
            self.commands.append(line.decode("latin-1").strip())
            verb = line.split(None, 1)[0].upper()
            if verb == b"EHLO":
                say(b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
            elif verb == b"AUTH":
                say(b"235 2.7.0 Welcome" if line.strip().endswith(b"=") else b"535 5.7.8 No")
            elif verb == b"DATA":
                say(b"354 Go on")
                message = []
                for row in file:
                    if row == b".\r\n":
                        break
                    message.append(row[1:] if row[:1] == b"." else row)
                else:
                    return              # broken off: nothing was delivered
                self.messages.append(b"".join(message))
                say(b"250 2.0.0 Taken")
            elif verb == b"QUIT":
                say(b"221 Bye")
                return
            else:
                say(b"250 2.0.0 Ok")

    def saw(self, sender):
        return f"MAIL FROM:<{sender}>" in self.commands
