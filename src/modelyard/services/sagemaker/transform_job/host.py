"""The worker of one instance: takes its share of the objects through the model, one after another or several at once.

It runs beside the engine (a process of its own, see app.py) and is not the truth: killed anywhere, the next one goes on with the
objects that the ledger does not have. Whoever works holds a lock, so that there are never two for one instance.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import uvloop

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.jobs.inputs import Item
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.transform_job import instances
from modelyard.services.sagemaker.transform_job.ledger import Ledger
from modelyard.services.sagemaker.transform_job.output import Output, abort
from modelyard.serving.transform.caller import Caller
from modelyard.serving.transform.errors import CLIENT, Refused
from modelyard.serving.transform.gzip import unpacked
from modelyard.serving.transform.processing import Processing, Stamp
from modelyard.serving.transform.records import MIB, payloads
from modelyard.serving.transform.stream import stream
from modelyard.serving.transform.walk import How, Lanes, walk

LOOK_SECONDS = 0.1
MOST_OBJECTS_OPEN = 32
SESSION_SECONDS = 30 * 86_400.0


class Stopped(Exception):
    """The job was asked to stop."""


def work(world: Any, uid: str, host: int) -> None:
    """Until every object of this host is done, or the job shall stop. Raises what is no fault of an object."""
    job = world.store.by_uid(uid)
    if job is None:
        return
    ledger = Ledger(job, world)
    with ledger.working(host), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(Stopped):
        runner.run(_until_stopped(Host(world, job, host, ledger)))


async def _until_stopped(host: Host) -> None:
    task = asyncio.ensure_future(host.run())
    while not (await asyncio.wait([task], timeout=LOOK_SECONDS))[0]:
        if host.ledger.stop_sign.exists():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise Stopped
    task.result()


@dataclass(frozen=True)
class Limits:
    """MaxConcurrentTransforms, MaxPayloadInMB (0: whole objects are streamed) and BatchStrategy, as they hold for this job."""

    at_once: int
    payload_mb: int
    single: bool

    def __str__(self) -> str:
        strategy = "SINGLE_RECORD" if self.single else "MULTI_RECORD"
        return f"MaxConcurrentTransforms={self.at_once}, MaxPayloadInMB={self.payload_mb}, BatchStrategy={strategy}"


def limits(spec: dict[str, Any], told: list[dict[str, Any]]) -> Limits:
    """What the request says; else what the containers asked for at /execution-parameters, of several the least; else AWS's defaults."""

    def least(member: str, default: int) -> int:
        values = [t[member] for t in told if isinstance(t.get(member), int) and not isinstance(t[member], bool) and t[member] > 0]
        return min(values, default=default)

    strategies = {str(t.get("BatchStrategy", "")).replace("_", "").lower() for t in told}
    payload, strategy = spec.get("MaxPayloadInMB"), spec.get("BatchStrategy")
    return Limits(
        spec.get("MaxConcurrentTransforms") or least("MaxConcurrentTransforms", 1),
        least("MaxPayloadInMB", 6) if payload is None else payload,
        strategy == "SingleRecord" if strategy else "singlerecord" in strategies,
    )


class Host:
    def __init__(self, world: Any, job: Record, host: int, ledger: Ledger) -> None:
        self._world, self._job, self._host, self.ledger = world, job, host, ledger
        spec = job.spec
        self._source, self._target, self._model = spec["TransformInput"], spec["TransformOutput"], spec["model"]
        self._split, self._seen_log = self._source["SplitType"], False
        self._session = RoleSession(world, job.account, job.region, self._model["role"], at_least_s=SESSION_SECONDS)
        stamp = None
        if spec.get("DataCaptureConfig", {}).get("GenerateInferenceId"):
            stamp = Stamp(f"{datetime.fromtimestamp(job.state.get('started_at', job.created_at), UTC):%Y-%m-%dT%H:%M:%SZ}")
        self._processing = Processing(
            spec["DataProcessing"], self._source.get("ContentType"), self._target.get("Accept"), stamp, lines=self._split != "None"
        )
        client = spec.get("ModelClientConfig", {})
        self._timeout_s = float(client.get("InvocationsTimeoutInSeconds", 600))
        self._caller = Caller(
            instances.View(job, host, world),
            self._source.get("ContentType"),
            self._target.get("Accept"),
            self._timeout_s,
            client.get("InvocationsMaxRetries", 3),
        )

    async def run(self) -> None:
        self._forget_uploads()
        done = self.ledger.done(self._host)
        share = self.ledger.share(self._host, self._job.state["hosts"])
        left = ((number, item) for number, item in share if number not in done)
        try:
            try:
                self._limits = await self._settle()
            except Refused as problem:  # no instance to work with: so it is for every object
                for number, _ in left:
                    self.ledger.mark(self._host, number, problem)
                return
            self._lanes = Lanes(self._limits.at_once)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._limits.at_once, MOST_OBJECTS_OPEN)):
                    group.create_task(self._lane(left))
        finally:
            self._caller.close()

    async def _settle(self) -> Limits:
        spec = self._job.spec
        open_ = not spec.get("MaxConcurrentTransforms") or spec.get("MaxPayloadInMB") is None or not spec.get("BatchStrategy")
        await self._caller.sockets()
        found = limits(spec, await self._caller.parameters() if open_ else [])
        self._say([str(found)])
        return found

    async def _lane(self, left: Iterator[tuple[int, Item]]) -> None:
        """One object after the other, as long as there are some."""
        for number, item in left:
            try:
                await self._transform(item)
            except Refused as problem:
                self._say(f"{item.bucket}/{item.key}: {line}" for line in problem.lines())
                self.ledger.mark(self._host, number, problem)
            else:
                self.ledger.mark(self._host, number, None)

    async def _transform(self, item: Item) -> None:
        bucket, prefix = parse_s3_uri(self._target["S3OutputPath"], "s3OutputPath")
        key = f"{prefix.rstrip('/')}/{item.name}.out" if prefix else f"{item.name}.out"
        output = Output(self._session, self.ledger, self._host, bucket, key, self._target.get("KmsKeyId", ""))
        try:
            pieces = self._pieces(item)
            if self._limits.payload_mb == 0:
                await self._stream(pieces, output)
            else:
                source = payloads(pieces, self._split, self._limits.single, self._limits.payload_mb * MIB)
                how = How(self._split, self._target["AssembleWith"] == "Line")
                await walk(source, how, self._lanes, self._caller, self._processing, output)
            await output.close()
        except BaseException:
            await asyncio.shield(output.abort())
            raise

    async def _stream(self, pieces: Iterator[bytes], output: Output) -> None:
        async with self._lanes.requests:
            sockets = await self._caller.sockets()
            if len(sockets) > 1:
                raise Refused(CLIENT, "MaxPayloadInMB 0 streams objects to a model of one container; this one is an inference pipeline")
            headers = {"Content-Type": self._source.get("ContentType"), "Accept": self._target.get("Accept")}
            given = {name: value for name, value in headers.items() if value is not None}
            await asyncio.to_thread(stream, sockets[0], pieces, given, self._timeout_s, output.write_now)

    def _pieces(self, item: Item) -> Iterator[bytes]:
        """The object's content. Raises Refused where the role may not read it, or it is no gzip."""
        try:
            _, _, pieces = self._session.stream(item.bucket, item.key)
            yield from unpacked(pieces) if self._source["CompressionType"] == "Gzip" else pieces
        except ApiError as problem:
            raise Refused(CLIENT, f"Failed to read the object: {problem.code} ({problem.status}): {problem.message}") from None

    def _forget_uploads(self) -> None:
        for note, bucket, key, upload in list(self.ledger.uploads(self._host)):
            abort(self._session, note, bucket, key, upload)

    def _say(self, lines: Any) -> None:
        """In the data log, as AWS prints it: `2021-03-14T23:56:26.474:[sagemaker logs]: …`."""
        replica, job, now = instances.record(self._job, self._host, self._world), self._job, self._world.clock.now()
        if replica is None:
            return
        stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        events = [(int(now * 1000), f"{stamp}:[sagemaker logs]: {line}") for line in lines]
        self._world.logs.append(job.account, job.region, instances.LOG_GROUP, instances.data_log(job, replica), events)
