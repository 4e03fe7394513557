"""A container with many models (SAGEMAKER_MULTI_MODEL): AWS's contract `POST /models`, `GET /models[/<name>]`, `DELETE /models/<name>`,
`POST /models/<name>/invoke`.

Each model is a process of its own, forked from one that has imported the framework already: models share no module, no memory and no
crash, and what a model had is free when it is unloaded. One process in front speaks HTTP and passes requests on over unix sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import http.client
import importlib
import importlib.util
import json
import logging
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from ..layout import Layout
from ..script.packages import install, overlay
from ..script.source import fetch
from .messages import Handler, Request, Response
from .protocol import Connection

FRAMEWORKS = ("sklearn", "xgboost", "torch")
THREADS = 32
MEMORY_SHARE = 0.9
"""A model that would leave less than the rest of the memory free is refused with 507, before it is loaded."""
STOP_SECONDS = 10.0
KEPT_BACK = ("connection", "content-length", "content-type", "date", "server", "transfer-encoding")


def serve_many(make: Callable[[], Handler], listen: Callable[[], list[socket.socket]]) -> int:
    """Serve until SIGTERM; the exit code is the container's. This process stays single-threaded: it forks the models."""
    sockets, (ours, front) = listen(), socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    folder = tempfile.mkdtemp(prefix="models-")
    pid = os.fork()
    if pid == 0:
        ours.close()
        _leave(lambda: _front(sockets, front, folder))
    front.close()
    for each in sockets:
        each.close()
    _prepare()
    try:
        return Nursery(make, ours, pid).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare() -> None:
    """What all models share: the framework, and the user's code when it is not in their archives."""
    for name in FRAMEWORKS:
        if importlib.util.find_spec(name):
            importlib.import_module(name)
    place = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
    if place.startswith("s3://"):
        code = Layout().code
        fetch(place, code)
        install(code, overlay())
        os.environ |= {"SAGEMAKER_SUBMIT_DIRECTORY": code, "MODELYARD_INSTALLED": code}


def _leave(work: Callable[[], object]) -> None:
    """The rest of a forked process's life."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        logging.exception("A process of the model server failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


# --- the process that forks models -------------------------------------------------------------------


class Nursery:
    """Starts and ends models as the front asks, tells it which ended by themselves; ends with it, or on SIGTERM."""

    def __init__(self, make: Callable[[], Handler], control: socket.socket, front: int) -> None:
        self.make, self.control, self.front = make, control, front
        self.children: dict[int, int] = {}

    def run(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._signal(self.front, signal.SIGTERM))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            ready, _, _ = select.select([self.control, reader], [], [])
            if reader in ready:
                os.read(reader, 4096)
            code = self._reap()
            if code is not None:
                return code
            if self.control in ready and (message := self.control.recv(1 << 16)):
                self._do(json.loads(message))

    def _do(self, asked: dict) -> None:
        if "end" in asked:
            for pid in [p for p, number in self.children.items() if number == asked["end"]]:
                self._signal(pid, signal.SIGTERM)
            return
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            _leave(functools.partial(_model, self.make, self.control, asked))
        self.children[pid] = asked["load"]

    def _reap(self) -> int | None:
        """Tells of ended models; the container's exit code once the front has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if pid == 0:
                return None
            code = os.waitstatus_to_exitcode(status)
            if pid == self.front:
                for child in self.children:
                    self._signal(child, signal.SIGKILL)
                return code
            number = self.children.pop(pid, None)
            if number is not None:
                with contextlib.suppress(OSError):
                    self.control.send(json.dumps({"number": number, "ended": code}).encode())

    @staticmethod
    def _signal(pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _model(make: Callable[[], Handler], control: socket.socket, asked: dict) -> None:
    """One model's process: loads it, says so, serves it on a unix socket until SIGTERM."""
    from .workers import _run, load

    url, base = asked["url"], os.path.join(Layout().base, "model")
    place = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
    if place == base or place.startswith(base + os.sep):
        os.environ["SAGEMAKER_SUBMIT_DIRECTORY"] = url + place[len(base) :]
    os.environ["MODELYARD_MODEL_DIR"] = url
    handler = make()
    failure = load(handler)
    if failure is None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(asked["socket"])
        listener.listen(256)
        listener.setblocking(False)
    control.send(json.dumps({"number": asked["load"], "failure": failure and failure[:8000]}).encode())
    if failure is None:
        _run([listener], handler, None)


# --- the process in front ----------------------------------------------------------------------------


def _front(sockets: list[socket.socket], control: socket.socket, folder: str) -> None:
    asyncio.run(_serve(sockets, control, folder))


async def _serve(sockets: list[socket.socket], control: socket.socket, folder: str) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    server = Front(control, folder, loop)
    control.setblocking(False)
    loop.add_reader(control, server.hear)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    for each in sockets:
        await (loop.create_server if each.family == socket.AF_INET else loop.create_unix_server)(lambda: Connection(server), sock=each)
    await stop.wait()
    server.stopping = True
    until = loop.time() + STOP_SECONDS
    while any(c.working for c in server.connections) and loop.time() < until:
        await asyncio.sleep(0.02)


class Model:
    """A loaded model: where its process listens, and idle connections to it."""

    def __init__(self, number: int, url: str, path: str) -> None:
        self.number, self.url, self.path = number, url, path
        self.idle: deque[http.client.HTTPConnection] = deque()


class Front:
    """What `Connection` asks of a server, for the contract of many models."""

    def __init__(self, control: socket.socket, folder: str, loop: asyncio.AbstractEventLoop) -> None:
        self.control, self.folder, self.loop = control, folder, loop
        self.thread = ThreadPoolExecutor(THREADS, "invoke")
        self.queue = self  # streams are read on `queue.thread`
        self.connections: set[Connection] = set()
        self.stopping = False
        self.models: dict[str, Model] = {}
        self.loading: dict[str, int] = {}
        self.waiting: dict[int, asyncio.Future[dict]] = {}
        self.ending: dict[int, asyncio.Future[dict]] = {}
        self.last = 0

    def dispatch(self, request: Request, answer: Callable[[Response], None]) -> None:
        self.loop.create_task(self._answer(request, answer))

    async def _answer(self, request: Request, answer: Callable[[Response], None]) -> None:
        try:
            answer(await self._route(request))
        except Exception as problem:
            logging.exception("A request of the model server failed")
            answer(_json(500, {"code": 500, "type": type(problem).__name__, "message": str(problem)}))

    async def _route(self, request: Request) -> Response:
        words = request.path.strip("/").split("/")
        if words == ["ping"]:
            return Response(200, b"\n")
        if words == ["models"] and request.method == "GET":
            return _json(200, {"models": [self._told(name) for name in self.models]})
        if words == ["models"] and request.method == "POST":
            return await self._load(request)
        if words[0] == "models" and len(words) in (2, 3):
            model = self.models.get(words[1])
            if model is None:
                return _missing(words[1])
            if len(words) == 2 and request.method == "GET":
                return _json(200, self._told(words[1]))
            if len(words) == 2 and request.method == "DELETE":
                return await self._unload(words[1], model)
            if words[2:] == ["invoke"] and request.method == "POST":
                return await self.loop.run_in_executor(self.thread, _ask, model, request)
        return Response(404, b"Not Found")

    def _told(self, name: str) -> dict:
        return {"modelName": name, "modelUrl": self.models[name].url}

    async def _load(self, request: Request) -> Response:
        try:
            asked = json.loads(request.body)
            name, url = asked["model_name"], asked["url"]
        except (ValueError, KeyError, TypeError):
            return _json(400, {"code": 400, "type": "BadRequestException", "message": "model_name and url are required"})
        if name in self.models or name in self.loading:
            return _json(409, {"code": 409, "type": "ConflictWorkerException", "message": f"Model {name} is already loaded"})
        here = _here(url)
        if not await self.loop.run_in_executor(self.thread, _fits, here):
            return _json(507, {"code": 507, "type": "InsufficientMemoryException", "message": f"System out of memory for model {name}"})
        self.last += 1
        number, path = self.last, os.path.join(self.folder, str(self.last))
        self.loading[name], self.waiting[number] = number, self.loop.create_future()
        try:
            self.control.send(json.dumps({"load": number, "url": here, "socket": path}).encode())
            told = await self.waiting[number]
        finally:
            del self.loading[name], self.waiting[number]
        failure = told.get("failure") or (
            f"the model's process ended with code {told['ended']} while it was loaded" if "ended" in told else None
        )
        if failure is None:
            self.models[name] = Model(number, url, path)
            return _json(200, {"status": f"Model {name} loaded"})
        memory = told.get("ended") == -signal.SIGKILL or failure.startswith("MemoryError")
        status = 507 if memory else 500
        return _json(
            status, {"code": status, "type": "InsufficientMemoryException" if memory else "InternalServerException", "message": failure}
        )

    async def _unload(self, name: str, model: Model) -> Response:
        """Answers when the process is gone: its memory is free then."""
        del self.models[name]
        ended = self.ending[model.number] = self.loop.create_future()
        self.control.send(json.dumps({"end": model.number}).encode())
        await ended
        while model.idle:
            model.idle.pop().close()
        return _json(200, {"status": f"Model {name} unregistered"})

    def hear(self) -> None:
        """The process that forks models says something; when it is gone, so is this one."""
        try:
            message = self.control.recv(1 << 16)
        except BlockingIOError:
            return
        if not message:
            os._exit(1)
        told = json.loads(message)
        number = told["number"]
        if "ended" in told:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, str(number)))
            for name in [n for n, m in self.models.items() if m.number == number]:
                logging.error("The process of model %s ended with code %s", name, told["ended"])
                del self.models[name]
        for futures in (self.waiting, self.ending):
            future = futures.get(number)
            if future is not None and not future.done() and (futures is self.waiting or "ended" in told):
                future.set_result(told)
        if "ended" in told:
            self.ending.pop(number, None)


def _here(url: str) -> str:
    """Where a path of the contract is: elsewhere only without a sandbox, whose tree is not /opt/ml."""
    return Layout().base + url[len("/opt/ml") :] if url.startswith("/opt/ml/") else url


def _json(status: int, body: dict) -> Response:
    return Response(status, json.dumps(body).encode(), "application/json")


def _missing(name: str) -> Response:
    return _json(404, {"code": 404, "type": "ModelNotFoundException", "message": f"Model not found: {name}"})


# --- asking a model ----------------------------------------------------------------------------------


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("model")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


def _ask(model: Model, request: Request) -> Response:
    """On a thread. A connection the model closed meanwhile is made anew, once."""
    headers = {n: v for n, v in request.headers.items() if n not in ("connection", "content-length", "host", "transfer-encoding", "expect")}
    for _ in range(2):
        connection = None
        with contextlib.suppress(IndexError):
            connection = model.idle.pop()
        fresh = connection is None
        connection = connection or _Unix(model.path)
        try:
            connection.request("POST", "/invocations", request.body, headers)
            return _answer_of(model, connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as problem:
            connection.close()
            if fresh:
                gone = getattr(problem, "errno", None) in (errno.ENOENT, errno.ECONNREFUSED)
                return Response(500, b"The model's process is gone" if gone else f"The model's process ended: {problem}".encode())
    return Response(500, b"The model's process ended")


def _answer_of(model: Model, connection: http.client.HTTPConnection, said: http.client.HTTPResponse) -> Response:
    kind = said.getheader("content-type", "application/octet-stream")
    headers = {n: v for n, v in said.getheaders() if n.lower() not in KEPT_BACK}
    if said.chunked:
        return Response(said.status, _parts(said, connection), kind, headers)
    body = said.read()
    model.idle.append(connection)
    return Response(said.status, body, kind, headers)


def _parts(said: http.client.HTTPResponse, connection: http.client.HTTPConnection) -> Iterator[bytes]:
    try:
        while part := said.read1(1 << 16):
            yield part
    finally:
        connection.close()


# --- memory ------------------------------------------------------------------------------------------

_measuring = threading.Lock()


def _fits(folder: str) -> bool:
    """Whether the model's files fit into what the container's processes leave free of its memory (MODELYARD_MEMORY_BYTES)."""
    limit = int(os.environ.get("MODELYARD_MEMORY_BYTES") or 0)
    if not limit:
        return True
    size = sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(folder) for name in names)
    with _measuring:
        return _used() + size <= limit * MEMORY_SHARE


def _used() -> int:
    """Bytes that the model server and its models hold, shared pages counted once; 0 where /proc does not tell."""
    total, group = 0, os.getpgrp()
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                if os.getpgid(int(entry)) == group:
                    with open(f"/proc/{entry}/smaps_rollup") as file:
                        total += sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    return total
