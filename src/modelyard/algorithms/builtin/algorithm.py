"""What an algorithm is, and what it gets for a training job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..layout import Layout
from . import data
from .fields import Field
from .log import Log

CSV, JSON, JSONLINES, RECORDIO = "text/csv", "application/json", "application/jsonlines", "application/x-recordio-protobuf"


class Predictor(Protocol):
    """A loaded model. `width` is the number of features."""

    width: int

    def predict(self, rows: object, verbose: bool) -> dict[str, np.ndarray]:
        """Columns of the answer by name, one entry (a number, or a row of numbers) per row. `rows` is a float32 array, or a CSR
        matrix where the algorithm is `sparse`; `verbose` asks for what only some algorithms add."""


@dataclass(frozen=True)
class Algorithm:
    """`labels` says whether the train channel must have them; `test_labels` the same for validation and test. `sparse` data stays
    sparse. `several` is the name of the list of records in a JSON answer ("": an object of columns). `answers` are the content types it can
    answer, the first by default. `hosts`: it can be trained on several. `check` fills in and checks the channels."""

    name: str
    title: str
    table: tuple[Field, ...]
    train: Callable[[Job], None]
    load: Callable[[str], Predictor]
    channels: tuple[str, ...] = ("test",)
    labels: bool = False
    test_labels: bool = False
    sparse: bool = False
    csv: bool = True
    several: str = "predictions"
    answers: tuple[str, ...] = (JSON, JSONLINES, RECORDIO)
    hosts: bool = True
    check: Callable[[dict[str, dict], tuple[str, ...], bool], dict[str, dict]] = data.check_channels


@dataclass
class Job:
    """One training job: `given` are the checked hyperparameters, `model` the path of the artifact."""

    algorithm: Algorithm
    layout: Layout
    given: dict
    channels: dict[str, dict]
    log: Log
    model: str
    shares: dict[str, list[data.Table]] = field(default_factory=dict)
    """Parts of sharded channels that other hosts handed over (hosts.py)."""
    _read: dict[str, data.Table] = field(default_factory=dict)

    def table(self, channel: str) -> data.Table | None:
        """The data of a channel, read once; None without the channel. Raises ClientError."""
        if channel not in self.channels:
            return None
        if channel not in self._read:
            found = data.joined([self.part(channel), *self.shares.pop(channel, [])], channel)
            data.check_width(found, self.given.get("feature_dim"), channel)
            self._read[channel] = found
        return self._read[channel]

    def part(self, channel: str) -> data.Table:
        """What this host has of a channel. Raises ClientError."""
        wanted = self.algorithm.labels if channel == "train" else self.algorithm.test_labels
        return data.load(self.layout, channel, self.channels[channel], wanted, self.algorithm.sparse)
