"""ARNs, kinds and the answers' common fields of IAM resources."""

from __future__ import annotations

from modelyard.kernel.lifecycle import static
from modelyard.kernel.records import Record
from modelyard.kernel.store import Store

GLOBAL = "global"
ACCOUNT = static("iam-account")
ROLE = static("iam-role")
USER = static("iam-user")
GROUP = static("iam-group")
POLICY = static("iam-policy")
INSTANCE_PROFILE = static("iam-instance-profile")
ACCESS_KEY = static("iam-access-key")
MFA_DEVICE = static("iam-mfa-device")
SERVICE_CREDENTIAL = static("iam-service-credential")
SSH_KEY = static("iam-ssh-key")
SIGNING_CERTIFICATE = static("iam-signing-certificate")
SERVER_CERTIFICATE = static("iam-server-certificate")
OIDC_PROVIDER = static("iam-oidc-provider")
SAML_PROVIDER = static("iam-saml-provider")
CREDENTIAL_REPORT = static("report-of-credentials")
ACCESS_JOB = static("report-of-access")
ROLE_DELETION = static("report-of-role-deletion")
"""The kinds of reports do not begin with `iam-`: they change nobody's permissions (changes.py)."""

ADMINISTRATOR_ACCESS = "arn:aws:iam::aws:policy/AdministratorAccess"


def arn(account: str, resource: str, path: str, name: str) -> str:
    """`arn:aws:iam::A:role/path/name`; paths begin and end with a slash."""
    return f"arn:aws:iam::{account}:{resource}{path}{name}"


def root_arn(account: str) -> str:
    return f"arn:aws:iam::{account}:root"


def session_arn(account: str, role_name: str, session_name: str) -> str:
    return f"arn:aws:sts::{account}:assumed-role/{role_name}/{session_name}"


def of_name(store: Store, kind: str, account: str, name: str) -> Record | None:
    """The account's resource of a name in any case, as requests name it. Whatever decides on a request goes by the record found, never
    by the name as it was written: a policy about role `Admin` is about a request for `admin` too."""
    record = store.get(kind, account, GLOBAL, name)
    if record is None:
        record = next((one for one in store.list(kind, account, GLOBAL, contains=name) if one.name.lower() == name.lower()), None)
    return record


def split_role_arn(role_arn: str) -> tuple[str, str] | None:
    """(account, role name) of a role's ARN; None where it is not one."""
    parts = role_arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "iam" or not parts[5].startswith("role/") or len(parts[5]) < 6:
        return None
    return parts[4], parts[5].rsplit("/", 1)[-1]
