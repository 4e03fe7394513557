"""The few words of rtnetlink(7) that a private network needs: a bridge, pairs of virtual cables, addresses, "up".

Every call works in the network namespace of the calling thread, in which it must have CAP_NET_ADMIN.
"""

from __future__ import annotations

import _socket as socket
import os
from _struct import pack, unpack_from

NEW_LINK, DELETE_LINK, NEW_ADDRESS, ERROR = 16, 17, 20, 2
REQUEST, ACK, CREATE = 1, 4, 0x600
IFLA_NAME, IFLA_MASTER, IFLA_INFO, IFLA_NET_NS_FD, INFO_KIND, INFO_DATA, VETH_PEER = 3, 10, 18, 28, 1, 2, 1
IFF_UP = 1


def add_bridge(name: str) -> None:
    _link(NEW_LINK, CREATE, _text(IFLA_NAME, name) + _attribute(IFLA_INFO, _text(INFO_KIND, "bridge")))


def add_cable(name: str, bridge: str, peer: str, namespace: int) -> None:
    """A pair of ends: `name` here on `bridge`, `peer` in the network namespace of that descriptor."""
    far = pack("BxHiII", 0, 0, 0, 0, 0) + _text(IFLA_NAME, peer) + _attribute(IFLA_NET_NS_FD, pack("I", namespace))
    pair = _text(INFO_KIND, "veth") + _attribute(INFO_DATA, _attribute(VETH_PEER, far))
    master = _attribute(IFLA_MASTER, pack("I", socket.if_nametoindex(bridge)))
    _link(NEW_LINK, CREATE, _text(IFLA_NAME, name) + master + _attribute(IFLA_INFO, pair))
    up(name)


def remove(name: str) -> None:
    _link(DELETE_LINK, 0, b"", socket.if_nametoindex(name))


def up(name: str) -> None:
    _link(NEW_LINK, 0, b"", socket.if_nametoindex(name), IFF_UP)


def add_address(name: str, address: str, prefix: int) -> None:
    packed = socket.inet_aton(address)
    header = pack("BBBBI", socket.AF_INET, prefix, 0, 0, socket.if_nametoindex(name))
    _ask(NEW_ADDRESS, CREATE, header + _attribute(2, packed) + _attribute(1, packed))


def _link(kind: int, flags: int, attributes: bytes, index: int = 0, set_flags: int = 0) -> None:
    _ask(kind, flags, pack("BxHiII", 0, 0, index, set_flags, set_flags) + attributes)


def _attribute(kind: int, data: bytes) -> bytes:
    return pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _ask(kind: int, flags: int, body: bytes) -> None:
    """One request, and the kernel's answer to it."""
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    try:
        kernel.send(pack("IHHII", 16 + len(body), kind, flags | REQUEST | ACK, 1, 0) + body)
        answer = kernel.recv(65536)
    finally:
        kernel.close()
    said, code = unpack_from("H", answer, 4)[0], unpack_from("i", answer, 16)[0]
    if said != ERROR or code:
        raise OSError(-code, os.strerror(-code))
