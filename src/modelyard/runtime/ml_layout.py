"""The /opt/ml contract: what a training container or a model server finds there, and what it leaves.

Source: AWS, "How Amazon SageMaker AI Provides Training Information" and "Run Your Inference Code with Hosting Services";
file names and values as the training toolkit reads them. `ml` is always the host folder that becomes /opt/ml.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from modelyard.runtime.archives import extract, pack

__all__ = [
    "channel_folder",
    "failure",
    "input_data_config",
    "lay_out_processing",
    "lay_out_serving",
    "lay_out_training",
    "left_behind",
    "pack",
    "resource_config",
]

FAILURE_CHARACTERS = 1024


def resource_config(
    current_host: str, hosts: list[str], instance_type: str, group: str = "homogeneousCluster", groups: list[dict] | None = None
) -> dict:
    """`resourceconfig.json` of one host of a job; `groups` are all instance groups where there are several."""
    return {
        "current_host": current_host,
        "current_instance_type": instance_type,
        "current_group_name": group,
        "hosts": hosts,
        "instance_groups": groups or [{"instance_group_name": group, "instance_type": instance_type, "hosts": hosts}],
        "network_interface_name": "eth0",
    }


def input_data_config(channels: list[dict], input_mode: str = "File") -> dict:
    """`inputdataconfig.json` from a request's `InputDataConfig` (`[]` when there is none) and `TrainingInputMode`."""
    config = {}
    for channel in channels:
        source = channel.get("DataSource", {}).get("S3DataSource", {})
        entry = {
            "TrainingInputMode": channel.get("InputMode", input_mode),
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        if channel.get("ContentType"):
            entry["ContentType"] = channel["ContentType"]
        config[channel["ChannelName"]] = entry
    return config


def lay_out_training(
    ml: Path,
    hyperparameters: dict[str, str],
    channels: list[dict],
    input_mode: str,
    instance_type: str,
    hosts: tuple[str, ...] = ("algo-1",),
    current_host: str = "algo-1",
    checkpoints: dict | None = None,
    group: str = "homogeneousCluster",
    groups: list[dict] | None = None,
) -> None:
    """Make the folders and configuration files of a training job. Doing it twice is doing it once.

    `hyperparameters` are opaque strings; `channels` is the request's InputDataConfig, `input_mode` its
    TrainingInputMode (a channel may have its own), `checkpoints` its CheckpointConfig. All output folders exist before the payload: the training
    toolkit takes a failure before that for a success.
    """
    config = ml / "input/config"
    for folder in ("input/config", "input/data", "model", "output/data", "output/intermediate", "checkpoints", "code"):
        (ml / folder).mkdir(parents=True, exist_ok=True)
    for channel in channels:
        channel_folder(ml, channel["ChannelName"]).mkdir(exist_ok=True)
    _write(config / "hyperparameters.json", hyperparameters)
    _write(config / "resourceconfig.json", resource_config(current_host, list(hosts), instance_type, group, groups))
    data = input_data_config(channels, input_mode)
    _write(config / "inputdataconfig.json", data)
    distribution = {name: {"s3DistributionType": entry["S3DistributionType"]} for name, entry in data.items()}
    _write(config / "init-config.json", {"inputMode": input_mode, "channels": distribution})
    if checkpoints:
        local = checkpoints.get("LocalPath") or "/opt/ml/checkpoints"
        _write(config / "checkpointconfig.json", {"S3Uri": checkpoints["S3Uri"], "LocalPath": local})


def channel_folder(ml: Path, channel: str) -> Path:
    """Where the data of a channel goes."""
    return ml / "input/data" / channel


def lay_out_processing(ml: Path, config: dict, outputs: list[str], instance_type: str, hosts: list[str], current_host: str) -> None:
    """Make the folders and configuration files of one host of a processing job; `outputs` are folders below /opt/ml that exist
    before the payload, `config` is the request as processingjobconfig.json has it.

    Source: AWS, "How Amazon SageMaker Processing Configures Your Processing Container".
    """
    for folder in ("config", "output", "processing", *outputs):
        (ml / folder).mkdir(parents=True, exist_ok=True)
    _write(ml / "config/processingjobconfig.json", config)
    _write(ml / "config/resourceconfig.json", resource_config(current_host, hosts, instance_type))


def lay_out_serving(ml: Path, archive: Path | None) -> None:
    """Make /opt/ml for a model server, with `archive` (model.tar.gz) unpacked in /opt/ml/model.

    Raises `archives.BadArchive` with the member and what is wrong with it.
    """
    (ml / "model").mkdir(parents=True, exist_ok=True)
    if archive is not None:
        extract(archive, ml / "model")


def left_behind(ml: Path, name: str) -> Path | None:
    """The folder /opt/ml/<name> as an ended payload left it; None where it took it away, or bent it: a link there leads
    to whatever of this machine the payload named, so it is never followed."""
    path = ml / name
    return path if path.is_dir() and os.path.realpath(path) == os.path.join(os.path.realpath(ml), name) else None


def failure(ml: Path) -> str | None:
    """What the payload wrote to /opt/ml/output/failure (its first 1024 characters); None when nothing."""
    folder = left_behind(ml, "output")
    try:
        fd = -1 if folder is None else os.open(folder / "failure", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if fd < 0:
        return None
    with open(fd, "rb") as file:
        try:
            text = file.read(FAILURE_CHARACTERS * 4).decode("utf-8", "replace").strip()
        except OSError:
            return None
    return text[:FAILURE_CHARACTERS] or None


def _write(path: Path, value: dict) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=2))
    os.replace(temporary, path)
