"""Stands in for a gateway or engine: answers the health check on the listener it was handed, ends on SIGTERM."""

import argparse
import os
import signal
import socket
import sys
import threading

parser = argparse.ArgumentParser()
parser.add_argument("role")
parser.add_argument("--leash", type=int)
parser.add_argument("--listener", type=int)
parser.add_argument("--egress", type=int)
parser.add_argument("--fail", action="store_true")
args = parser.parse_args()
if args.fail:
    print("no engine today", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if args.listener is not None:
    listener = socket.socket(fileno=args.listener)
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            body = f'{{"pid": {os.getpid()}, "tier": "full"}}'
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
if args.role == "engine":
    open(f"run/engine-{os.getpid()}.up", "w").close()
threading.Event().wait()
