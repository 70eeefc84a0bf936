#!/usr/bin/python3
"""A transparent relay for REDIRECT that is nothing but that: connections, made anew.

    stranger.py PORT            IPv4 only; says "ready" when it listens
"""
import socket
import struct
import sys
import threading

SO_ORIGINAL_DST = 80


def copy(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def relay(client):
    raw = client.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    port, host = struct.unpack("!2xH4s8x", raw)
    try:
        server = socket.create_connection((socket.inet_ntoa(host), port), timeout=20)
    except OSError:
        client.close()
        return
    threads = [threading.Thread(target=copy, args=pair, daemon=True)
               for pair in ((client, server), (server, client))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    server.close()


def main():
    listening = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=128)
    print("ready", flush=True)
    while True:
        client, _ = listening.accept()
        threading.Thread(target=relay, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main()
