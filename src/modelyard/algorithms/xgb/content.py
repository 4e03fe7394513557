"""Content types of the algorithm and what they mean."""

from __future__ import annotations

import functools

from ..errors import UserError

CSV, LIBSVM, PARQUET, RECORDIO = "csv", "libsvm", "parquet", "recordio-protobuf"
ACCEPTED = [
    CSV, LIBSVM, PARQUET, RECORDIO, "text/csv", "text/libsvm", "text/x-libsvm", "application/x-parquet", "application/x-recordio-protobuf",
]  # fmt: skip
KINDS = {
    "csv": CSV, "text/csv": CSV, "libsvm": LIBSVM, "text/libsvm": LIBSVM, "text/x-libsvm": LIBSVM, "parquet": PARQUET,
    "application/x-parquet": PARQUET, "recordio-protobuf": RECORDIO, "application/x-recordio-protobuf": RECORDIO,
}  # fmt: skip


@functools.lru_cache(256)
def parse(value: str | None) -> tuple[str, dict[str, str]]:
    """`Text/CSV; label_size=1` as ("text/csv", {"label_size": "1"})."""
    main, *rest = (value or "").lower().split(";")
    pairs = (part.partition("=") for part in rest)
    return main.strip(), {name.strip(): text.strip().strip('"') for name, _, text in pairs}


def kind(value: str | None) -> str:
    """One of CSV, LIBSVM, PARQUET, RECORDIO; nothing given means libsvm. Raises UserError with AWS's texts."""
    if value is None:
        return LIBSVM
    main, parameters = parse(value)
    found = KINDS.get(main)
    if found is None:
        raise UserError(f"{value} is not an accepted ContentType: {', '.join(ACCEPTED)}.")
    if found == CSV and parameters.get("label_size", "1") != "1":
        raise UserError(f"{value} is not an accepted csv ContentType. Optional parameter label_size must be equal to 1")
    return found
