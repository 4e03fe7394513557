"""Reaching into the network namespace of a box, with or without privileges."""

from __future__ import annotations

import _socket as socket  # `socket` itself is a slow import, and a run waits for this
import array
import errno
import fcntl
import os
import time

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
NS_GET_USERNS = 0xB701


def enter(pid: int) -> None:
    """Move this (single-threaded) process into the network namespace of process `pid`.

    Root may do so directly. Everybody else first enters the user namespace that owns it, in which the
    user who made it has every capability (user_namespaces(7)).
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    net = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(net, CLONE_NEWNET) == 0:
            return
        owner = fcntl.ioctl(net, NS_GET_USERNS)
        try:
            if libc.setns(owner, CLONE_NEWUSER) != 0 or libc.setns(net, CLONE_NEWNET) != 0:
                code = ctypes.get_errno()
                raise OSError(code, f"cannot enter the network of the box: {os.strerror(code)}")
        finally:
            os.close(owner)
    finally:
        os.close(net)


def listen_inside(pid: int, ports: list[int]) -> list[int]:
    """Descriptors of listening sockets on 127.0.0.1:`port` of the box of process `pid`, one per port.

    A socket belongs to the namespace it was made in, wherever it is used later: a short-lived child makes
    them there and hands them back.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ours.close()
            enter(pid)
            listeners = [_listen(port) for port in ports]
            fds = array.array("i", [listener.fileno() for listener in listeners])
            theirs.sendmsg([b"k"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            status = 0
        except BaseException as error:
            theirs.send(str(error).encode()[:500] or b"?")
        finally:
            os._exit(status)
    theirs.close()
    try:
        message, extra, _, _ = ours.recvmsg(600, socket.CMSG_LEN(len(ports) * array.array("i").itemsize))
    finally:
        ours.close()
        os.waitpid(child, 0)
    fds = array.array("i")
    for _, _, data in extra:
        fds.frombytes(data)
    if len(fds) != len(ports):
        raise OSError(message.decode("utf-8", "replace"))
    for fd in fds:
        os.set_inheritable(fd, False)
    return list(fds)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + 5
    while True:
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(512)
            return listener
        except OSError as error:  # the loopback interface is not up yet
            if error.errno != errno.EADDRNOTAVAIL or time.monotonic() > deadline:
                raise
            time.sleep(0.0005)
