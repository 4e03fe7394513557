"""Look at this machine: sandbox tier, runtimes, images, disk, versions, and what to install for more."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from modelyard.cli import exits, output

NAME = "doctor"
HELP = "what this machine can do, and what would add to it"

TOOLS = {
    "bwrap": ("bubblewrap", "the strongest sandbox for jobs and model servers"),
    "git": ("git", "code repositories"),
}
TIERS = {
    "full": "bubblewrap, everything private",
    "no-proc": "bubblewrap without a /proc of its own (a container's masks forbid it)",
    "ctypes": "own namespaces, bubblewrap being absent or refused",
    "degraded": "no sandbox: jobs are ordinary processes of this user",
}
FREE_BYTES = 10 << 30


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument(
        "--verify", action="store_true", help="read all of S3: index against files and checksums; exit code 1 where they differ"
    )


def run(args: argparse.Namespace) -> int:
    if args.verify:
        return verify(args)
    found = examine(args.data)
    if args.json:
        output.as_json(found)
    else:
        _show(found)
    return exits.OK


def examine(folder: Path) -> dict[str, Any]:
    import os
    import platform
    import shutil
    import sqlite3

    from modelyard import __version__, datafolder

    settings = datafolder.load_settings(folder)
    disk = shutil.disk_usage(_existing(folder))
    tools = {name: shutil.which(name) for name in TOOLS}
    found = {
        "versions": {
            "modelyard": __version__,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "botocore": _version("botocore"),
            "uv": _version("uv"),
            "kernel": platform.release(),
        },
        **_sandbox(),
        "runtimes": ["process"],
        "cpus": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "disk": {"path": str(folder), "free_bytes": disk.free, "total_bytes": disk.total},
        "tools": tools,
        "images": _images(settings),
        "running": datafolder.holder(folder) is not None,
    }
    return {**found, "advice": advice(found)}


_AGAIN = "put the object again from its source (what is there is then replaced), or delete it: aws s3 rm; the bytes that were cannot be made again"
_DIFFERENCES = {
    "missing": ("missing", _AGAIN),
    "short": ("of another size", _AGAIN),
    "wrong": ("damaged", _AGAIN),
    "orphans": ("orphaned", "no object is of these files: the platform deletes them within two days while it runs, or delete them now"),
    "index": (
        "index",
        "modelyard down, then s3.db from a copy, or what can be read of it: sqlite3 s3.db .recover; --verify again tells what is left",
    ),
}
"""Members of what was found: how each is called, and what to do."""


def verify(args: argparse.Namespace) -> int:
    """Beside a running platform only files older than a day count as orphans: a younger one may be about to get its row."""
    from dataclasses import asdict

    from modelyard import app, datafolder
    from modelyard.services.kms.root import WrongRoot
    from modelyard.services.s3 import verify as look
    from modelyard.services.s3.depot import SWEEP_GRACE_S

    if not (args.data / "s3.db").exists() and not datafolder.load_settings(args.data).store:
        output.as_json({"objects": 0}) if args.json else print(f"there are no objects in {args.data}")
        return exits.OK
    try:
        platform = app.build_platform(datafolder.load_settings(args.data), "worker")
        found = look.verify(platform.parts["s3"], SWEEP_GRACE_S if datafolder.holder(args.data) is not None else 0.0)
    except WrongRoot as problem:
        print(problem, file=sys.stderr)
        return exits.FAILED
    except look.DatabaseError as problem:
        found = look.Found(index=[f"a database of {args.data} cannot be opened: {problem}"])
    if args.json:
        output.as_json({**asdict(found), "whole": found.whole})
        return exits.OK if found.whole else exits.FAILED
    print(f"{found.objects} object versions and {found.parts} parts, {output.size(found.bytes)} read")
    if found.unread:
        print(f"{found.unread} are encrypted with customers' keys: only their sizes were checked")
    for member, (what, advice) in _DIFFERENCES.items():
        names = getattr(found, member)
        for name in names[: look.MOST_NAMED]:
            print(f"{output.paint(what, 'bold')}  {name if member != 'orphans' else args.data / 'objects' / name[:2] / name}")
        if len(names) > look.MOST_NAMED:
            print(f"… and {len(names) - look.MOST_NAMED} more that are {what}")
        if names:
            print(f"  → {advice}")
    print("all is there, with the right bytes" if found.whole else "the index and the files differ")
    return exits.OK if found.whole else exits.FAILED


def advice(found: dict[str, Any]) -> list[str]:
    """What to do for more, in words."""
    said = []
    if found["tier"] == "degraded":
        said.append("jobs run without a sandbox: install bubblewrap (apt install bubblewrap) or allow user namespaces")
    elif not found["tools"]["bwrap"]:
        said.append("for the strongest sandbox: apt install bubblewrap")
    if found["disk"]["free_bytes"] < FREE_BYTES:
        said.append(
            f"only {output.size(found['disk']['free_bytes'])} of disk are free at {found['disk']['path']}; images take about 1 GiB each"
        )
    if not any(image["state"] == "ready" for image in found["images"]):
        said.append("no image is built yet; the first job of each builds it, or do it ahead: modelyard images build")
    return said


def _show(found: dict[str, Any]) -> None:
    print(output.paint("versions", "bold") + "  " + ", ".join(f"{k} {v}" for k, v in found["versions"].items()))
    print(output.paint("sandbox", "bold") + f"   tier {found['tier']}: {TIERS[found['tier']]}")
    for tier, why in found["refused"].items():
        print(f"          not {tier}: {why}")
    print(output.paint("runtimes", "bold") + f"  {', '.join(found['runtimes'])}")
    print(output.paint("machine", "bold") + f"   {found['cpus']} CPUs, {output.size(found['memory_bytes'])} memory")
    disk = found["disk"]
    print(
        output.paint("disk", "bold")
        + f"      {output.size(disk['free_bytes'])} free of {output.size(disk['total_bytes'])} at {disk['path']}"
    )
    print(output.paint("tools", "bold"))
    for name, path in found["tools"].items():
        print(f"  {name:8} {path or 'not found'}  ({TOOLS[name][1]})")
    print(output.paint("images", "bold"))
    for image in found["images"]:
        print(f"  {image['env']:24} {image['state']:8} {output.size(image['bytes']) if image['bytes'] else ''}".rstrip())
    print(output.paint("advice", "bold") + ("" if found["advice"] else "    nothing is missing"))
    for line in found["advice"]:
        print(f"  {line}")


def _sandbox() -> dict[str, Any]:
    from modelyard.runtime.process import probe

    found = probe.probe()
    return {"tier": found.tier, "refused": found.refused}


def _images(settings: Any) -> list[dict[str, Any]]:
    from modelyard.runtime.images import ImageStore

    return ImageStore(settings).list()


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
