"""Calls of the rest of IAM by a real client, each looked at: users' credentials, certificates, providers, the account, reports."""

from __future__ import annotations

import csv
import datetime
import io
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from modelyard.kernel.clock import real_now
from modelyard.services.iam import totp
from tests.services.iam.conftest import ACCOUNT

USER = {"UserName": "bea"}
TAG = [{"Key": "team", "Value": "ml"}]
METADATA = (
    '<?xml version="1.0"?><EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.example.com" '
    f'validUntil="2030-01-01T00:00:00Z"><!--{"x" * 1000}--><IDPSSODescriptor/></EntityDescriptor>'
)


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()


def certificate(key: rsa.RSAPrivateKey, host: str = "example.com") -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    begins = datetime.datetime(2024, 1, 1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
    )
    signed = made.not_valid_before(begins).not_valid_after(begins + datetime.timedelta(days=4000)).sign(key, hashes.SHA256())
    return signed.public_bytes(s.Encoding.PEM).decode()


def tags(client: Any, what: str, **which: str) -> None:
    getattr(client, f"tag_{what}")(Tags=[{"Key": "a", "Value": "1"}, *TAG], **which)
    getattr(client, f"untag_{what}")(TagKeys=["A"], **which)
    assert getattr(client, f"list_{what}_tags")(**which)["Tags"] == TAG


def passwords(client: Any, as_bea: Any) -> None:
    made = client.create_login_profile(Password="correct-Horse-1", PasswordResetRequired=True, **USER)["LoginProfile"]
    assert made["UserName"] == "bea" and made["PasswordResetRequired"]
    client.update_account_password_policy(MinimumPasswordLength=12, RequireSymbols=True, AllowUsersToChangePassword=True)
    assert client.get_account_password_policy()["PasswordPolicy"]["MinimumPasswordLength"] == 12
    as_bea.change_password(OldPassword="correct-Horse-1", NewPassword="another-Horse-2")
    assert not client.get_login_profile(**USER)["LoginProfile"]["PasswordResetRequired"]
    client.update_login_profile(Password="yet-another-Horse", **USER)
    client.delete_login_profile(**USER)
    client.delete_account_password_policy()


def devices(client: Any) -> None:
    made = client.create_virtual_mfa_device(VirtualMFADeviceName="bea-phone", Tags=TAG)["VirtualMFADevice"]
    assert made["QRCodePNG"].startswith(b"\x89PNG") and len(made["Base32StringSeed"]) == 64
    serial, seed, step = made["SerialNumber"], made["Base32StringSeed"].decode(), totp.step_at(real_now())
    codes = {"AuthenticationCode1": totp.code(seed, step), "AuthenticationCode2": totp.code(seed, step + 1)}
    client.enable_mfa_device(SerialNumber=serial, **codes, **USER)
    assert [d["SerialNumber"] for d in client.list_mfa_devices(**USER)["MFADevices"]] == [serial]
    assert client.get_mfa_device(SerialNumber=serial, **USER)["UserName"] == "bea"
    [shown] = client.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
    assert shown["User"]["UserName"] == "bea" and "Base32StringSeed" not in shown
    codes = {"AuthenticationCode1": totp.code(seed, step + 2), "AuthenticationCode2": totp.code(seed, step + 3)}
    client.resync_mfa_device(SerialNumber=serial, **codes, **USER)
    tags(client, "mfa_device", SerialNumber=serial)
    client.deactivate_mfa_device(SerialNumber=serial, **USER)
    client.delete_virtual_mfa_device(SerialNumber=serial)


def git_credentials(client: Any) -> None:
    git = {"ServiceName": "codecommit.amazonaws.com", **USER}
    made = client.create_service_specific_credential(**git)["ServiceSpecificCredential"]
    assert made["ServiceUserName"] == f"bea-at-{ACCOUNT}" and len(made["ServicePassword"]) > 40
    one = {"ServiceSpecificCredentialId": made["ServiceSpecificCredentialId"], **USER}
    again = client.reset_service_specific_credential(**one)["ServiceSpecificCredential"]
    assert again["ServicePassword"] != made["ServicePassword"]
    client.update_service_specific_credential(Status="Inactive", **one)
    [listed] = client.list_service_specific_credentials(**git)["ServiceSpecificCredentials"]
    assert listed["Status"] == "Inactive" and "ServicePassword" not in listed
    client.delete_service_specific_credential(**one)


def ssh_keys(client: Any) -> None:
    body = new_key().public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode()
    made = client.upload_ssh_public_key(SSHPublicKeyBody=body, **USER)["SSHPublicKey"]
    assert made["SSHPublicKeyId"].startswith("APKA") and made["Fingerprint"].count(":") == 15
    one = {"SSHPublicKeyId": made["SSHPublicKeyId"], **USER}
    assert client.get_ssh_public_key(Encoding="SSH", **one)["SSHPublicKey"]["SSHPublicKeyBody"] == body
    assert client.get_ssh_public_key(Encoding="PEM", **one)["SSHPublicKey"]["SSHPublicKeyBody"].startswith("-----BEGIN PUBLIC KEY")
    client.update_ssh_public_key(Status="Inactive", **one)
    assert client.list_ssh_public_keys(**USER)["SSHPublicKeys"][0]["Status"] == "Inactive"
    client.delete_ssh_public_key(**one)


def certificates(client: Any) -> None:
    key = new_key()
    body = certificate(key)
    made = client.upload_signing_certificate(CertificateBody=body, **USER)["Certificate"]
    one = {"CertificateId": made["CertificateId"], **USER}
    client.update_signing_certificate(Status="Inactive", **one)
    [listed] = client.list_signing_certificates(**USER)["Certificates"]
    assert listed["Status"] == "Inactive" and listed["CertificateBody"] == body
    client.delete_signing_certificate(**one)
    name = {"ServerCertificateName": "web"}
    told = client.upload_server_certificate(CertificateBody=body, PrivateKey=pem(key), CertificateChain=body, Path="/x/", Tags=TAG, **name)
    assert told["ServerCertificateMetadata"]["Expiration"].year == 2034
    assert "PRIVATE" not in str(client.get_server_certificate(**name))
    tags(client, "server_certificate", **name)
    client.update_server_certificate(NewServerCertificateName="site", NewPath="/y/", **name)
    [listed] = client.list_server_certificates(PathPrefix="/y/")["ServerCertificateMetadataList"]
    assert listed["Arn"] == f"arn:aws:iam::{ACCOUNT}:server-certificate/y/site"
    assert client.list_server_certificate_tags(ServerCertificateName="site")["Tags"] == TAG, "tags move along"
    client.delete_server_certificate(ServerCertificateName="site")


def providers(client: Any) -> None:
    arn = client.create_open_id_connect_provider(Url="https://idp.example.com/x", ClientIDList=["a"], ThumbprintList=["b" * 40])
    one = {"OpenIDConnectProviderArn": arn["OpenIDConnectProviderArn"]}
    assert one["OpenIDConnectProviderArn"] == f"arn:aws:iam::{ACCOUNT}:oidc-provider/idp.example.com/x"
    client.add_client_id_to_open_id_connect_provider(ClientID="c", **one)
    client.remove_client_id_from_open_id_connect_provider(ClientID="a", **one)
    client.update_open_id_connect_provider_thumbprint(ThumbprintList=["d" * 40], **one)
    got = client.get_open_id_connect_provider(**one)
    assert (got["Url"], got["ClientIDList"], got["ThumbprintList"]) == ("idp.example.com/x", ["c"], ["d" * 40])
    assert len(client.list_open_id_connect_providers()["OpenIDConnectProviderList"]) == 1
    tags(client, "open_id_connect_provider", **one)
    client.delete_open_id_connect_provider(**one)
    saml = {"SAMLProviderArn": client.create_saml_provider(Name="corp", SAMLMetadataDocument=METADATA, Tags=TAG)["SAMLProviderArn"]}
    client.update_saml_provider(SAMLMetadataDocument=METADATA, **saml)
    got = client.get_saml_provider(**saml)
    assert got["SAMLMetadataDocument"] == METADATA and got["ValidUntil"].year == 2030
    assert client.list_saml_providers()["SAMLProviderList"][0]["Arn"] == saml["SAMLProviderArn"]
    tags(client, "saml_provider", **saml)
    client.delete_saml_provider(**saml)


def account(client: Any) -> None:
    client.create_account_alias(AccountAlias="yard")
    assert client.list_account_aliases()["AccountAliases"] == ["yard"]
    client.delete_account_alias(AccountAlias="yard")
    client.set_security_token_service_preferences(GlobalEndpointTokenVersion="v2Token")
    assert client.get_account_summary()["SummaryMap"]["GlobalEndpointTokenVersion"] == 2
    client.create_instance_profile(InstanceProfileName="P2")
    tags(client, "instance_profile", InstanceProfileName="P2")
    role = client.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="x")["Role"]["RoleName"]
    task = client.delete_service_linked_role(RoleName=role)["DeletionTaskId"]
    assert client.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    client.create_group(GroupName="before")
    client.add_user_to_group(GroupName="before", **USER)
    client.update_group(GroupName="before", NewGroupName="after", NewPath="/g/")
    assert [group["Arn"] for group in client.list_groups_for_user(**USER)["Groups"]] == [f"arn:aws:iam::{ACCOUNT}:group/g/after"]


def reports(client: Any, key: str) -> None:
    used = client.get_access_key_last_used(AccessKeyId=key)
    assert used["UserName"] == "bea" and used["AccessKeyLastUsed"]["ServiceName"] == "iam"
    assert client.generate_credential_report()["State"] == "STARTED"
    assert client.generate_credential_report()["State"] == "COMPLETE"
    rows = list(csv.DictReader(io.StringIO(client.get_credential_report()["Content"].decode())))
    bea = next(row for row in rows if row["user"] == "bea")
    assert (bea["access_key_1_active"], bea["access_key_1_last_used_service"], bea["mfa_active"]) == ("true", "iam", "false")
    arn = f"arn:aws:iam::{ACCOUNT}:user/bea"
    client.attach_user_policy(PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess", **USER)
    job = client.generate_service_last_accessed_details(Arn=arn)["JobId"]
    services = {row["ServiceNamespace"]: row for row in client.get_service_last_accessed_details(JobId=job)["ServicesLastAccessed"]}
    assert services["iam"]["LastAuthenticatedEntity"] == arn and "s3" not in services
    [entity] = client.get_service_last_accessed_details_with_entities(JobId=job, ServiceNamespace="iam")["EntityDetailsList"]
    assert entity["EntityInfo"]["Name"] == "bea" and entity["LastAuthenticated"]
    [granting] = client.list_policies_granting_service_access(Arn=arn, ServiceNamespaces=["iam"])["PoliciesGrantingServiceAccess"]
    assert [policy["PolicyName"] for policy in granting["Policies"]] == ["IAMFullAccess"]
    pages = client.get_paginator("get_account_authorization_details").paginate(PaginationConfig={"PageSize": 7})
    found = [
        item for page in pages for item in (*page["UserDetailList"], *page["RoleDetailList"], *page["GroupDetailList"], *page["Policies"])
    ]
    assert len({item["Arn"] for item in found}) == len(found) > 7
    users = client.get_account_authorization_details(Filter=["User"])["UserDetailList"]
    user = next(one for one in users if one["UserName"] == "bea")
    assert user["GroupList"] == ["after"] and user["AttachedManagedPolicies"][0]["PolicyName"] == "IAMFullAccess"


def everything(client: Any, of_user: Any) -> None:
    """`of_user(keys)` is an IAM client of a user."""
    client.create_user(UserName="carl")
    client.update_user(UserName="carl", NewUserName="bea")
    key = client.create_access_key(**USER)["AccessKey"]
    passwords(client, of_user(key))
    devices(client)
    git_credentials(client)
    ssh_keys(client)
    certificates(client)
    providers(client)
    account(client)
    reports(client, key["AccessKeyId"])
