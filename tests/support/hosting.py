"""A platform with hosting on it: real store, engine, splitter and HTTP over unix sockets; fake boxes, images and S3."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import socketserver
import tarfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from modelyard.config import Settings
from modelyard.kernel.clock import SystemClock
from modelyard.kernel.database import open_database
from modelyard.kernel.dispatch import Dispatch
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Credential, Principal
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.service import Call, Service
from modelyard.kernel.store import Store
from modelyard.kernel.tasks import Tasks
from modelyard.runtime.base import RunSpec, RunState
from modelyard.runtime.images.recipes import Image
from modelyard.runtime.images.store import ImageState
from modelyard.services.sagemaker.endpoint.health import probes
from tests.support import patience

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/hosting"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/echo:1"
PRINCIPAL = Principal("root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)


# --- model servers ---------------------------------------------------------------------------------


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        box = self.server.box  # type: ignore[attr-defined]
        if self.path.startswith("/models"):
            with box.lock:
                self._answer(*box.listed(self.path.removeprefix("/models").strip("/")))
            return
        self._answer(200 if box.healthy() else 503, b"")

    def do_DELETE(self) -> None:
        box = self.server.box  # type: ignore[attr-defined]
        with box.lock:
            self._answer(200 if box.models.pop(self.path.removeprefix("/models/"), None) else 404, b"")

    def do_POST(self) -> None:
        """The body says what to do: `sleep S`, `hold PATH` (until that file is there), `status N text`, `die`, `headers`, `parts a b c`, `who`,
        `open ID`, `close ID`, `flood MEGABYTES` (streams so many), `then …` (says the rest); else it comes back."""
        box = self.server.box  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/models":
            time.sleep(float(box.spec.env.get("LOAD_SECONDS", "0")))
            with box.lock:
                self._answer(*box.load(json.loads(body)))
            return
        said = box.name
        if self.path.startswith("/models/"):
            url = box.models.get(self.path.split("/")[2])
            if url is None:
                self._answer(404, b"no such model")
                return
            said = (Path(box.spec.ml) / url.removeprefix("/opt/ml/") / "model.txt").read_text()
        word, _, rest = body.decode("utf-8", "replace").partition(" ")
        with box.lock:
            box.requests += 1
        if word == "sleep":
            time.sleep(float(rest))
            self._answer(200, b"slept")
        elif word == "hold":
            eventually(Path(rest).exists, 30.0)
            self._answer(200, b"held")
        elif word == "status":
            code, _, text = rest.partition(" ")
            self._answer(int(code), text.encode())
        elif word == "die":
            self._hang_up()
        elif word in ("open", "close"):
            self._session(box, word, rest)
        elif word == "who":
            self._answer(200, box.spec.id.encode())
        elif word == "headers":
            self._answer(200, repr(sorted((k.lower(), v) for k, v in self.headers.items())).encode())
        elif word == "parts":
            self._parts(rest.split())
        elif word == "flood":
            self._flood(box, int(rest))
        elif word == "then":
            self._answer(200, rest.encode())
        else:
            self._answer(200, said.encode() + b":" + body)

    def _session(self, box: Box, word: str, name: str) -> None:
        """A stateful model: `open ID [EXPIRY]` begins a session, `close ID` ends it; the answer names this instance."""
        name, _, expiry = name.partition(" ")
        body = box.spec.id.encode()
        self.send_response(200)
        told = f"{name}; Expires={expiry or '2099-01-01T00:00:00Z'}"
        self.send_header(*(("X-Amzn-SageMaker-New-Session-Id", told) if word == "open" else ("X-Amzn-SageMaker-Closed-Session-Id", name)))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _parts(self, parts: list[str]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            if part == "break":
                self._hang_up()
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part.encode()))
            self.wfile.flush()
            time.sleep(0.05)
        self.wfile.write(b"0\r\n\r\n")

    def _flood(self, box: Box, megabytes: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(megabytes * 16):
            self.wfile.write(b"%x\r\n%s\r\n" % (1 << 16, bytes(1 << 16)))
            box.flooded += 1 << 16
        self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", self.headers.get("Accept") or "text/csv")
        if self.headers.get("X-Amzn-SageMaker-Custom-Attributes"):
            self.send_header("X-Amzn-SageMaker-Custom-Attributes", self.headers["X-Amzn-SageMaker-Custom-Attributes"] + "-back")
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()


@dataclass
class Box:
    """One run of FakeRuntime: a server on a thread."""

    spec: RunSpec
    started_at: float
    server: _Server | None = None
    exit_code: int | None = None
    ended_by: str | None = None
    requests: int = 0
    flooded: int = 0
    lock: Any = field(default_factory=threading.Lock)
    models: dict[str, str] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    handler: type[BaseHTTPRequestHandler] = _Handler

    def listed(self, name: str) -> tuple[int, bytes]:
        rows = [{"modelName": n, "modelUrl": u} for n, u in self.models.items() if name in ("", n)]
        return 404 if name and not rows else 200, json.dumps(rows[0] if name and rows else {"models": rows}).encode()

    def load(self, asked: dict[str, str]) -> tuple[int, bytes]:
        """A model whose text begins with `bad` does not load; no more than CAPACITY of them have room."""
        name, url = asked["model_name"], asked["url"]
        text = (Path(self.spec.ml) / url.removeprefix("/opt/ml/") / "model.txt").read_text()
        if name in self.models:
            return 409, b""
        if len(self.models) >= int(self.spec.env.get("CAPACITY", "99")):
            return 507, b"no memory"
        if text.startswith("bad"):
            return 500, b"cannot load it"
        self.models[name] = url
        self.loads.append(text)
        return 200, b""

    @property
    def name(self) -> str:
        return self.spec.env.get("NAME", "model")

    def healthy(self) -> bool:
        return "never" not in self.spec.env.get("PING", "") and self.exit_code is None

    def open(self) -> None:
        path = self.spec.serve_socket
        Path(path).unlink(missing_ok=True)
        self.server = _Server(path, self.handler)
        self.server.box = self  # type: ignore[attr-defined]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def end(self, code: int, by: str | None = None) -> None:
        if self.exit_code is None:
            self.exit_code, self.ended_by = code, by
            if self.server is not None:
                Path(self.spec.serve_socket).unlink(missing_ok=True)
                self.server.shutdown()
                self.server.server_close()


class FakeRuntime:
    """Runs are threads. It keeps what a real one must keep: a run id is used once, a stop leaves a tombstone."""

    tier = "fake"
    handler = _Handler

    def __init__(self, root: Path) -> None:
        self.root, self.boxes, self.tombstones, self.starts = root, {}, set(), []
        self.removed: set[str] = set()
        self._lock = threading.Lock()

    def ensure(self, spec: RunSpec) -> RunState:
        with self._lock:
            if spec.id not in self.boxes and spec.id not in self.tombstones:
                assert spec.id not in self.removed, f"run {spec.id} was started after it was removed"
                self.starts.append(spec.id)
                box = self.boxes[spec.id] = Box(spec, time.time(), handler=self.handler)
                self.folder(spec.id).mkdir(parents=True, exist_ok=True)
                (self.folder(spec.id) / "log").write_text(f"{int(time.time() * 1000)} serving {box.name}\n")
                if "crash" in spec.env.get("START", ""):
                    box.end(1)
                else:
                    box.open()
        return self.look(spec.id)

    def look(self, run_id: str) -> RunState:
        box = self.boxes.get(run_id)
        if box is None:
            return RunState("exited", ended_by="stop") if run_id in self.tombstones else RunState("absent")
        if box.exit_code is None:
            return RunState("running", started_at=box.started_at)
        return RunState("exited", started_at=box.started_at, finished_at=time.time(), exit_code=box.exit_code, ended_by=box.ended_by)

    def usage(self, run_ids) -> dict[str, tuple[float, int]]:
        """Each box has used as many CPU seconds as its server had requests."""
        return {run: (float(self.boxes[run].requests), 1 << 28) for run in run_ids if self.look(run).state == "running"}

    def stop(self, run_id: str, grace_s: float | None = None) -> None:
        box = self.boxes.get(run_id)
        if box is None:
            self.tombstones.add(run_id)
        else:
            box.end(143, "stop")

    def remove(self, run_id: str) -> None:
        self.stop(run_id)
        self.boxes.pop(run_id, None)
        self.tombstones.discard(run_id)
        self.removed.add(run_id)

    def folder(self, run_id: str) -> Path:
        return self.root / run_id

    def ids(self) -> list[str]:
        return [*self.boxes, *self.tombstones]

    def running(self) -> list[Box]:
        return [b for b in self.boxes.values() if b.exit_code is None]


class FakeImages:
    def find(self, uri: str) -> Any:
        if uri != IMAGE:
            return None
        return Image(uri, "echo", "echo", serve=("serve",))

    def digest(self, image: Image) -> str:
        return "sha256:" + "0" * 64

    def look(self, image: Image) -> ImageState:
        return ImageState("ready")

    def path(self, image: Image) -> Path:
        return Path("/none")


# --- S3 and identity -------------------------------------------------------------------------------


def fake_s3(objects: dict[tuple[str, str], bytes]) -> Service:
    s3 = Service("s3")

    def found(request: dict[str, Any]) -> bytes:
        try:
            return objects[request["Bucket"], request["Key"]]
        except KeyError:
            raise ApiError("NoSuchKey", "The specified key does not exist.", 404) from None

    def head_object(call, request):
        return {"ContentLength": len(found(request))}

    def get_object(call, request):
        return {"ContentLength": len(found(request)), "Body": found(request)}

    def list_objects_v2(call, request):
        rows = [
            {"Key": k, "Size": len(v)}
            for (b, k), v in sorted(objects.items())
            if b == request["Bucket"] and k.startswith(request["Prefix"])
        ]
        return {"Contents": rows}

    for function in (head_object, get_object, list_objects_v2):
        s3.operation(function)
    return s3


class FakeIdentity:
    """Everybody may do everything; only ROLE exists."""

    def steady(self, call, request):
        return None

    def authorize(self, call, request): ...

    def check_pass_role(self, call, role_arn, service="sagemaker.amazonaws.com"):
        if role_arn != ROLE:
            raise ApiError("ValidationException", f"Could not assume role {role_arn}.", 400)

    def session_for_role(self, role_arn, session_name, duration_s, *, service="sagemaker.amazonaws.com"):
        return Credential("ASIAFAKE", "secret", PRINCIPAL, "token")


class FakeMetrics:
    def __init__(self) -> None:
        self.data: list[tuple[str, str, str, dict[str, Any]]] = []

    def put(self, account, region, namespace, data, source=None):
        self.data.extend((account, region, namespace, d) for d in data)

    def sum(self, name: str, **dimensions: str) -> float:
        total = 0.0
        for *_, datum in self.data:
            have = {d["Name"]: d["Value"] for d in datum["Dimensions"]}
            if datum["MetricName"] == name and dimensions.items() <= have.items():
                total += sum(v * n for v, n in zip(datum["Values"], datum["Counts"], strict=True))
        return total


def model_tar(files: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in (files or {"model.txt": b"weights"}).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


# --- the platform ----------------------------------------------------------------------------------


class World:
    """`world.sm.create_model(...)` and so on call the operation functions as the gateway would."""

    def __init__(self, data: Path, runtime: Any = None, store: Store | None = None) -> None:
        from modelyard.services.logs.follow import LogFollower
        from modelyard.services.logs.log_store import LogStore
        from modelyard.services.sagemaker import api, endpoint_config, model  # noqa: F401
        from modelyard.services.sagemaker.endpoint import operations, reconcile  # noqa: F401
        from modelyard.services.sagemaker_runtime import api as runtime_api

        clock = SystemClock()
        self.settings = Settings(data=data)
        self.settings.socket_dir.mkdir(parents=True, exist_ok=True)
        os.chmod(self.settings.socket_dir, 0o700)
        self.objects: dict[tuple[str, str], bytes] = {("models", "m/model.tar.gz"): model_tar()}
        self.store = store or Store(open_database("", data / "store.db", durable=False), clock)
        self.runtime = runtime or FakeRuntime(data / "runs")
        self.metrics = FakeMetrics()
        logs = LogStore(open_database("", data / "logs.db", durable=False), clock)
        self.platform = Platform(self.settings, clock, self.store)
        self.platform.identity = FakeIdentity()
        self.platform.services = {"sagemaker": api, "sagemaker-runtime": runtime_api, "s3": fake_s3(self.objects)}
        self.platform.dispatch = Dispatch(self.platform)
        self.platform.parts = {
            "runtime": self.runtime, "images": FakeImages(), "tasks": Tasks(), "logs": logs, "metrics": self.metrics,
            "follower": LogFollower(logs, clock),
        }  # fmt: skip
        self.logs = logs
        hosting = [r for r in api.reconcilers if r.lifecycle.kind.startswith("endpoint")]
        self.engine = Engine(self.platform, hosting)
        self.bells = [self.engine.ring]
        self.platform.ring = lambda topic: [bell() for bell in self.bells]
        self.sm = _Client(self, "sagemaker")
        self._thread: threading.Thread | None = None

    def start_engine(self) -> None:
        self._thread = threading.Thread(target=self.engine.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.engine.stop()
        if self._thread is not None:
            self._thread.join(10)
        self.platform.follower.stop()
        if "probes" in self.platform.parts:
            self.platform.probes.stop()
        if isinstance(self.runtime, FakeRuntime):
            for box in self.runtime.running():
                box.end(137)

    def call(self, service: str, operation: str) -> Call:
        return Call(self.platform, service, operation, ACCOUNT, REGION, PRINCIPAL, "request")

    # --- short cuts ---

    def model(self, name: str = "m", **env: str) -> None:
        container = {"Image": IMAGE, "ModelDataUrl": "s3://models/m/model.tar.gz", "Environment": {"NAME": name, **env}}
        self.sm.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)

    def config(self, name: str, *variants: tuple[str, float, int], **more: Any) -> None:
        """Variants are (model = variant name, weight, count)."""
        rows = [
            {"VariantName": n, "ModelName": n, "InitialInstanceCount": c, "InstanceType": "ml.m5.large", "InitialVariantWeight": w}
            | more.get("variant", {})
            for n, w, c in variants
        ]
        extra = {k: v for k, v in more.items() if k != "variant"}
        self.sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=rows, **extra)

    def status(self, name: str = "e") -> str:
        return self.sm.describe_endpoint(EndpointName=name)["EndpointStatus"]

    def until(self, status: str, name: str = "e", seconds: float = 10.0) -> dict[str, Any]:
        return eventually(
            lambda: (d := self.sm.describe_endpoint(EndpointName=name))["EndpointStatus"] == status and d,
            seconds,
            lambda: self.sm.describe_endpoint(EndpointName=name),
        )


class _Client:
    def __init__(self, world: World, service: str) -> None:
        self._world, self._service = world, service

    def __getattr__(self, function: str) -> Any:
        from modelyard.kernel import models

        operation = models.operation_name(self._service, function)

        def invoke(**request: Any) -> dict[str, Any]:
            world = self._world
            return world.platform.dispatch.call(world.call(self._service, operation), self._service, operation, request)

        return invoke


def eventually(check: Any, seconds: float = 10.0, told: Any = lambda: "") -> Any:
    """The first true value of `check()` within the time; polls, never sleeps blindly."""
    deadline = patience.deadline(seconds)
    while time.monotonic() < deadline:
        if value := check():
            return value
        time.sleep(0.01)
    raise AssertionError(f"it did not come about in {seconds} s: {told()}")


class Hosting:
    """A whole platform in this process (real S3, IAM, wire, splitter, engine) whose boxes are threads: for boto3."""

    kinds: tuple[str, ...] = ("endpoint",)
    """What the kinds of records begin with that its engine moves."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        from modelyard.services.logs.follow import LogFollower
        from tests.support import inproc
        from tests.support.platform import InProcess

        self.yard = InProcess(folder, **settings)
        platform = self.platform = self.yard.platform
        platform.settings.socket_dir.mkdir(parents=True, exist_ok=True)
        self.runtime = FakeRuntime(folder / "runs")
        platform.parts.update(runtime=self.runtime, images=FakeImages(), tasks=Tasks(), follower=LogFollower(platform.logs, platform.clock))
        reconcilers = [r for r in platform.services["sagemaker"].reconcilers if r.lifecycle.kind.startswith(self.kinds)]
        self.engine = Engine(platform, reconcilers)
        self._loop = inproc.loop()
        self._on_loop(platform.invoker.start)
        platform.ring = lambda topic: (self.engine.ring(), platform.invoker.ring())
        self._thread = threading.Thread(target=self.engine.run, daemon=True)
        self._thread.start()
        self.sm, self.rt, self.s3 = (self.yard.client(name) for name in ("sagemaker", "sagemaker-runtime", "s3"))
        self.s3.create_bucket(Bucket="models")
        self.s3.put_object(Bucket="models", Key="m/model.tar.gz", Body=model_tar())
        self.role = f"arn:aws:iam::{ACCOUNT}:role/" + self.yard.client("sts").get_caller_identity()["Arn"].split("/")[1]

    def _on_loop(self, function: Any) -> Any:
        async def run() -> Any:
            return function()

        return self._loop.run(run())

    def close(self) -> None:
        self.engine.stop()
        self._thread.join(10)
        self._on_loop(self.platform.invoker.stop)
        self.platform.follower.stop()
        probes(self.platform).close()
        if "probes" in self.platform.parts:
            self.platform.probes.stop()
        for box in self.runtime.running():
            box.end(137)
        self.yard.close()

    def model(self, name: str = "m", **env: str) -> str:
        container = {"Image": IMAGE, "ModelDataUrl": "s3://models/m/model.tar.gz", "Environment": {"NAME": name, **env}}
        return self.sm.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=self.role)["ModelArn"]

    def deploy(self, name: str = "e", *models: str, **config: Any) -> None:
        models = models or ("m",)
        for model in models:
            self.model(model)
        rows = [{"VariantName": m, "ModelName": m, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"} for m in models]
        self.sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=rows, **config)
        self.sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.until("InService", name)

    def until(self, status: str, name: str = "e") -> dict[str, Any]:
        def look() -> Any:
            there = self.sm.describe_endpoint(EndpointName=name)
            return there if there["EndpointStatus"] == status else None

        return eventually(look, 10, lambda: self.sm.describe_endpoint(EndpointName=name))


def user_with(hosting: Hosting, service: str, *statements: dict[str, Any]) -> Any:
    """A client of a new user who may do what the statements say, and nothing else."""
    from tests.support import inproc

    iam, name = hosting.yard.client("iam"), f"user-{os.urandom(4).hex()}"
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", **s} for s in statements]})
    iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=document)
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    return inproc.client(hosting.yard.gateway, service, key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
