"""IAM: identities, their policies, and the evaluation of every call (`identity.py`)."""

from modelyard.kernel.service import Service

api = Service("iam")

from modelyard.services.iam import (  # noqa: E402, F401
    access_key,
    access_report,
    account,
    authorization_details,
    credential_report,
    group,
    group_policies,
    instance_profile,
    login_profile,
    mfa_device,
    oidc_provider,
    policy,
    policy_version,
    role,
    role_policies,
    saml_provider,
    server_certificate,
    service_credential,
    service_linked_role,
    signing_certificate,
    simulate,
    ssh_key,
    summary,
    user,
    user_policies,
)
