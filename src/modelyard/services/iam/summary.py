"""GetAccountSummary: how many of what an account has, and IAM's quotas."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.service import Call
from modelyard.services.iam import account, api, names
from modelyard.services.iam.access_key import MAX_KEYS
from modelyard.services.iam.entity_policies import INLINE_BYTES, MAX_ATTACHED
from modelyard.services.iam.group import MAX_GROUPS
from modelyard.services.iam.policy import MAX_DOCUMENT, attachments
from modelyard.services.iam.policy_version import MAX_VERSIONS
from modelyard.services.iam.role import MAX_TRUST
from modelyard.services.iam.signing_certificate import MAX_CERTIFICATES

_COUNTED = {
    "Users": names.USER,
    "Groups": names.GROUP,
    "Roles": names.ROLE,
    "Policies": names.POLICY,
    "InstanceProfiles": names.INSTANCE_PROFILE,
    "ServerCertificates": names.SERVER_CERTIFICATE,
    "MFADevices": names.MFA_DEVICE,
}
QUOTAS = {
    "AccessKeysPerUserQuota": MAX_KEYS,
    "AssumeRolePolicySizeQuota": MAX_TRUST,
    "AttachedPoliciesPerGroupQuota": MAX_ATTACHED,
    "AttachedPoliciesPerRoleQuota": MAX_ATTACHED,
    "AttachedPoliciesPerUserQuota": MAX_ATTACHED,
    "GroupPolicySizeQuota": INLINE_BYTES["group"],
    "GroupsPerUserQuota": MAX_GROUPS,
    "GroupsQuota": 300,
    "InstanceProfilesQuota": 1000,
    "PoliciesQuota": 1500,
    "PolicySizeQuota": MAX_DOCUMENT,
    "PolicyVersionsInUseQuota": 10_000,
    "RolePolicySizeQuota": INLINE_BYTES["role"],
    "RolesQuota": 1000,
    "ServerCertificatesQuota": 20,
    "SigningCertificatesPerUserQuota": MAX_CERTIFICATES,
    "UserPolicySizeQuota": INLINE_BYTES["user"],
    "UsersQuota": 5000,
    "VersionsPerPolicyQuota": MAX_VERSIONS,
}


@api.operation
def get_account_summary(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    store = call.store
    counts = {word: store.count(kind.kind, call.account, names.GLOBAL) for word, kind in _COUNTED.items()}
    devices = store.list(names.MFA_DEVICE.kind, call.account, names.GLOBAL)
    providers = (names.OIDC_PROVIDER, names.SAML_PROVIDER)
    return {
        "SummaryMap": {
            **counts,
            **QUOTAS,
            "AccountAccessKeysPresent": int(bool(store.children(call.account, names.ACCESS_KEY.kind))),  # of the root user
            "AccountMFAEnabled": 0,
            "AccountPasswordPresent": 0,
            "AccountSigningCertificatesPresent": 0,
            "GlobalEndpointTokenVersion": account.of(call).spec.get("TokenVersion", 1),
            "MFADevicesInUse": sum("UserId" in device.spec for device in devices),
            "PolicyVersionsInUse": len(attachments(call)),
            "Providers": sum(store.count(kind.kind, call.account, names.GLOBAL) for kind in providers),
        }
    }
