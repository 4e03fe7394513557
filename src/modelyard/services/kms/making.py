"""New key material, sealed, as records keep it."""

from __future__ import annotations

from typing import Any

from modelyard.services.kms.keyring import sealed_for
from modelyard.services.kms.material import material_id, new_material
from modelyard.services.kms.root import Root
from modelyard.services.kms.specs import SPECS


def key_arn(account: str, region: str, name: str) -> str:
    return f"arn:aws:kms:{region}:{account}:key/{name}"


def first_material(root: Root, arn: str, spec: str, now: float) -> dict[str, Any]:
    return sealed_material(root, arn, new_material(SPECS[spec]), now)


def sealed_material(root: Root, arn: str, material: bytes, now: float, how: str = "") -> dict[str, Any]:
    """`how` it came: "" with the key, AUTOMATIC or ON_DEMAND by rotation."""
    name = material_id(material, arn)
    return {"Id": name, "Sealed": root.seal(material, sealed_for(arn, name)), "At": now, "How": how}
