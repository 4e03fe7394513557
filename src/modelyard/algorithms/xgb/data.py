"""Training data: files of a channel read into one xgboost.DMatrix, with AWS's checks and messages."""

from __future__ import annotations

import csv
import logging
import os
import re
import tempfile
import time

import numpy as np

from .. import recordio
from ..errors import UserError, without_stack
from .content import CSV, LIBSVM, PARQUET
from .engine import matrix, xgboost

DEPTH = 3
SMALL = 8 << 20
DELIMITERS = ",\t;| :"
NUMBER = re.compile(r"\s*([+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf(inity)?|nan)|na|n/a|null|none|<na>)?\s*", re.IGNORECASE)


def load(folder: str, kind: str, weights: bool) -> xgboost.DMatrix | None:
    """The data of a channel folder, label first; None when the channel is missing or empty. Raises UserError."""
    files = _files(folder)
    if not sum(os.path.getsize(path) for path in files):
        return None
    if kind == CSV:
        matrix = _csv(files, folder, weights)
    elif kind == LIBSVM:
        matrix = _libsvm(files)
    elif kind == PARQUET:
        matrix = _guard("parquet", lambda: _parquet(files))
    else:
        matrix = _guard("recordio-protobuf", lambda: _recordio(files))
    if matrix.get_label().size == 0:
        raise UserError("Got input data without labels. Please check the input data set.")
    return matrix


def _files(folder: str) -> list[str]:
    """The data files under a channel, at most three folders deep; hidden files are an error, as in AWS's container."""
    if os.path.isfile(folder):
        return [folder]
    found = []
    for root, folders, names in os.walk(folder):
        folders.sort()
        if os.path.relpath(root, folder).count(os.sep) >= DEPTH - 1 and folders:
            logging.warning(f"The depth of folder {folder} exceed the limit {DEPTH}. Files in deeper sub dirs won't be loaded.")
            folders.clear()
        for name in sorted(names):
            if name.startswith("."):
                raise UserError("Hidden file found in the data path! Remove that before training.")
            if not name.startswith("_"):
                found.append(os.path.join(root, name))
    return found


def _guard(kind: str, load_it: object) -> xgboost.DMatrix:
    try:
        return load_it()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"Failed to load {kind} data with exception:\n{without_stack(error)}") from error


def _csv(files: list[str], folder: str, weights: bool) -> xgboost.DMatrix:
    delimiter = ","
    filled = [path for path in files if os.path.getsize(path)]
    for path in filled:
        with open(path, errors="ignore") as file:
            line = file.readline()
        delimiter = _delimiter(line)
        _check_first_line(line, delimiter, os.path.basename(path))
    logging.info(f"Determined delimiter of CSV input is '{delimiter}'")

    def build() -> xgboost.DMatrix:
        table = np.vstack(_same_width([_read_csv(path, delimiter) for path in filled]))
        first = 2 if weights else 1
        if table.shape[1] <= first:
            raise ValueError(f"The data has {table.shape[1]} columns: there is no feature after the label")
        built = matrix(table[:, first:], label=table[:, 0], weight=table[:, 1] if weights else None)
        _say_loaded(built, int((~np.isnan(table[:, first:])).sum()), f"{folder}?format=csv&label_column=0&delimiter={delimiter}")
        return built

    return _guard("csv", build)


def _delimiter(line: str) -> str:
    try:
        found = csv.Sniffer().sniff(line, DELIMITERS).delimiter
    except csv.Error as error:
        raise UserError(f"Could not determine delimiter on line {line[:50]}:\n{error}") from error
    logging.info(f"Determined delimiter of CSV input is '{found}'")
    return found


def _check_first_line(line: str, delimiter: str, name: str) -> None:
    for value in line.rstrip("\r\n").split(delimiter):
        if not NUMBER.fullmatch(value.strip().strip('"')):
            raise UserError(
                f"Non-numeric value '{value.strip()[:50]}' found in the header line '{line.strip()[:50]}...' of file '{name}'. "
                "CSV format require no header line in it. If header line is already removed, "
                "XGBoost does not support non-numeric values in the data."
            )


def _read_csv(path: str, delimiter: str) -> np.ndarray:
    """A table of float32, empty values NaN. numpy reads small files without gaps, which spares the import of pandas."""
    if os.path.getsize(path) < SMALL:
        try:
            return np.loadtxt(path, np.float32, comments=None, delimiter=delimiter, ndmin=2)
        except ValueError:
            pass
    import pandas

    return pandas.read_csv(path, header=None, sep=delimiter, dtype=np.float32, skip_blank_lines=True, engine="c").to_numpy()


def _same_width(tables: list[np.ndarray]) -> list[np.ndarray]:
    widths = {table.shape[1] for table in tables}
    if len(widths) > 1:
        raise ValueError(f"The files have different numbers of columns: {sorted(widths)}")
    return tables


def _say_loaded(matrix: xgboost.DMatrix, entries: int, source: str) -> None:
    """The line that XGBoost itself prints when it reads a text file."""
    stamp = time.strftime("%H:%M:%S", time.gmtime())
    print(f"[{stamp}] {matrix.num_row()}x{matrix.num_col()} matrix with {entries} entries loaded from {source}", flush=True)


def _libsvm(files: list[str]) -> xgboost.DMatrix:
    filled = [path for path in files if os.path.getsize(path)]
    for path in filled:
        _check_libsvm(path)

    def build() -> xgboost.DMatrix:
        if len(filled) == 1:
            return matrix(f"{filled[0]}?format=libsvm")
        with tempfile.TemporaryDirectory(prefix="sagemaker_xgboost_input_data") as folder:
            with open(os.path.join(folder, "data"), "wb") as whole:
                for path in filled:
                    with open(path, "rb") as part:
                        text = part.read()
                    whole.write(text if text.endswith(b"\n") else text + b"\n")
            return matrix(f"{folder}/data?format=libsvm")

    return _guard("libsvm", build)


def _check_libsvm(path: str) -> None:
    """Check lines up to the first that has two features, as the container does."""
    name = os.path.basename(path)
    with open(path, errors="ignore") as file:
        for line in file:
            label, *features = line.split()[:50] or [""]
            parts = label.split(":")
            good = len(parts) <= 2 and all(NUMBER.fullmatch(p) and p for p in parts) and all(f.count(":") == 1 for f in features)
            if not good:
                raise UserError(
                    f"First line '{line[:50]}...' of file '{name}' is not 'LIBSVM' format. Please ensure the file is in 'LIBSVM' format."
                )
            if len(features) > 1:
                return
    logging.warning(f"File {name} is not an invalid LIBSVM file but has no features. Accepting simple validation.")


def _parquet(files: list[str]) -> xgboost.DMatrix:
    import pyarrow.parquet

    tables = [pyarrow.parquet.read_table(path).to_pandas().to_numpy(dtype=np.float32) for path in files]
    table = np.vstack(_same_width(tables))
    return matrix(table[:, 1:], label=table[:, 0])


def _recordio(files: list[str]) -> xgboost.DMatrix:
    whole = b""
    for path in files:
        with open(path, "rb") as file:
            whole += file.read()
    features, labels = recordio.read_matrix(whole)
    return matrix(features, label=labels)
