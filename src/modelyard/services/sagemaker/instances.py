"""Instance types: how many virtual CPUs, how much memory, how many GPUs (public EC2 figures), capped at this machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache

GIB = 1 << 30
_CPUS = {"medium": 2, "large": 2, "xlarge": 4}
_GIB_PER_CPU = {"t": 4, "m": 4, "c": 2, "r": 8, "g": 4, "p": 8, "trn": 4, "inf": 2, "x": 16, "i": 8, "z": 8}
# Types whose figures do not follow the pattern of their family: (virtual CPUs, GiB).
_ODD = {
    "t2.medium": (2, 4), "t3.medium": (2, 4), "t3.large": (2, 8), "t2.large": (2, 8), "t2.xlarge": (4, 16), "t2.2xlarge": (8, 32),
    "c4.large": (2, 3.75), "c4.xlarge": (4, 7.5), "c4.2xlarge": (8, 15), "c4.4xlarge": (16, 30), "c4.8xlarge": (36, 60),
    "p2.xlarge": (4, 61), "p2.8xlarge": (32, 488), "p2.16xlarge": (64, 732),
    "p3.2xlarge": (8, 61), "p3.8xlarge": (32, 244), "p3.16xlarge": (64, 488), "p3dn.24xlarge": (96, 768),
    "p4d.24xlarge": (96, 1152), "p4de.24xlarge": (96, 1152), "p5.48xlarge": (192, 2048), "p5e.48xlarge": (192, 2048),
    "trn1.2xlarge": (8, 32), "trn1.32xlarge": (128, 512), "inf1.6xlarge": (24, 48),
}  # fmt: skip
_GPUS = {
    "g4dn.xlarge": 1, "g4dn.2xlarge": 1, "g4dn.4xlarge": 1, "g4dn.8xlarge": 1, "g4dn.16xlarge": 1, "g4dn.12xlarge": 4,
    "g5.xlarge": 1, "g5.2xlarge": 1, "g5.4xlarge": 1, "g5.8xlarge": 1, "g5.16xlarge": 1, "g5.12xlarge": 4, "g5.24xlarge": 4, "g5.48xlarge": 8,
    "p2.xlarge": 1, "p2.8xlarge": 8, "p2.16xlarge": 16, "p3.2xlarge": 1, "p3.8xlarge": 4, "p3.16xlarge": 8, "p3dn.24xlarge": 8,
    "p4d.24xlarge": 8, "p4de.24xlarge": 8, "p5.48xlarge": 8,
}  # fmt: skip


# Families with disks of their own, which are there whole whatever VolumeSizeInGB says.
_OWN_DISKS = re.compile(r"ml\.(?:\w*\dg?[a-z]*d[a-z]*|g[4-6]\w*|p[4-6]\w*|trn\d\w*|i\d\w*)\.")


def has_own_disks(kind: str) -> bool:
    return _OWN_DISKS.match(kind) is not None


@dataclass(frozen=True)
class Instance:
    """What a type has in AWS; `cpus_here` and `memory_here` are capped at this machine."""

    cpus: int
    memory_bytes: int
    gpus: int

    @property
    def cpus_here(self) -> int:
        return min(self.cpus, os.cpu_count() or 1)

    @property
    def memory_here(self) -> int:
        return min(self.memory_bytes, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


@cache
def instance(kind: str) -> Instance:
    """The figures of `ml.m5.xlarge`, …; a type outside the pattern counts as an m-family one of its size."""
    short = kind.removeprefix("ml.")
    if short.startswith("serverless."):  # by MemorySizeInMB; AWS gives virtual CPUs in proportion to memory
        megabytes = int(short.rpartition(".")[2])
        return Instance(max(1, megabytes // 1024), megabytes << 20, 0)
    if short in _ODD:
        cpus, gib = _ODD[short]
    else:
        family, _, size = short.partition(".")
        many = re.fullmatch(r"(\d+)xlarge", size)
        cpus = 4 * int(many[1]) if many else _CPUS.get(size, 2)
        letters = re.match(r"[a-z]+", family)
        gib = cpus * _GIB_PER_CPU.get(letters[0].rstrip("dn") if letters else "m", 4)
    return Instance(cpus, int(gib * GIB), _GPUS.get(short, 0))
