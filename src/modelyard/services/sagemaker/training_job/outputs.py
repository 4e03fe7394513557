"""What a job leaves: the model, further output, the failure text, the last metrics."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.reserve import is_full
from modelyard.runtime.archives import files, pack
from modelyard.runtime.ml_layout import failure, left_behind
from modelyard.services.sagemaker.common import client_error, parse_s3_uri
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.training_job.metrics import final_metrics, found
from modelyard.services.sagemaker.training_job.operations import model_uri

FAILURE_CHARACTERS = 1024


def collect(session: RoleSession, job: Record, ml: Path, lines: Iterable[tuple[float, str]], *, keep_model: bool) -> dict[str, Any]:
    """Uploads what there is and answers `{"model": uri or absent, "metrics": FinalMetricDataList}`; `lines` is the whole log. Repeatable: the
    keys are the job's, the bytes the same."""
    answer: dict[str, Any] = {}
    try:
        if keep_model:
            answer["model"] = _upload_model(session, job, ml)
        _upload_data(session, job, ml)
    except ApiError as problem:
        raise client_error(f"Artifact upload failed:{problem.code} ({problem.status}): {problem.message}") from problem
    except Exception as problem:
        if is_full(problem):
            raise client_error("Artifact upload failed:Insufficient disk space") from problem
        if isinstance(problem, OSError):
            raise client_error(f"Artifact upload failed:{problem.strerror or problem}") from problem
        raise
    definitions = job.spec["AlgorithmSpecification"].get("MetricDefinitions", [])
    answer["metrics"] = final_metrics(found(definitions, lines)) if definitions else []
    return answer


def failure_text(ml: Path, log: Path) -> str:
    """The first 1,024 characters of /opt/ml/output/failure, else the last line of the log that says something."""
    return (failure(ml) or _last_line(log))[:FAILURE_CHARACTERS]


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 65_536))
            lines = file.read().splitlines()
    except OSError:
        return ""
    said = (line.decode("utf-8", "replace").partition(" ")[2].strip() for line in reversed(lines))
    return next((text for text in said if text), "")


def _upload_model(session: RoleSession, job: Record, ml: Path) -> str:
    uri, folder = model_uri(job), left_behind(ml, "model")
    bucket, key = parse_s3_uri(uri, "s3OutputPath")
    if not uri.endswith("/"):
        _upload_packed(session, ml, folder, bucket, key, "/opt/ml/model")
    elif folder is not None:
        for name, path in files(folder):
            session.upload(path, bucket, key + name)
    return uri


def _upload_data(session: RoleSession, job: Record, ml: Path) -> None:
    folder = left_behind(ml, "output/data")
    if folder is None or not any(folder.iterdir()):
        return
    bucket, key = parse_s3_uri(
        job.spec["OutputDataConfig"]["S3OutputPath"].rstrip("/") + f"/{job.name}/output/output.tar.gz", "s3OutputPath"
    )
    _upload_packed(session, ml, folder, bucket, key, "/opt/ml/output/data")


def _upload_packed(session: RoleSession, ml: Path, folder: Path | None, bucket: str, key: str, seen_as: str) -> None:
    """Packed beside /opt/ml, where the payload could not prepare anything; nothing left behind is an empty archive."""
    with tempfile.TemporaryDirectory(dir=ml.parent, prefix=".pack-") as scratch:
        path, nothing = Path(scratch) / "packed.tar.gz", Path(scratch) / "nothing"
        nothing.mkdir()
        pack(folder or nothing, path, seen_as)
        session.upload(path, bucket, key)
