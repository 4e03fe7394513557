"""What a job leaves: the files of its outputs, and the exit message.

All hosts write under the same prefix: of files with one name the last host's stays, as on AWS.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.jobs.outputs import Mark, read_text, upload_folder, uploading
from modelyard.services.sagemaker.processing_job.check import below, managed_outputs
from modelyard.services.sagemaker.role_session import RoleSession

Marks = dict[tuple[int, int], dict[str, Mark]]
"""(number of the host, number of the output) → what of it is up already."""
MESSAGE_BYTES, MESSAGE_READ_BYTES = 1024, 1 << 20


def has_continuous(spec: Mapping[str, Any]) -> bool:
    return any(output["S3UploadMode"] == "Continuous" for output in managed_outputs(spec))


def upload(
    session: RoleSession, spec: Mapping[str, Any], hosts: list[Path], known: Marks | None = None, settled_ns: int | None = None
) -> Marks:
    """The outputs of all hosts (each one's /opt/ml) to S3. `known` is what an earlier upload answered. With `settled_ns`, while
    the job runs: only Continuous outputs, and of them files that were not written since."""
    up: Marks = {}
    session = session.encrypting((spec.get("ProcessingOutputConfig") or {}).get("KmsKeyId"))
    for place, output in enumerate(managed_outputs(spec)):
        if settled_ns is not None and output["S3UploadMode"] != "Continuous":
            continue
        bucket, key = parse_s3_uri(output["S3Uri"], "s3Uri")
        prefix = key.rstrip("/") + "/" if key.strip("/") else ""
        for number, ml in enumerate(hosts):
            have = (known or {}).get((number, place))
            up[number, place] = upload_folder(session, ml, below(output["LocalPath"]), bucket, prefix, have, settled_ns)
    return up


def collect(session: RoleSession, spec: Mapping[str, Any], hosts: list[Path], known: Marks | None) -> dict[str, Any]:
    """All outputs, and `{"message": the exit message, "broken": whether one was no UTF-8}`, both absent where there is none.
    Repeatable: the same bytes under the same keys."""
    with uploading():
        upload(session, spec, hosts, known)
    return exit_message(hosts)


def exit_message(hosts: list[Path]) -> dict[str, Any]:
    """/opt/ml/output/message of all hosts, one after the other, cut to 1 KB."""
    texts, broken = [], False
    for ml in hosts:
        raw = read_text(ml, "output/message", MESSAGE_READ_BYTES) or b""
        try:
            texts.append(codecs.getincrementaldecoder("utf-8")().decode(raw, final=len(raw) < MESSAGE_READ_BYTES))
        except UnicodeDecodeError:
            broken = True
    message = "".join(texts).encode()[:MESSAGE_BYTES].decode("utf-8", "ignore")
    return ({"message": message} if message else {}) | ({"broken": True} if broken else {})
