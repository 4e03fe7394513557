"""GetAccountSummary: how many of what an account has, and IAM's quotas."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.service import Call
from modelyard.services.iam import api, names
from modelyard.services.iam.access_key import MAX_KEYS
from modelyard.services.iam.entity_policies import INLINE_BYTES, MAX_ATTACHED
from modelyard.services.iam.policy import MAX_DOCUMENT
from modelyard.services.iam.policy_version import MAX_VERSIONS

_COUNTED = {"Users": names.USER, "Groups": names.GROUP, "Roles": names.ROLE, "Policies": names.POLICY}


@api.operation
def get_account_summary(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    counts = {word: len(call.store.list(kind.kind, call.account, names.GLOBAL)) for word, kind in _COUNTED.items()}
    return {
        "SummaryMap": {
            **counts,
            "AccessKeysPerUserQuota": MAX_KEYS,
            "AttachedPoliciesPerGroupQuota": MAX_ATTACHED,
            "AttachedPoliciesPerRoleQuota": MAX_ATTACHED,
            "AttachedPoliciesPerUserQuota": MAX_ATTACHED,
            "AccountAccessKeysPresent": 1,
            "AccountMFAEnabled": 0,
            "GroupPolicySizeQuota": INLINE_BYTES["group"],
            "RolePolicySizeQuota": INLINE_BYTES["role"],
            "UserPolicySizeQuota": INLINE_BYTES["user"],
            "PolicySizeQuota": MAX_DOCUMENT,
            "VersionsPerPolicyQuota": MAX_VERSIONS,
        }
    }
