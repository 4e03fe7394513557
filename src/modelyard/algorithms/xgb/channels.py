"""The job's channels: `train` is required, `validation` and `code` may be there, nothing else."""

from __future__ import annotations

from ..errors import UserError
from .content import kind

DISTRIBUTIONS = ("FullyReplicated", "ShardedByS3Key")


def check(channels: dict[str, dict]) -> dict[str, dict]:
    """The channels with their content type filled in. Raises UserError with AWS's texts."""
    if "train" not in channels:
        raise UserError("Missing required channel: train")
    found = {}
    for name, value in channels.items():
        if name not in ("train", "validation", "code"):
            raise UserError(f"Extraneous channel found: {name}")
        value = {"ContentType": "text/libsvm", "S3DistributionType": "FullyReplicated", "TrainingInputMode": "File"} | value
        if name != "code":
            kind(value["ContentType"])
            if value["TrainingInputMode"] == "Pipe":
                raise UserError(
                    f"Pipe mode for the '{name}' channel is no longer supported. Please use Fast File mode (default) instead. "
                    "Set input_mode='File' in your SageMaker Estimator or TrainingInput."
                )
            if value["TrainingInputMode"] not in ("File", "FastFile") or value["S3DistributionType"] not in DISTRIBUTIONS:
                raise UserError(f"Channel configuration for '{name}' channel is not supported: {value}")
        found[name] = value
    return found
