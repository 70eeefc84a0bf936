"""How much of what a socket sent has its peer, on this machine, not read yet?

The kernel knows: sock_diag(7) tells the receive queue of the peer's socket.  Without it,
what is sent in two segments would mostly be read as one, and nothing would be tested.
"""
import socket
import struct

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST = 4, 20, 1
NO_COOKIE = b"\xff" * 8


def address_bytes(family, host):
    return socket.inet_pton(family, host).ljust(16, b"\0")


class Unread:
    def __init__(self, sock):
        """SOCK is connected."""
        here, there = sock.getsockname(), sock.getpeername()
        who = struct.pack("!HH", there[1], here[1]) + \
            address_bytes(sock.family, there[0]) + address_bytes(sock.family, here[0]) + \
            struct.pack("=I", 0) + NO_COOKIE
        request = struct.pack("=BBBBI", sock.family, socket.IPPROTO_TCP, 0, 0, 0xffffffff)
        size = 16 + len(request) + len(who)
        self.request = struct.pack("=IHHII", size, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
        self.request += request + who
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)

    def bytes(self):
        """0 also when there is no such socket any more."""
        self.netlink.send(self.request)
        answer = self.netlink.recv(4096)
        if struct.unpack_from("=H", answer, 4)[0] != SOCK_DIAG_BY_FAMILY:
            return 0
        return struct.unpack_from("=I", answer, 16 + 56)[0]

    def close(self):
        self.netlink.close()
