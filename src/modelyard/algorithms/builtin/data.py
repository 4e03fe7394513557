"""Channels of a job as arrays: text/csv with `label_size`, and recordio-wrapped protobuf, by files or from a pipe."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from .. import recordio
from ..layout import Layout
from ..xgb.content import parse
from .failures import ClientError

CSV, RECORDIO = "text/csv", "application/x-recordio-protobuf"


@dataclass
class Table:
    """`features` is a float32 array or a CSR matrix of rows, `labels` one float32 per row or None."""

    features: object
    labels: np.ndarray | None

    def __len__(self) -> int:
        return self.features.shape[0]


def check_channels(config: dict[str, dict], optional: tuple[str, ...], csv: bool) -> dict[str, dict]:
    """The channels with their content type filled in. Raises ClientError in the words of AWS's schema checks."""
    for name in config:
        if name not in ("train", *optional):
            raise _configuration(f"Additional properties are not allowed ('{name}' was unexpected)")
    if "train" not in config:
        raise _configuration("'train' is a required property")
    accepted = [RECORDIO, CSV] if csv else [RECORDIO]
    for name, channel in config.items():
        main = parse(channel.setdefault("ContentType", RECORDIO))[0]
        if main not in accepted:
            raise _configuration(f"'{main}' is not one of {accepted} (channel '{name}')")
    return config


def load(layout: Layout, name: str, channel: dict, labels: bool, keep_sparse: bool) -> Table:
    """What this host has of the channel, maybe nothing. Raises ClientError for what is unreadable or, where `labels` are needed, without them."""
    content = channel["ContentType"]
    main, parameters = parse(content)
    try:
        files = _files(layout.channel(name), channel.get("TrainingInputMode"))
        size = int(parameters.get("label_size", "1"))
        table = _recordio(files) if main == RECORDIO else _csv(files, size)
    except (ValueError, OSError) as error:
        raise ClientError(
            f"Unable to read data channel '{name}'. Requested content-type is '{content}'. Please verify the data matches the requested "
            "content-type.",
            type(error).__name__,
            str(error),
        ) from error
    if labels and len(table) and table.labels is None:
        raise ClientError(f"The records of channel '{name}' have no labels, which this algorithm needs.")
    if not keep_sparse and not isinstance(table.features, np.ndarray):
        table = Table(table.features.toarray(), table.labels)
    _check_finite(table, name)
    return table


def joined(tables: list[Table], name: str) -> Table:
    """One table of all rows. Raises ClientError where there are none, or where the parts do not fit together."""
    tables = [table for table in tables if len(table)]
    if not tables:
        raise ClientError(f"Channel '{name}' has no records.")
    if len(tables) == 1:
        return tables[0]
    if len({table.labels is None for table in tables}) > 1:
        raise ClientError(f"Some records of channel '{name}' have labels and some have none.")
    widths = sorted({table.features.shape[1] for table in tables})
    dense = all(isinstance(table.features, np.ndarray) for table in tables)
    if len(widths) > 1 and dense:
        raise ClientError(f"The records of channel '{name}' have different numbers of features: {widths}.")
    if dense:
        features: object = np.concatenate([table.features for table in tables])
    else:
        from scipy import sparse

        parts = [sparse.csr_matrix(table.features) for table in tables]
        for part in parts:
            part.resize(part.shape[0], widths[-1])
        features = sparse.vstack(parts, "csr")
    return Table(features, None if tables[0].labels is None else np.concatenate([table.labels for table in tables]))


def check_width(table: Table, feature_dim: object, name: str) -> None:
    """Raises ClientError unless the data has as many features as the hyperparameter says ("auto" and None: any)."""
    width = table.features.shape[1]
    if not isinstance(feature_dim, int) or width == feature_dim:
        return
    if not isinstance(table.features, np.ndarray) and width < feature_dim:
        table.features.resize(table.features.shape[0], feature_dim)
        return
    raise ClientError(
        f"The feature dimension of the data in channel '{name}' is {width}, but the feature_dim hyperparameter is {feature_dim}. For "
        "text/csv the first column is a label unless the content type says label_size=0."
    )


def _configuration(cause: str) -> ClientError:
    text = "Unable to initialize the algorithm. Failed to validate input data configuration."
    return ClientError(text, "ValidationError", cause)


def _check_finite(table: Table, name: str) -> None:
    values = table.features if isinstance(table.features, np.ndarray) else table.features.data
    for what, numbers in (("features", values), ("labels", table.labels)):
        if numbers is not None and not np.isfinite(numbers).all():
            raise ClientError(f"The {what} of channel '{name}' contain values that are no finite numbers (NaN or infinity).")


def _files(folder: str, mode: str | None) -> list[str]:
    """Every data file below a channel, or the first epoch's pipe."""
    if mode == "Pipe":
        return [folder + "_0"]
    found = []
    for root, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        found += [os.path.join(root, name) for name in sorted(names) if not name.startswith((".", "_"))]
    return [path for path in found if os.path.getsize(path)]


def _recordio(files: list[str]) -> Table:
    whole = []
    for path in files:
        with open(path, "rb") as file:
            whole.append(file.read())
    if not any(whole):
        return Table(np.empty((0, 0), np.float32), None)
    rows, labels = recordio.read_matrix(b"".join(whole))
    if labels is not None and len(labels) != rows.shape[0]:
        raise ValueError(f"{len(labels)} labels for {rows.shape[0]} records")
    return Table(rows, labels)


def _csv(files: list[str], label_size: int) -> Table:
    if label_size not in (0, 1):
        raise ValueError(f"label_size is {label_size}; it must be 0 or 1")
    tables = [np.loadtxt(path, np.float32, comments=None, delimiter=",", ndmin=2) for path in files]
    if not tables:
        return Table(np.empty((0, 0), np.float32), None)
    widths = sorted({table.shape[1] for table in tables})
    if len(widths) > 1:
        raise ValueError(f"the files have different numbers of columns: {widths}")
    whole = np.vstack(tables)
    return Table(np.ascontiguousarray(whole[:, label_size:]), whole[:, 0].copy() if label_size else None)
