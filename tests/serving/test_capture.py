"""Captured calls: their lines, and that none is lost."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.serving.capture import Capture, Form
from modelyard.serving.routes import RouteTable
from modelyard.serving.spool import STEP_BYTES, SpoolFile

CONFIG = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://b/datacapture",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
}
TABLE = RouteTable("arn", "1", "r", "Ep", 1, capture=CONFIG)
KEY = re.compile(r"datacapture/Ep/v/2023/11/14/22/13-20-250-[0-9a-f-]{36}\.jsonl")


class Bucket(dict):
    def put(self, account, bucket, key, data):
        self[key] = data


def capture(folder, bucket):
    return Capture(folder, bucket.put, lambda: 1_700_000_000.25)


def test_line_is_as_aws_writes_it():
    line = json.loads(
        Form(CONFIG).event(1_700_000_000.25, ("text/csv", b"1,2"), ("application/json; charset=utf-8", b'{"a":1}'), "id-7", "k=v")
    )
    assert (
        line.pop("eventMetadata").items()
        >= {
            "inferenceId": "id-7",
            "inferenceTime": "2023-11-14T22:13:20Z",
            "customAttributes": ["k=v"],
        }.items()
    )
    assert line == {
        "captureData": {
            "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": "1,2", "encoding": "CSV"},
            "endpointOutput": {
                "observedContentType": "application/json; charset=utf-8",
                "mode": "OUTPUT",
                "data": '{"a":1}',
                "encoding": "JSON",
            },
        },
        "eventVersion": "0",
    }


@pytest.mark.parametrize("content_type, body", [("image/png", b"\x89P"), ("text/csv", b"\xff\xfe")])
def test_what_is_no_text_is_base64(content_type, body):
    line = json.loads(
        Form({**CONFIG, "CaptureOptions": [{"CaptureMode": "Input"}]}).event(0.0, (content_type, body), ("", b""), None, None)
    )
    assert line["captureData"]["endpointInput"]["encoding"] == "BASE64" and "endpointOutput" not in line["captureData"]
    assert "inferenceId" not in line["eventMetadata"]


def test_rolls_into_an_object(tmp_path):
    bucket = Bucket()
    ours = capture(tmp_path / "c", bucket)
    for n in range(3):
        ours.record(TABLE, "v", ("text/csv", b"%d" % n), ("text/csv", b"x"))
    ours.upload()
    assert not bucket, "a spool that is written is left alone"
    ours.rotate()
    assert not bucket and os.listdir(tmp_path / "c"), "and so is a young one"
    ours.rotate(everything=True)
    ours.upload()
    [(key, data)] = bucket.items()
    assert KEY.fullmatch(key) and data.count(b"\n") == 3 and os.listdir(tmp_path / "c") == []


def test_sampling(tmp_path):
    ours = capture(tmp_path / "c", Bucket())
    draws = iter([0.1, 0.6, 0.2, 0.9])
    ours._sample = lambda: next(draws)
    table = RouteTable("arn", "1", "r", "Ep", 1, capture={**CONFIG, "InitialSamplingPercentage": 50})
    for _ in range(4):
        ours.record(table, "v", ("text/csv", b"1"), ("text/csv", b"x"))
    [spool] = (tmp_path / "c").iterdir()
    assert spool.read_bytes().count(b"\n") == 1 + 2


def test_failing_upload_is_tried_again(tmp_path):
    bucket = Bucket()
    ours = Capture(tmp_path / "c", lambda *_: 1 / 0, lambda: 1_700_000_000.25)
    ours.record(TABLE, "v", ("text/csv", b"1"), ("text/csv", b"x"))
    ours.rotate(everything=True)
    ours.upload()
    capture(tmp_path / "c", bucket).upload()
    assert len(bucket) == 1


def test_killed_gateway_loses_no_answered_call(tmp_path):
    code = f"""
import sys
from tests.serving.test_capture import Bucket, TABLE, capture
from pathlib import Path
ours = capture(Path({str(tmp_path / "c")!r}), Bucket())
for n in range(1000000):
    ours.record(TABLE, "v", ("text/csv", b"%d" % n), ("text/csv", b"x"))
    print(n, flush=True)
"""
    gateway = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "src:."})
    for line in gateway.stdout:
        if int(line) > 500:
            gateway.send_signal(signal.SIGKILL)
            break
    answered = int(line)
    for line in gateway.stdout:
        answered = int(line) if line.endswith(b"\n") else answered
    gateway.wait()
    bucket = Bucket()
    capture(tmp_path / "c", bucket).upload()
    [data] = bucket.values()
    assert len([json.loads(row) for row in data.splitlines()]) >= answered + 1


def test_room_that_was_not_used_is_cut_off_and_a_line_longer_than_a_step_fits(tmp_path):
    spool = SpoolFile(tmp_path / "s")
    long = b"x" * (3 * STEP_BYTES)
    for line in (b"1", long, b"", b"y" * (STEP_BYTES - 3), b"2"):
        spool.append(line)
    written = (tmp_path / "s").read_bytes()
    assert written.rstrip(b"\0") == b"\n".join((b"1", long, b"", b"y" * (STEP_BYTES - 3), b"2", b"")) and len(written) % STEP_BYTES == 0
    spool.close()
    assert (tmp_path / "s").read_bytes() == written.rstrip(b"\0") and len(written.rstrip(b"\0")) == spool.size


def test_a_line_without_its_end_was_never_answered(tmp_path):
    """What is in the file between the two steps of `append`."""
    ours, bucket = capture(tmp_path / "c", Bucket()), Bucket()
    ours.record(TABLE, "v", ("text/csv", b"1"), ("text/csv", b"x"))
    [spool] = ours._spools.values()
    spool.file._map[spool.file.size : spool.file.size + 5] = b'{"cap'
    os.close(spool.file._fd)
    spool.file._map.close()  # with its descriptors goes its lock, as with a process that is killed
    capture(tmp_path / "c", bucket).upload()
    [data] = bucket.values()
    assert data.count(b"\n") == 1 and data.endswith(b"}\n")


def test_a_full_disk_loses_the_capture_not_the_call(tmp_path, monkeypatch):
    ours, bucket = capture(tmp_path / "c", Bucket()), Bucket()
    ours.record(TABLE, "v", ("text/csv", b"1"), ("text/csv", b"x"))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert ours.record(TABLE, "v", ("text/csv", b"2" * STEP_BYTES), ("text/csv", b"x"))
    ours.record(TABLE, "v", ("text/csv", b"3"), ("text/csv", b"x"))
    ours.rotate(everything=True)
    ours._put = bucket.put
    ours.upload()
    [data] = bucket.values()
    assert [json.loads(row)["captureData"]["endpointInput"]["data"] for row in data.splitlines()] == ["1", "3"]


@pytest.mark.parametrize(("code", "stored"), [("KMS.NotFoundException", True), ("KMS.DisabledException", False)])
def test_a_key_that_is_not_there_is_recorded_and_one_that_may_not_be_used_is_waited_for(tmp_path, code, stored):
    put = []

    def store(account, bucket, key, data, kms=None, metadata=None):
        if kms:
            raise ApiError(code, f"{kms} cannot be used", 400)
        put.append((data, metadata))

    made = Capture(tmp_path, store, lambda: 1_700_000_000.25)
    made.record(replace(TABLE, capture={**CONFIG, "KmsKeyId": "alias/elsewhere"}), "v", ("text/csv", b"1"), ("text/csv", b"2"), None, None)
    made.rotate(everything=True)
    made.upload()
    assert [metadata for _, metadata in put] == ([{"kms-key-id": "alias/elsewhere"}] if stored else [])
    assert bool(list(tmp_path.glob("*.jsonl"))) is not stored, "what cannot be stored yet stays"


def test_the_kms_key_goes_with_the_object(tmp_path):
    put = []
    ours = Capture(tmp_path / "c", lambda *place, **more: put.append((place[2], more)), lambda: 1_700_000_000.25)
    for key in (None, "alias/mine"):
        table = RouteTable("arn", "1", "r", "Ep", 1, capture={**CONFIG, **({"KmsKeyId": key} if key else {})})
        ours.record(table, "v", ("text/csv", b"1"), ("text/csv", b"2"))
    ours.rotate(everything=True)
    ours.upload()
    assert sorted(more.get("kms", "") for _, more in put) == ["", "alias/mine"], "two files, each under its own key"


def test_a_shadows_record_says_so():
    event = Form(CONFIG).event(1.0, ("text/csv", b"1"), ("text/csv", b"2"), None, None, "id", copied=True)
    assert json.loads(event)["eventMetadata"]["invocationSource"] == "ShadowExperiment"
