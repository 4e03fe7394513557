"""What a job leaves: the model, further output, the failure text, the last metrics."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from modelyard.kernel.records import Record
from modelyard.runtime.archives import files
from modelyard.runtime.ml_layout import failure, left_behind
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.jobs.failures import CHARACTERS, last_line
from modelyard.services.sagemaker.jobs.outputs import upload_packed, uploading
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.training_job.metrics import found, last_metrics
from modelyard.services.sagemaker.training_job.operations import model_uri

CURVE_VALUES = 2000
"""How much of the objective's way is kept for the tuning job: it compares trials step by step."""


class Log(Protocol):
    """(time, text) of lines, oldest first and newest first."""

    def lines(self) -> Iterator[tuple[float, str]]: ...

    def newest(self) -> Iterator[tuple[float, str]]: ...


def collect(session: RoleSession, job: Record, hosts: list[Path], log: Log, *, keep_model: bool) -> dict[str, Any]:
    """Uploads what there is and answers `{"model": uri or absent, "metrics": FinalMetricDataList}`; `hosts` are the
    /opt/ml of all hosts, whose files go into the same archives; `log` is the whole log of all of them. Repeatable: the keys are the job's, the
    bytes the same."""
    answer: dict[str, Any] = {}
    session = session.encrypting(job.spec["OutputDataConfig"].get("KmsKeyId"))
    with uploading():
        if keep_model:
            answer["model"] = _upload_model(session, job, hosts)
        _upload_data(session, job, hosts)
    definitions, tuning = job.spec["AlgorithmSpecification"].get("MetricDefinitions", []), job.spec.get("tuning", {})
    answer["metrics"] = last_metrics(definitions, log.newest()) if definitions else []
    if definitions and tuning.get("curve"):
        values = (value for name, value, _ in found(definitions, log.lines()) if name == tuning["metric"])
        answer["curve"] = list(islice(values, CURVE_VALUES))
    return answer if answer.get("curve") else {name: value for name, value in answer.items() if name != "curve"}


def failure_text(ml: Path, log: Path) -> str:
    """The first 1,024 characters of /opt/ml/output/failure, else the last line of the log that says something."""
    return (failure(ml) or last_line(log))[:CHARACTERS]


def _upload_model(session: RoleSession, job: Record, hosts: list[Path]) -> str:
    uri = model_uri(job)
    bucket, key = parse_s3_uri(uri, "s3OutputPath")
    with _of_all(hosts, "model") as folder:
        if not uri.endswith("/"):
            upload_packed(session, hosts[0], folder, bucket, key, "/opt/ml/model")
        elif folder is not None:
            for name, path in files(folder):
                session.upload(path, bucket, key + name)
    return uri


def _upload_data(session: RoleSession, job: Record, hosts: list[Path]) -> None:
    with _of_all(hosts, "output/data") as folder:
        if folder is None or not any(folder.iterdir()):
            return
        _upload_output(session, job, hosts[0], folder)


@contextlib.contextmanager
def _of_all(hosts: list[Path], name: str) -> Iterator[Path | None]:
    """/opt/ml/<name> of all hosts as one folder: as AWS has it, their files go into one archive. Where two wrote a file of the
    same name, the first host's is taken."""
    folders = [folder for ml in hosts if (folder := left_behind(ml, name)) is not None]
    if len(hosts) == 1 or not folders:
        yield folders[0] if folders else None
        return
    with tempfile.TemporaryDirectory(dir=hosts[0].parent, prefix=".hosts-") as scratch:
        for folder in folders:
            _link_tree(folder, Path(scratch))
        yield Path(scratch)


def _link_tree(source: Path, target: Path) -> None:
    """What is in `source` and not yet in `target`, as links of the same files (they lie on one disk)."""
    for entry in os.scandir(source):
        there = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            if not os.path.lexists(there):
                there.mkdir()
            if there.is_dir() and not there.is_symlink():
                _link_tree(Path(entry.path), there)
        elif not os.path.lexists(there):
            os.link(entry.path, there, follow_symlinks=False)


def _upload_output(session: RoleSession, job: Record, ml: Path, folder: Path) -> None:
    bucket, key = parse_s3_uri(
        job.spec["OutputDataConfig"]["S3OutputPath"].rstrip("/") + f"/{job.name}/output/output.tar.gz", "s3OutputPath"
    )
    upload_packed(session, ml, folder, bucket, key, "/opt/ml/output/data")
