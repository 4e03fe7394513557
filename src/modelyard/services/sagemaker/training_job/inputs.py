"""Channels: their S3 objects in /opt/ml/input/data, by input mode.

File      copies in /opt/ml/input/data/<channel>
FastFile  the objects themselves, read-only at the same place: nothing is copied, so nothing is waited for
Pipe      named pipes /opt/ml/input/data/<channel>_<epoch>, fed inside the box (algorithms/pipes.py) from the objects themselves

"The objects themselves" are hard links in a folder beside /opt/ml that is mounted read-only: a payload cannot write through it.
Without a sandbox there is no such mount, and then they are copies.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.services.sagemaker.common import client_error, parse_s3_uri
from modelyard.services.sagemaker.jobs.inputs import Item, check_objects, copy, plan, share
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.training_job.hosts import Host

MANIFEST_BYTES = 256 << 20
COPIED = "[modelyard] {mode}: channel {channel} was copied instead of being read in place: {why}."
SMALL_BYTES = 1 << 20
"""Nobody needs to be told that less than this was copied."""
IN_BOX = "/run/input"
"""Where a box finds the objects of Pipe channels, and the plan for its feeder."""


def check_channels(session: RoleSession, request: dict[str, Any], region: str) -> None:
    """At create: every S3Prefix has objects and every manifest is there."""
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise _no_s3(channel, request)
        if source["S3DataType"] not in ("S3Prefix", "ManifestFile", "AugmentedManifestFile"):
            raise validation(f"S3DataType {source['S3DataType']} is not built yet; use S3Prefix, ManifestFile or AugmentedManifestFile.")
        if source["S3DataType"] == "AugmentedManifestFile":
            if mode_of(channel, request) != "Pipe":
                raise validation("AugmentedManifestFile can only be used if the Channel's input mode is Pipe.")
            if not source.get("AttributeNames"):
                raise validation("AttributeNames must be specified when S3DataType is AugmentedManifestFile.")
        check_objects(session, source["S3Uri"], "inputDataConfig.dataSource.s3DataSource.s3Uri", request["RoleArn"], region)


def _no_s3(channel: dict[str, Any], request: dict[str, Any]) -> ApiError:
    """File systems of Amazon are reached through a VPC, and there is none behind this one: said before anything waits for it."""
    name, system = channel["ChannelName"], channel["DataSource"].get("FileSystemDataSource")
    if system is None:
        return validation(f"The DataSource of the channel '{name}' must have an S3DataSource or a FileSystemDataSource.")
    if "VpcConfig" not in request:
        return validation(f"VpcConfig is required for the FileSystemDataSource of the channel '{name}'.")
    return validation(
        f"Unable to mount the file system {system['FileSystemId']} of the channel '{name}': this platform has no "
        f"{'Amazon EFS' if system['FileSystemType'] == 'EFS' else 'Amazon FSx'} file systems. Copy the data to Amazon S3 and give an "
        "S3DataSource; with InputMode FastFile it is read in place as well."
    )


def mode_of(channel: dict[str, Any], spec: dict[str, Any]) -> str:
    """File, Pipe or FastFile."""
    return channel.get("InputMode") or spec["AlgorithmSpecification"]["TrainingInputMode"]


def is_for(channel: dict[str, Any], host: Host) -> bool:
    """Whether this host has the channel at all: one may be meant for some instance groups only."""
    groups = channel["DataSource"].get("S3DataSource", {}).get("InstanceGroupNames")
    return not groups or host.group in groups


def links_folder(ml: Path, channel: str) -> Path:
    return ml.parent / "links" / channel


def pipes_plan(ml: Path) -> Path:
    return ml.parent / "pipes" / "plan.json"


@dataclass
class Fetch:
    """One download of all channels of all hosts. `folders` are their /opt/ml; `linked`: whether boxes can have read-only mounts.
    `began(bytes)` and `got(bytes)` tell the progress; `notes` are for the log."""

    session: RoleSession
    spec: dict[str, Any]
    folders: dict[Host, Path]
    linked: bool
    began: Callable[[str, int], None] = lambda channel, size: None
    got: Callable[[int], None] = lambda size: None
    notes: list[str] = field(default_factory=list)

    def run(self) -> None:
        plans: dict[Host, list[dict[str, Any]]] = {host: [] for host in self.folders}
        for channel in self.spec.get("InputDataConfig", []):
            hosts = [host for host in self.folders if is_for(channel, host)]
            if mode_of(channel, self.spec) == "Pipe":
                for host, planned in zip(hosts, self._pipe(channel, hosts), strict=True):
                    plans[host].append(planned)
            else:
                self._files(channel, hosts)
        for host, planned in plans.items():
            if planned:
                path = pipes_plan(self.folders[host])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(planned))

    def _files(self, channel: dict[str, Any], hosts: Sequence[Host]) -> None:
        source, name = channel["DataSource"]["S3DataSource"], channel["ChannelName"]
        items = plan(self.session, source["S3Uri"], source["S3DataType"])
        sharded, fast = is_sharded(source), mode_of(channel, self.spec) == "FastFile"
        if shuffle := channel.get("ShuffleConfig"):
            items = list(items)
            random.Random(shuffle["Seed"]).shuffle(items)
        self.began(name, 0 if fast else sum(item.size for item in items) * (1 if sharded else len(hosts)))
        for place, host in enumerate(hosts, 1):
            ml, mine = self.folders[host], share(items, place, len(hosts)) if sharded else items
            target = ml / "input" / "data" / name
            if fast and self.linked:
                self._link("FastFile", name, mine, links_folder(ml, name))
                continue
            if fast:
                self.notes.append(COPIED.format(mode="FastFile", channel=name, why="there is no sandbox on this machine"))
            copy(self.session, mine, target, progress=self.got)

    def _link(self, mode: str, channel: str, items: Sequence[Item], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        copied = [item for item in items if not _link(self.session, item, folder)]
        if big := sum(item.size >= SMALL_BYTES for item in copied):
            self.notes.append(COPIED.format(mode=mode, channel=channel, why=f"{big} objects are not whole files of this disk"))

    def _pipe(self, channel: dict[str, Any], hosts: Sequence[Host]) -> list[dict[str, Any]]:
        """The feeder's plan of each host. Every host has all objects: with a shuffle each epoch deals them out anew."""
        source, name = channel["DataSource"]["S3DataSource"], channel["ChannelName"]
        augmented = source["S3DataType"] == "AugmentedManifestFile"
        if augmented:
            items, entries = augmented_manifest(self.session, source["S3Uri"], source["AttributeNames"])
        else:
            items = plan(self.session, source["S3Uri"], source["S3DataType"])
            entries = [[{"file": item.name}] for item in items]
        wraps, packed = channel.get("RecordWrapperType") == "RecordIO", channel.get("CompressionType") == "Gzip"
        self.began(name, 0)
        plans = []
        for place, host in enumerate(hosts, 1):
            folder = links_folder(self.folders[host], name)
            seen = f"{IN_BOX}/{name}" if self.linked else str(folder)
            if self.linked:
                self._link("Pipe", name, items, folder)
            else:
                copy(self.session, items, folder, progress=self.got)
            deal = {"host": place, "hosts": len(hosts)} if is_sharded(source) else {"host": 1, "hosts": 1}
            seed = channel.get("ShuffleConfig", {}).get("Seed")
            plans.append({"name": name, "folder": seen, "entries": entries, "wrap": wraps, "gzip": packed, "seed": seed, **deal})
        return plans


def is_sharded(source: dict[str, Any]) -> bool:
    return source.get("S3DataDistributionType") == "ShardedByS3Key"


def _link(session: RoleSession, item: Item, folder: Path) -> bool:
    try:
        return session.link(item.bucket, item.key, folder / item.name)
    except ApiError as problem:
        raise client_error(
            f"Data download failed:{problem.code} ({problem.status}): {problem.message} (s3://{item.bucket}/{item.key})"
        ) from None


def augmented_manifest(session: RoleSession, uri: str, attributes: Sequence[str]) -> tuple[list[Item], list[list[dict[str, str]]]]:
    """(objects, entries) of a manifest of JSON lines: per line the named attributes in order; one whose name ends with "-ref"
    means the object that its value names."""
    bucket, key = parse_s3_uri(uri, "s3Uri")
    raw = session.read(bucket, key, MANIFEST_BYTES)
    if raw is None:
        raise client_error(f"Data download failed:The manifest {uri} has more than {MANIFEST_BYTES >> 20} MiB")
    items: dict[tuple[str, str], Item] = {}
    entries = []
    for number, line in enumerate(raw.splitlines(), 1):
        if line.strip():
            entries.append([_attribute(line, number, name, uri, items) for name in attributes])
    if not entries:
        raise client_error(f"Data download failed:The augmented manifest {uri} has no lines")
    return list(items.values()), entries


def _attribute(line: bytes, number: int, name: str, uri: str, items: dict[tuple[str, str], Item]) -> dict[str, str]:
    try:
        value = json.loads(line)[name]
    except (ValueError, TypeError):
        raise client_error(f"Data download failed:Line {number} of the augmented manifest {uri} is not a JSON object") from None
    except KeyError:
        raise client_error(f"Data download failed:Line {number} of the augmented manifest {uri} has no attribute '{name}'") from None
    if not name.endswith("-ref"):
        return {"text": value if isinstance(value, str) else json.dumps(value)}
    bucket, key = parse_s3_uri(str(value), name)
    item = items.setdefault((bucket, key), Item(bucket, key, f"{len(items):08d}", 0))
    return {"file": item.name}
