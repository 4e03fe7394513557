"""Data capture of a batch transform: manifests of what went in and what came out.

Source: "Capture data from batch transform job": `<destination>/input/yyyy/mm/dd/hh/` and `/output/…`, by the hour in which the job was
created; each a list that begins with the prefix, as ManifestFile takes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import orjson

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.jobs.inputs import Item
from modelyard.services.sagemaker.role_session import RoleSession


def write_manifests(session: RoleSession, job: Record, items: Iterable[Item]) -> None:
    """Repeatable: the keys are the job's."""
    config = job.spec["DataCaptureConfig"]
    bucket, prefix = parse_s3_uri(config["DestinationS3Uri"], "destinationS3Uri")
    hour = f"{datetime.fromtimestamp(job.created_at, UTC):%Y/%m/%d/%H}"
    found = list(items)
    base = found[0].key.removesuffix(found[0].name) if found else ""
    sides = {
        "input": (f"s3://{found[0].bucket if found else ''}/{base}", [item.name for item in found]),
        "output": (job.spec["TransformOutput"]["S3OutputPath"].rstrip("/") + "/", [f"{item.name}.out" for item in found]),
    }
    more = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": config["KmsKeyId"]} if config.get("KmsKeyId") else {}
    for side, (where, names) in sides.items():
        key = "/".join(part for part in (prefix.rstrip("/"), side, hour, f"{job.name}-{job.uid}.json") if part)
        session.put(bucket, key, orjson.dumps([{"prefix": where}, *names], option=orjson.OPT_INDENT_2), **more)
