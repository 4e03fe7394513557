"""What group policies say in authorisation: about a group, and about the versions in it, also for other accounts."""

from __future__ import annotations

from typing import Any

from modelyard.services.iam.resource_documents import PoliciesOf


def find(platform: Any, arn: str) -> tuple[dict[str, Any] | None, str | None]:
    """The policy document that speaks about this ARN, and the account that owns it."""
    parts = arn.split(":", 5)
    kind, _, name = parts[5].partition("/")
    group = platform.store.by_arn(":".join([*parts[:5], f"model-package-group/{name.partition('/')[0].lower()}"]))
    versioned = kind == "model-package-group" or "/" in name
    policy = group.spec.get("policy") if group is not None and versioned else None
    return (policy["document"] if policy else None), parts[4] or None


def install(platform: Any) -> PoliciesOf:
    found = PoliciesOf((":model-package/", ":model-package-group/"), lambda arn: find(platform, arn))
    platform.parts.setdefault("resource_policies", {})["sagemaker"] = found
    return found
