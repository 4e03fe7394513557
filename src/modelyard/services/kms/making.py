"""New key material, sealed, as records keep it."""

from __future__ import annotations

from typing import Any

from modelyard.services.kms.keyring import sealed_for
from modelyard.services.kms.material import material_id, new_material
from modelyard.services.kms.root import Root
from modelyard.services.kms.specs import SPECS


def key_arn(account: str, region: str, name: str) -> str:
    return f"arn:aws:kms:{region}:{account}:key/{name}"


def first_material(root: Root, home: str, spec: str, now: float) -> dict[str, Any]:
    """{Id, Sealed, At, How} for the key(s) of this home (family.py); How: "" with the key, AUTOMATIC or ON_DEMAND by rotation."""
    material = new_material(SPECS[spec])
    name = material_id(material, home)
    return {"Id": name, "Sealed": root.seal(material, sealed_for(home, name)), "At": now, "How": ""}
