"""IAM: identities, their policies, and the evaluation of every call (`identity.py`)."""

from modelyard.kernel.service import Service

api = Service("iam")

from modelyard.services.iam import (  # noqa: E402, F401
    access_key,
    group,
    group_policies,
    instance_profile,
    policy,
    policy_version,
    role,
    role_policies,
    service_linked_role,
    simulate,
    summary,
    user,
    user_policies,
)
