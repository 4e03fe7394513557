"""Asynchronous inference: a durable queue, and the driver in the engine that empties it.

queue.py    the table of accepted requests: accept, claim, release, finish
places.py   which replica has a free slot, pure
call.py     one model call over a unix socket, streamed both ways
item.py     what becomes of one request: input → model → output or failure → notification
verdict.py  the words and figures of an end: messages, log lines, metric data; pure
driver.py   the loop: claims, calls, and hands figures over
report.py   ended requests into metrics and logs, and the gauges of the queue

See docs/design/async.md.
"""
