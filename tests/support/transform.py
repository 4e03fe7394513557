"""A platform that transforms: real S3, engine, workers and HTTP over unix sockets; model servers are threads that do what their
environment's MODEL says."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.hosting import FakeRuntime, Hosting, eventually

FINAL = ("Completed", "Failed", "Stopped")


class ModelServer(BaseHTTPRequestHandler):
    """MODEL: `sum` answers each CSV line with the sum of its numbers; `echo` what came; `json` each JSON line with {"n": keys};
    `who` the run; `length` the number of bytes. A line with `bad` is a 400, `boom` a 500, `slow` takes 0.2 s, `say` goes to its log, `hang` never answers,
    `die` ends the first server, `die always` each. Every call is noted: (path, headers, body)."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def address_string(self) -> str:
        return "unix"

    def do_GET(self) -> None:
        told = self.box.spec.env.get("PARAMETERS")
        if self.path == "/execution-parameters":
            self._answer(200 if told else 404, (told or "").encode())
        else:
            self._answer(200 if self.box.healthy() else 503, b"")

    def do_POST(self) -> None:
        body = self._body()
        with self.box.lock:
            self.box.requests += 1
            self.box.calls.append((self.path, dict(self.headers), body))
            self.box.most = max(self.box.most, self.box.requests - self.box.answered)
        try:
            self._model(body)
        finally:
            with self.box.lock:
                self.box.answered += 1

    def _model(self, body: bytes) -> None:
        env = self.box.spec.env
        time.sleep(float(env.get("SECONDS", "0")))
        if b"slow" in body:
            time.sleep(0.2)
        if b"say" in body:
            with open(self.box.log, "a") as log:
                log.write(f"{int(time.time() * 1000)} {body.decode()}")
            self._answer(400, b"said")
            return
        if b"hang" in body:
            time.sleep(5)
            self.close_connection = True
            return
        if b"die always" in body or (b"die" in body and self.box.spec.id.endswith("-1")):
            threading.Thread(target=self.box.end, args=(1,)).start()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if b"bad" in body:
            self._answer(400, b"Unable to evaluate payload provided: bad row")
        elif b"boom" in body:
            self._answer(500, b"Traceback\nValueError: boom")
        elif env["MODEL"] == "sum":
            rows = [line.split(",") for line in body.decode().splitlines() if line.strip()]
            self._answer(200, "".join(f"{sum(float(v) for v in row)}\n" for row in rows).encode())
        elif env["MODEL"] == "json":
            rows = [json.loads(line) for line in body.splitlines() if line.strip()]
            self._answer(200, b"".join(json.dumps({"n": len(row)}).encode() + b"\n" for row in rows))
        elif env["MODEL"] == "length":
            self._answer(200, str(len(body)).encode())
        elif env["MODEL"] == "who":
            self._answer(200, self.box.spec.id.encode())
        else:
            self._answer(200, body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", self.headers.get("Accept") or "text/csv")
        self.end_headers()
        self.wfile.write(body)

    @property
    def box(self) -> Any:
        return self.server.box  # type: ignore[attr-defined]

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()


class ModelRuntime(FakeRuntime):
    handler = ModelServer

    def ensure(self, spec: Any) -> Any:
        found = super().ensure(spec)
        box = self.boxes.get(spec.id)
        if box is not None and not hasattr(box, "calls"):
            box.calls, box.answered, box.most = [], 0, 0
            box.log = self.folder(spec.id) / "log"
            self.seen.append(box)
        return found


class Transforms(Hosting):
    """`run(…)` transforms what it puts under `in/` and answers the ended job; `out(name)` is an output."""

    kinds = ("endpoint", "transform")

    def __init__(self, folder: Any, **settings: Any) -> None:
        super().__init__(folder, **settings)
        self.runtime.__class__ = ModelRuntime
        self.runtime.seen = []
        self.s3.create_bucket(Bucket="data")
        self.jobs = 0
        for model in ("sum", "echo", "json", "length", "who"):
            self.model(model, MODEL=model)

    def put(self, *objects: tuple[str, bytes]) -> str:
        """Puts objects under a prefix of their own and answers its URI."""
        self.jobs += 1
        for name, data in objects:
            self.s3.put_object(Bucket="data", Key=f"in{self.jobs}/{name}", Body=data)
        return f"s3://data/in{self.jobs}/"

    def request(self, model: str, uri: str, **more: Any) -> dict[str, Any]:
        """`split`, `content`, `accept`, `assemble`, `gzip`, `count`, `processing` are short for members; others are members."""
        self.jobs += 1
        source: dict[str, Any] = {"DataSource": {"S3DataSource": {"S3DataType": more.pop("type", "S3Prefix"), "S3Uri": uri}}}
        target: dict[str, Any] = {"S3OutputPath": more.pop("out", f"s3://data/out{self.jobs}")}
        source |= {"ContentType": more.pop("content", "text/csv")} if more.get("content", "text/csv") else {}
        more.pop("content", None)
        for name, member, where in (
            ("split", "SplitType", source), ("gzip", "CompressionType", source), ("accept", "Accept", target),
            ("assemble", "AssembleWith", target),
        ):  # fmt: skip
            if name in more:
                where[member] = more.pop(name)
        if "processing" in more:
            more["DataProcessing"] = more.pop("processing")
        more["Environment"] = {"JOB": f"job-{self.jobs}", **more.get("Environment", {})}
        return {
            "TransformJobName": f"job-{self.jobs}",
            "ModelName": model,
            "TransformInput": source,
            "TransformOutput": target,
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": more.pop("count", 1)},
            **more,
        }

    def start(self, model: str, *objects: tuple[str, bytes], **more: Any) -> str:
        request = self.request(model, self.put(*objects) if objects else more.pop("uri"), **more)
        self.sm.create_transform_job(**request)
        return request["TransformJobName"]

    def run(self, model: str, *objects: tuple[str, bytes], **more: Any) -> dict[str, Any]:
        return self.end(self.start(model, *objects, **more))

    def end(self, name: str, seconds: float = 20.0) -> dict[str, Any]:
        def look() -> Any:
            job = self.sm.describe_transform_job(TransformJobName=name)
            return job if job["TransformJobStatus"] in FINAL else None

        return eventually(look, seconds, lambda: (self.sm.describe_transform_job(TransformJobName=name), self.log(name)))

    def out(self, job: dict[str, Any], name: str) -> bytes:
        bucket, _, prefix = job["TransformOutput"]["S3OutputPath"].removeprefix("s3://").partition("/")
        return self.s3.get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/{name}.out" if prefix else f"{name}.out")["Body"].read()

    def keys(self, job: dict[str, Any]) -> list[str]:
        bucket, _, prefix = job["TransformOutput"]["S3OutputPath"].removeprefix("s3://").partition("/")
        return [row["Key"] for row in self.s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix.rstrip('/')}/").get("Contents", [])]

    def streams(self, name: str) -> list[str]:
        logs = self.yard.client("logs")
        try:
            found = logs.describe_log_streams(logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=f"{name}/")
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [row["logStreamName"] for row in found["logStreams"]]

    def log(self, name: str, which: str = "/data-log") -> list[str]:
        logs = self.yard.client("logs")
        events: list[str] = []
        for stream in self.streams(name):
            if stream.endswith(which):
                page = logs.get_log_events(logGroupName="/aws/sagemaker/TransformJobs", logStreamName=stream, startFromHead=True)
                events += [event["message"] for event in page["events"]]
        return events

    def calls(self, job: dict[str, Any]) -> list[tuple[str, dict[str, str], bytes]]:
        """What the model servers of a job were sent."""
        return [call for box in self.boxes_of(job) for call in box.calls]

    def boxes_of(self, job: dict[str, Any]) -> list[Any]:
        return [box for box in self.runtime.seen if box.spec.env.get("JOB") == job["TransformJobName"]]
