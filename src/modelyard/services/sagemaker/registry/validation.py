"""Validation of a model package before it is Completed: each profile is a batch transform job with the package's containers."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import Lifecycle

READY = Lifecycle("model-package", first="Completed", due=False)
"""A package that nothing has to validate."""
VALIDATED = Lifecycle(
    "model-package",
    first="Pending",
    arrows={"Pending": {"InProgress", "Completed", "Failed"}, "InProgress": {"Completed", "Failed"}},
)


def profiles_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The profiles that are to run: SkipModelValidation All skips them."""
    if spec.get("SkipModelValidation") == "All":
        return []
    profiles = (spec.get("ValidationSpecification") or {}).get("ValidationProfiles", [])
    if profiles:
        raise validation(
            "ValidationProfiles are not built yet (they are batch transform jobs): give SkipModelValidation=All, or leave them out."
        )
    return []


def first_state(spec: dict[str, Any]) -> dict[str, Any]:
    return {"validations": [{"Name": profile["ProfileName"], "Status": "NotStarted"} for profile in profiles_of(spec)]}
