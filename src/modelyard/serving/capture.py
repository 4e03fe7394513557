"""Data capture: what went into a model and what came out, as AWS writes it.

A call is appended to a spool file (serving/spool.py) before its answer leaves, so it survives `kill -9`; a background thread turns
spools into S3 objects `<destination>/<endpoint>/<variant>/yyyy/mm/dd/hh/MM-SS-mmm-<uuid>.jsonl`. A spool belongs to
whoever holds its `flock`; one whose gateway died is taken over by the next. Its object key is in its first line, so
uploading it twice writes the same object.

Line format: "Capture data from real-time endpoint" (SageMaker Model Monitor): captureData, eventMetadata, eventVersion.
"""

from __future__ import annotations

import base64
import fcntl
import logging
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.ids import new_uuid
from modelyard.serving.routes import RouteTable
from modelyard.serving.spool import SpoolFile

log = logging.getLogger("modelyard.capture")
ROLL_SECONDS = 5.0
"""AWS rolls its files over after minutes; notebooks wait for the first one, so here it is seconds."""
ROLL_PLATFORM_SECONDS = 15.0
"""On a fast clock it is sooner: what was captured is in S3 within 30 s of platform time."""
ROLL_BYTES = 32 << 20

Put = Callable[..., Any]
"""(account, bucket, key, data), and `kms` where the configuration names a KmsKeyId: writes an object."""
NO_SUCH_KEY = ("KMS.NotFoundException", "NotImplemented")
KEY_METADATA = "kms-key-id"
SHADOW = "ShadowExperiment"
"""The invocationSource of a shadow's record."""


@dataclass(slots=True)
class Spool:
    file: SpoolFile
    opened: float
    opened_at: float


class Capture:
    """`record` and `rotate` on the gateway's loop, `upload` on a thread: it takes only files that were let go of."""

    def __init__(self, folder: Path, put: Put, now: Callable[[], float]) -> None:
        self._folder, self._put, self._now = folder, put, now
        self._spools: dict[tuple[str, ...], Spool] = {}
        self._forms: dict[str, Form] = {}
        self._sample = random.random

    def record(
        self,
        table: RouteTable,
        variant: str,
        sent: tuple[str, bytes],
        answered: tuple[str, bytes],
        inference_id: str | None = None,
        attributes: str | None = None,
        event_id: str | None = None,
    ) -> str | None:
        """`sent` and `answered` are (content type, body). A call that cannot be captured is served all the same. Answers the event's id;
        None for a call that is not in the sample. With `event_id` it is the other side of an event that is in it (shadow.py)."""
        config = table.capture
        if config is None or (event_id is None and self._sample() * 100 >= config["InitialSamplingPercentage"]):
            return None
        form = self._forms.get(table.key)
        if form is None or form.config is not config:
            form = self._forms[table.key] = Form(config)
        copied, event_id = event_id is not None, event_id or new_uuid()
        line = form.event(self._now(), sent, answered, inference_id, attributes, event_id, copied)
        try:
            self._spool(table, variant).file.append(line)
        except OSError:
            log.exception("a call of %s was not captured", table.key)
        return event_id

    def rotate(self, everything: bool = False) -> None:
        """Lets go of spools that are old or big enough."""
        real, now = monotonic(), self._now()
        for key, spool in list(self._spools.items()):
            old = real - spool.opened > ROLL_SECONDS or now - spool.opened_at > ROLL_PLATFORM_SECONDS
            if everything or old or spool.file.size > ROLL_BYTES:
                del self._spools[key]
                spool.file.close()

    @property
    def open(self) -> bool:
        """Whether something was recorded that is not let go of yet."""
        return bool(self._spools)

    def upload(self) -> None:
        """Makes objects of the spools that nobody writes any more."""
        if self._folder.is_dir():
            for path in sorted(self._folder.iterdir()):
                self._upload(path)

    def _spool(self, table: RouteTable, variant: str) -> Spool:
        key = (table.key, variant, *self._forms[table.key].place)
        found = self._spools.get(key)
        if found is None:
            found = self._spools[key] = self._open(table, variant, datetime.fromtimestamp(self._now(), UTC))
        return found

    def _open(self, table: RouteTable, variant: str, at: datetime) -> Spool:
        bucket, _, prefix = table.capture["DestinationS3Uri"].removeprefix("s3://").partition("/")
        uid = uuid4()
        name = f"{at:%Y/%m/%d/%H/%M-%S}-{at.microsecond // 1000:03d}-{uid}.jsonl"
        key = "/".join(part for part in (prefix.strip("/"), table.endpoint, variant, name) if part)
        self._folder.mkdir(parents=True, exist_ok=True)
        file = SpoolFile(self._folder / f"{uid}.jsonl")
        file.append(orjson.dumps({"account": table.account, "bucket": bucket, "key": key, "kms": table.capture.get("KmsKeyId")}))
        return Spool(file, monotonic(), at.timestamp())

    def _upload(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.fstat(file.fileno()).st_nlink:
                    return
                head, _, body = file.read().partition(b"\n")
                lines = body[: body.rfind(b"\n") + 1]  # a line that a crash cut in half was never answered
                if lines:
                    self._write(orjson.loads(head), lines)
                path.unlink()
        except (FileNotFoundError, BlockingIOError):
            return
        except Exception:
            log.exception("captured data %s was not uploaded; it is tried again", path.name)

    def _write(self, target: Mapping[str, Any], lines: bytes) -> None:
        """Under the key of the configuration. A key that this platform does not have (a configuration brought from elsewhere) is recorded with the
        object, which is then kept as its bucket keeps objects; one that is there and may not be used is waited for."""
        place, kms = (target["account"], target["bucket"], target["key"], lines), target.get("kms")
        if not kms:
            self._put(*place)
            return
        try:
            self._put(*place, kms=kms)
        except ApiError as problem:
            if problem.code not in NO_SUCH_KEY:
                raise
            log.warning("captured data %s is not encrypted with %s: %s", target["key"], kms, problem.message)
            self._put(*place, metadata={KEY_METADATA: kms})


class Form:
    """How calls of one DataCaptureConfig are written down: made once, used for every call."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.place = (config["DestinationS3Uri"], config.get("KmsKeyId") or "")
        modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        self.input, self.output = bool(modes & {"Input", "InputAndOutput"}), bool(modes & {"Output", "InputAndOutput"})
        self._sides: dict[tuple[str, str], Side] = {}
        self._second: tuple[int, bytes] = (-1, b"")

    def event(
        self,
        now: float,
        sent: tuple[str, bytes],
        answered: tuple[str, bytes],
        inference_id: str | None,
        attributes: str | None,
        event_id: str | None = None,
        copied: bool = False,
    ) -> bytes:
        """One line of a capture file, without its end. `copied`: of a shadow's call."""
        sides = []
        if self.input:
            sides.append(self._side("INPUT", sent[0]).of(sent[1]))
        if self.output:
            sides.append(self._side("OUTPUT", answered[0]).of(answered[1]))
        more = b""
        if copied or attributes or inference_id:
            said = {
                "invocationSource": SHADOW if copied else None,
                "customAttributes": attributes and [attributes],
                "inferenceId": inference_id,
            }
            more = b",%b" % orjson.dumps({name: value for name, value in said.items() if value})[1:-1]
        return b'{"captureData":{%b},"eventMetadata":{"eventId":"%b"%b,"inferenceTime":"%b"},"eventVersion":"0"}' % (
            b",".join(sides),
            (event_id or new_uuid()).encode(),
            more,
            self._time(int(now)),
        )

    def _side(self, mode: str, content_type: str) -> Side:
        found = self._sides.get((mode, content_type))
        if found is None:
            found = Side(mode, content_type, _encoding(self.config.get("CaptureContentTypeHeader") or {}, content_type))
            if len(self._sides) < 256:
                self._sides[mode, content_type] = found
        return found

    def _time(self, second: int) -> bytes:
        if self._second[0] != second:
            self._second = second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}".encode()
        return self._second[1]


class Side:
    """How bodies of one content type are written down; all but the body is ready."""

    __slots__ = ("_as_base64", "_as_text")

    def __init__(self, mode: str, content_type: str, encoding: str) -> None:
        name = b"endpointInput" if mode == "INPUT" else b"endpointOutput"
        begin = b'"%b":{"observedContentType":%b,"mode":%b,"data":' % (name, orjson.dumps(content_type), orjson.dumps(mode))
        self._as_base64 = begin.replace(b"%", b"%%") + b'"%b","encoding":"BASE64"}'
        self._as_text = None if encoding == "BASE64" else begin.replace(b"%", b"%%") + b'%b,"encoding":' + orjson.dumps(encoding) + b"}"

    def of(self, body: bytes) -> bytes:
        if self._as_text is not None:
            try:
                return self._as_text % orjson.dumps(body.decode())
            except UnicodeDecodeError:
                pass
        return self._as_base64 % base64.b64encode(body)


def _encoding(header: Mapping[str, list[str]], content_type: str) -> str:
    """CSV or JSON for content types the configuration names; all others are captured in base64, as on AWS."""
    plain = content_type.partition(";")[0].strip()
    for encoding, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if content_type in header.get(member, ()) or plain in header.get(member, ()):
            return encoding
    return "BASE64"
