"""The objective of running trials, as their logs grow. Kept in memory to read each line once; a new engine reads again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.training_job import run as job_run
from modelyard.services.sagemaker.training_job.metrics import Finder

CHUNK_BYTES = 1 << 20


@dataclass
class _Read:
    place: int = 0
    values: list[float] = field(default_factory=list)
    finder: Finder | None = None


class Curves:
    """`platform.parts["curves"]` of an engine."""

    def __init__(self) -> None:
        self._known: dict[str, _Read] = {}

    def read(self, child: Record, world: Any) -> list[float]:
        """All values of the objective that the trial's log tells by now."""
        key = job_run.run_id(child)
        known = self._known.setdefault(key, _Read())
        metric = child.spec["tuning"]["metric"]
        if known.finder is None:
            known.finder = Finder(m for m in _definitions(child.spec) if m["Name"] == metric)
        try:
            with job_run.log_file(child, world).open("rb") as file:
                file.seek(known.place)
                while chunk := file.read(CHUNK_BYTES):
                    whole = chunk.rfind(b"\n") + 1
                    if not whole:
                        break
                    for raw in chunk[:whole].splitlines():
                        text = raw.partition(b" ")[2].decode("utf-8", "replace")
                        known.values.extend(value for _, value, _ in known.finder.find(0.0, text))
                    known.place += whole
                    file.seek(known.place)
        except FileNotFoundError:
            pass
        return list(known.values)

    def forget(self, running: set[str]) -> None:
        """Drops what is known of runs that are not `running` any more."""
        for key in self._known.keys() - running:
            self._known.pop(key, None)


def _definitions(spec: Mapping[str, Any]) -> list[dict[str, str]]:
    return spec["AlgorithmSpecification"].get("MetricDefinitions", [])
