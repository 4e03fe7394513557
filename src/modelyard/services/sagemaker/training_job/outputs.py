"""What a job leaves: the model, further output, the failure text, the last metrics."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from modelyard.kernel.records import Record
from modelyard.runtime.archives import files
from modelyard.runtime.ml_layout import failure, left_behind
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.jobs.failures import CHARACTERS, last_line
from modelyard.services.sagemaker.jobs.outputs import upload_packed, uploading
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.training_job.metrics import final_metrics, found
from modelyard.services.sagemaker.training_job.operations import model_uri

CURVE_VALUES = 2000
"""How much of the objective's way is kept for the tuning job: it compares trials step by step."""


def collect(session: RoleSession, job: Record, ml: Path, lines: Iterable[tuple[float, str]], *, keep_model: bool) -> dict[str, Any]:
    """Uploads what there is and answers `{"model": uri or absent, "metrics": FinalMetricDataList}`; `lines` is the whole log. Repeatable: the
    keys are the job's, the bytes the same."""
    answer: dict[str, Any] = {}
    with uploading():
        if keep_model:
            answer["model"] = _upload_model(session, job, ml)
        _upload_data(session, job, ml)
    definitions = job.spec["AlgorithmSpecification"].get("MetricDefinitions", [])
    matches = list(found(definitions, lines)) if definitions else []
    answer["metrics"] = final_metrics(matches)
    if (tuning := job.spec.get("tuning")) and tuning["curve"]:
        answer["curve"] = [value for name, value, _ in matches if name == tuning["metric"]][:CURVE_VALUES]
    return answer


def failure_text(ml: Path, log: Path) -> str:
    """The first 1,024 characters of /opt/ml/output/failure, else the last line of the log that says something."""
    return (failure(ml) or last_line(log))[:CHARACTERS]


def _upload_model(session: RoleSession, job: Record, ml: Path) -> str:
    uri, folder = model_uri(job), left_behind(ml, "model")
    bucket, key = parse_s3_uri(uri, "s3OutputPath")
    if not uri.endswith("/"):
        upload_packed(session, ml, folder, bucket, key, "/opt/ml/model")
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
    upload_packed(session, ml, folder, bucket, key, "/opt/ml/output/data")
