"""Writes services/iam/data/managed_policies.zip: the AWS-managed policies, with the documents that AWS publishes.

    python tools/make_managed_policies.py path/to/moto/iam/aws_managed_policies.py

The file is that of the `moto` package (Apache-2.0), which reads it from IAM; moto is needed here only: unpack its wheel in a
throw-away folder. What it lacks is in `tools/managed_policies.toml`: descriptions, policy ids, and whole policies.
"""

from __future__ import annotations

import json
import runpy
import sys
import tomllib
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE.parent / "src/modelyard/services/iam/data/managed_policies.zip"
PREFIX = "arn:aws:iam::aws:policy"


def main(source: Path) -> None:
    more = tomllib.loads((HERE / "managed_policies.toml").read_text())
    found = json.loads(runpy.run_path(str(source))["aws_managed_policies_data"])
    for name, one in more.get("policies", {}).items():
        found.setdefault(name, {**one, "Document": json.loads(one["Document"])})
    rows = sorted((row_of(name, one) for name, one in found.items()), key=lambda row: row["arn"])
    index, documents = [], b""
    for row in rows:
        document = json.dumps(row.pop("document"), separators=(",", ":")).encode()
        name = row["arn"].rpartition("/")[2]
        told = {key: more[table][name] for key, table in (("description", "descriptions"), ("id", "ids")) if name in more[table]}
        index.append({**row, **told, "at": len(documents), "length": len(document)})
        documents += document
    with zipfile.ZipFile(OUT, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for member, data in (("index.json", json.dumps(index, separators=(",", ":")).encode()), ("documents", documents)):
            archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
    print(f"{OUT.name}: {len(index)} policies, {OUT.stat().st_size:,} bytes")


def row_of(name: str, one: dict[str, Any]) -> dict[str, Any]:
    """`created` is when the policy was made, `updated` when its default version was; epoch seconds."""
    created, updated = (datetime.fromisoformat(one[key]).timestamp() for key in ("CreateDate", "UpdateDate"))
    arn = f"{PREFIX}{one['Path']}{name}"
    return {"arn": arn, "version": one["DefaultVersionId"], "created": created, "updated": updated, "document": one["Document"]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
