"""Writes services/iam/data/managed_policies.zip: the AWS-managed policies, with the documents that AWS publishes.

    python tools/make_managed_policies.py path/to/iam-dataset/aws/managedpolicies

The folder is that of the public `iam-dataset` (MIT), which reads it from IAM. Deprecated policies are left out, as ListPolicies leaves them out.
What it lacks is in `tools/managed_policies.toml`: descriptions, policy ids, and whole policies.
"""

from __future__ import annotations

import json
import sys
import tomllib
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE.parent / "src/modelyard/services/iam/data/managed_policies.zip"
PREFIX = "arn:aws:iam::aws:policy"


def main(folder: Path) -> None:
    more = tomllib.loads((HERE / "managed_policies.toml").read_text())
    found = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    rows = {row["arn"]: row for row in (row_of(one) for one in found if "arn" in one and not one["deprecated"])}
    for name, one in more["policies"].items():
        rows.setdefault(f"{PREFIX}/{name}", row_of({**one, "arn": f"{PREFIX}/{name}", "document": json.loads(one["document"])}))
    index, documents = [], b""
    for arn in sorted(rows):
        row = rows[arn]
        document = json.dumps(row.pop("document"), separators=(",", ":")).encode()
        name = arn.removeprefix(f"{PREFIX}/").rpartition("/")[2]
        told = {key: more[table][name] for key, table in (("description", "descriptions"), ("id", "ids")) if name in more[table]}
        index.append({**row, **told, "at": len(documents), "length": len(document)})
        documents += document
    with zipfile.ZipFile(OUT, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for member, data in (("index.json", json.dumps(index, separators=(",", ":")).encode()), ("documents", documents)):
            archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
    print(f"{OUT.name}: {len(index)} policies, {OUT.stat().st_size:,} bytes")


def row_of(one: dict[str, Any]) -> dict[str, Any]:
    """`updated` is the date of the default version (epoch seconds): the data set does not tell when a policy was made."""
    updated = datetime.fromisoformat(one["updatedate"]).timestamp()
    return {"arn": one["arn"], "version": one["version"], "updated": updated, "document": one["document"]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
