"""Processes of the model server: one loads the model and forks the workers, which share the listening sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback

from ..cpus import named_workers, workers
from .messages import Handler
from .protocol import Connection, Server

DRAIN = 20.0
"""Seconds a stopping worker gives the requests it has."""


def serve(handler: Handler) -> int:
    """Serve until SIGTERM; the exit code is the container's."""
    logging.basicConfig(format="%(asctime)s %(levelname)s - %(name)s - %(message)s", level=logging.INFO, stream=sys.stderr)
    if os.environ.get("SAGEMAKER_MULTI_MODEL") == "true":
        from .multimodel import serve_many

        return serve_many(type(handler), listen)
    with contextlib.suppress(Exception):  # `load` meets it again, and tells it.
        getattr(handler, "prepare", lambda: None)()
    sockets = listen()
    forks = getattr(handler, "forks", True)
    if not forks_safely() or not forks:
        return Workers(sockets, handler, None, preloaded=False, wanted=workers() if forks else named_workers()).run()
    failure = load(handler)
    wanted = processes(handler, failure)
    if threading.active_count() > 1:
        # Threads do not survive a fork: a model that starts some is loaded by each worker for itself.
        return Workers(sockets, type(handler)(), None, preloaded=False, wanted=wanted).run()
    # What is loaded stays: the collector need not look through it in every worker, nor unshare its pages.
    gc.collect()
    gc.freeze()
    return Workers(sockets, handler, failure, preloaded=True, wanted=wanted).run()


def processes(handler: Handler, failure: str | None) -> int:
    """Workers for a loaded handler: one per core, but one alone where waiting requests are better answered in one batch."""
    alone = failure is None and handler.batches and handler.cheap and not os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS")
    return 1 if alone else workers()


def forks_safely() -> bool:
    """Whether a loaded model may be forked: OpenMP's thread pools do not survive it, so only with one thread each."""
    return os.environ.get("OMP_NUM_THREADS") == "1"


def load(handler: Handler) -> str | None:
    """Load the model; answers what went wrong, for /ping and for the log."""
    try:
        handler.load()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        logging.error("The model could not be loaded\n%s", traceback.format_exc())
        return "".join(traceback.format_exception_only(error)).strip()
    return None


def listen() -> list[socket.socket]:
    """The sockets: TCP on 127.0.0.1 (SAGEMAKER_BIND_TO_PORT, 8080), and MODELYARD_SERVE_SOCKET when set."""
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind((os.environ.get("MODELYARD_SERVE_HOST", "127.0.0.1"), int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)))
    sockets = [tcp]
    if path := os.environ.get("MODELYARD_SERVE_SOCKET"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unix.bind(path)
        sockets.append(unix)
    for each in sockets:
        each.listen(1024)
        each.setblocking(False)
    return sockets


class Workers:
    """The parent: starts workers, restarts one that dies, stops all on SIGTERM."""

    def __init__(self, sockets: list[socket.socket], handler: Handler, failure: str | None, *, preloaded: bool, wanted: int):
        self.sockets, self.handler, self.failure, self.preloaded = sockets, handler, failure, preloaded
        self.wanted = wanted
        self.children: dict[int, float] = {}
        self.stopping = False

    def run(self) -> int:
        if not self.failure:
            ready = "answer /ping and /invocations" if self.preloaded else "load the model"
            logging.info("Model server started: %s worker(s) %s", self.wanted, ready)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        sys.stdout.flush()
        sys.stderr.flush()
        for _ in range(1 if self.failure else self.wanted):
            self._start()
        while self.children:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                break
            started = self.children.pop(pid, None)
            if not self.stopping and started is not None:
                logging.error("Worker %s ended with status %s and is restarted", pid, os.waitstatus_to_exitcode(status))
                if time.monotonic() - started < 1.0:
                    time.sleep(0.5)  # A worker that dies at once must not keep a core busy with restarts.
                self._start()
        return 0

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopping = True
        for pid in list(self.children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _start(self) -> None:
        if self.stopping:
            return
        pid = os.fork()
        if pid:
            self.children[pid] = time.monotonic()
            return
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            failure = self.failure if self.preloaded else load(self.handler)
            _run(self.sockets, self.handler, failure)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _run(sockets: list[socket.socket], handler: Handler, failure: str | None) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(_work(sockets, handler, failure))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_work(sockets, handler, failure))


async def _work(sockets: list[socket.socket], handler: Handler, failure: str | None) -> None:
    """One worker: accept one connection at a time, so that the workers share them, until SIGTERM; then finish what came."""
    loop = asyncio.get_running_loop()
    server = Server(handler, failure, loop)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    watch = loop.create_task(_with_parent(stop, os.getppid()))

    def accept(listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # Another worker was faster, or the client went away.
        connection.setblocking(False)
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = loop.create_task(loop.connect_accepted_socket(lambda: Connection(server), connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    tasks: set[asyncio.Task] = set()
    for each in sockets:
        loop.add_reader(each, accept, each)
    await stop.wait()
    for each in sockets:
        loop.remove_reader(each)
    server.stopping = True
    watch.cancel()
    end = loop.time() + DRAIN
    while (server.queue.busy or any(c.working for c in server.connections)) and loop.time() < end:
        await asyncio.sleep(0.02)


async def _with_parent(stop: asyncio.Event, parent: int) -> None:
    """End when the parent is gone: an orphaned worker would keep answering on the old sockets."""
    while os.getppid() == parent:
        await asyncio.sleep(1.0)
    stop.set()
