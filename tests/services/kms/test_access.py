"""Who may use a key: key policy first, IAM where the key policy lets it, grants, and other services in a caller's name."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Call
from modelyard.services.kms import api
from tests.services.kms.test_keys import refused
from tests.support import inproc
from tests.support.platform import ACCOUNT

ROOT = f"arn:aws:iam::{ACCOUNT}:root"


@pytest.fixture
def user(yard):
    """Makes a user with these statements (none: no permissions); answers (client, arn)."""
    iam = yard.client("iam")

    def make(name: str, *statements: dict):
        arn = iam.create_user(UserName=name)["User"]["Arn"]
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return inproc.client(yard.gateway, "kms", key=key["AccessKeyId"], secret=key["SecretAccessKey"]), arn

    return make


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def policy(*statements):
    manage = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["kms:PutKeyPolicy", "kms:Get*", "kms:List*"], "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [manage, *statements]})


def test_iam_counts_only_if_the_key_policy_names_the_account(yard, kms, user):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    may, arn = user("may", allow(["kms:Encrypt", "kms:Decrypt"]))
    cannot, _ = user("cannot")
    blob = may.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    text = refused("AccessDeniedException", cannot.decrypt, "no identity-based policy allows the kms:Decrypt action", CiphertextBlob=blob)
    assert f"key/{key}" in text
    kms.put_key_policy(KeyId=key, Policy=policy())
    refused("AccessDeniedException", may.decrypt, "no resource-based policy allows the kms:Decrypt action", CiphertextBlob=blob)
    refused("AccessDeniedException", yard.root("kms").decrypt, "no resource-based policy", CiphertextBlob=blob)
    kms.put_key_policy(KeyId=key, Policy=policy({"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "kms:Decrypt", "Resource": "*"}))
    assert may.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert json.loads(kms.get_key_policy(KeyId=key)["Policy"])["Statement"][1]["Principal"] == {"AWS": arn}
    assert kms.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]


REQUESTS = {
    "CreateAlias": {"AliasName": "alias/b", "TargetKeyId": "KEY"},
    "UpdateAlias": {"AliasName": "alias/a", "TargetKeyId": "KEY"},
    "DeleteAlias": {"AliasName": "alias/a"},
    "Decrypt": {"CiphertextBlob": b"BLOB"},
    "ReEncrypt": {"CiphertextBlob": b"BLOB", "DestinationKeyId": "KEY"},
    "GenerateRandom": {"NumberOfBytes": 8},
    "CreateGrant": {"GranteePrincipal": ROOT, "Operations": ["Decrypt"]},
    "RetireGrant": {"GrantId": "GRANT"},
    "RevokeGrant": {"GrantId": "GRANT"},
    "ListRetirableGrants": {"RetiringPrincipal": ROOT},
    "GenerateDataKeyPair": {"KeyPairSpec": "ECC_NIST_P256"},
    "GenerateDataKeyPairWithoutPlaintext": {"KeyPairSpec": "ECC_NIST_P256"},
    "GetParametersForImport": {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
    "ImportKeyMaterial": {"ImportToken": b"x", "EncryptedKeyMaterial": b"x"},
    "Sign": {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"},
    "Verify": {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256", "Signature": b"s"},
    "GenerateMac": {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"},
    "VerifyMac": {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256", "Mac": b"s"},
    "Encapsulate": {"EncapsulationAlgorithm": "ML_KEM"},
    "Decapsulate": {"EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": b"x"},
    "DeriveSharedSecret": {"KeyAgreementAlgorithm": "ECDH", "PublicKey": b"p"},
    "PutKeyPolicy": {"Policy": "{}"},
    "TagResource": {"Tags": [{"TagKey": "a", "TagValue": "b"}]},
    "UntagResource": {"TagKeys": ["a"]},
    "UpdateKeyDescription": {"Description": "d"},
    "Encrypt": {"Plaintext": b"x"},
    "ReplicateKey": {"ReplicaRegion": "eu-west-1"},
    "UpdatePrimaryRegion": {"PrimaryRegion": "eu-west-1"},
}


def test_every_operation_is_denied_to_whom_nothing_allows_it(yard, kms, user):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/a", TargetKeyId=key)
    grant = kms.create_grant(KeyId=key, GranteePrincipal=ROOT, Operations=["Decrypt"])["GrantId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    nobody, _ = user("nobody")
    places = {"KEY": key, "GRANT": grant, b"BLOB": blob}
    for operation in api.operations:
        members = nobody.meta.service_model.operation_model(operation).input_shape.members
        request = {
            name: places.get(value, value) if isinstance(value, (str, bytes)) else value
            for name, value in REQUESTS.get(operation, {}).items()
        }
        if "KeyId" in members and operation not in ("Decrypt", "ListAliases"):
            request["KeyId"] = key
        with pytest.raises(ClientError) as caught:
            getattr(nobody, _method(nobody, operation))(**request)
        assert caught.value.response["Error"]["Code"] == "AccessDeniedException", (operation, caught.value)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


def _method(client, operation):
    return next(name for name, wire in client.meta.method_to_api_mapping.items() if wire == operation)


def test_the_encryption_context_is_a_condition(kms, user):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    condition = {
        "StringEquals": {"kms:EncryptionContext:team": "blue"},
        "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["team"]},
    }
    blue, _ = user("blue", allow("kms:*", Condition=condition))
    blob = blue.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"team": "blue"})["CiphertextBlob"]
    assert blue.decrypt(CiphertextBlob=blob, EncryptionContext={"team": "blue"})["Plaintext"] == b"x"
    refused("AccessDeniedException", blue.encrypt, KeyId=key, Plaintext=b"x")
    refused("AccessDeniedException", blue.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"team": "red"})
    refused("AccessDeniedException", blue.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"team": "blue", "more": "y"})


def test_encrypting_anew_asks_for_both_keys(kms, user):
    key, other = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    same = {"Bool": {"kms:ReEncryptOnSameKey": "true"}}
    inside, _ = user("inside", allow("kms:ReEncrypt*", Condition=same))
    inside.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key)
    refused("AccessDeniedException", inside.re_encrypt, "kms:ReEncryptFrom", CiphertextBlob=blob, DestinationKeyId=other)
    source, _ = user("source", allow("kms:ReEncryptFrom"))
    refused("AccessDeniedException", source.re_encrypt, "kms:ReEncryptTo", CiphertextBlob=blob, DestinationKeyId=other)


def test_facts_of_the_key_and_its_aliases_are_conditions(kms, user):
    key, other = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    kms.create_alias(AliasName="alias/app", TargetKeyId=key)
    by_alias, _ = user("by-alias", allow("kms:Encrypt", Condition={"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/app*"}}))
    by_name, _ = user(
        "by-name", allow("kms:Encrypt", Condition={"StringEquals": {"kms:RequestAlias": "alias/app", "kms:KeySpec": "SYMMETRIC_DEFAULT"}})
    )
    by_alias.encrypt(KeyId=key, Plaintext=b"x")
    refused("AccessDeniedException", by_alias.encrypt, KeyId=other, Plaintext=b"x")
    by_name.encrypt(KeyId="alias/app", Plaintext=b"x")
    refused("AccessDeniedException", by_name.encrypt, KeyId=key, Plaintext=b"x")


def test_grants(kms, user):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    guest, arn = user("guest")
    refused("AccessDeniedException", guest.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})
    given = kms.create_grant(
        KeyId=key, GranteePrincipal=arn, RetiringPrincipal=arn, Operations=["Encrypt", "Decrypt", "DescribeKey"],
        Constraints={"EncryptionContextSubset": {"a": "1"}}, Name="n",
    )  # fmt: skip
    again = kms.create_grant(
        KeyId=key, GranteePrincipal=arn, RetiringPrincipal=arn, Operations=["Encrypt", "Decrypt", "DescribeKey"],
        Constraints={"EncryptionContextSubset": {"a": "1"}}, Name="n",
    )  # fmt: skip
    assert again["GrantId"] == given["GrantId"]
    blob = guest.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1", "b": "2"}, GrantTokens=[given["GrantToken"]])[
        "CiphertextBlob"
    ]
    assert guest.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "1", "b": "2"})["Plaintext"] == b"x"
    refused("AccessDeniedException", guest.encrypt, KeyId=key, Plaintext=b"x")
    refused("AccessDeniedException", guest.generate_data_key, KeyId=key, KeySpec="AES_256", EncryptionContext={"a": "1"})
    assert guest.describe_key(KeyId=key)["KeyMetadata"]["KeyId"] == key
    refused("InvalidGrantTokenException", kms.encrypt, KeyId=key, Plaintext=b"x", GrantTokens=["nothing"])
    listed = kms.list_grants(KeyId=key)["Grants"]
    assert (listed[0]["GrantId"], listed[0]["Constraints"]) == (given["GrantId"], {"EncryptionContextSubset": {"a": "1"}})
    assert [one["GrantId"] for one in kms.list_retirable_grants(RetiringPrincipal=arn)["Grants"]] == [given["GrantId"]]
    guest.retire_grant(GrantToken=given["GrantToken"])
    refused("AccessDeniedException", guest.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})
    exact = kms.create_grant(KeyId=key, GranteePrincipal=arn, Operations=["Encrypt"], Constraints={"EncryptionContextEquals": {"a": "1"}})[
        "GrantId"
    ]
    guest.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})
    refused("AccessDeniedException", guest.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1", "b": "2"})
    kms.revoke_grant(KeyId=key, GrantId=exact)
    refused("AccessDeniedException", guest.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})
    refused("NotFoundException", kms.revoke_grant, KeyId=key, GrantId=exact)
    refused("ValidationException", kms.create_grant, KeyId=key, GranteePrincipal=arn, Operations=["Sign"])
    refused("InvalidArnException", kms.create_grant, KeyId=key, GranteePrincipal="guest", Operations=["Decrypt"])


def _call(yard, service: str, client) -> Call:
    key = client._request_signer._credentials.access_key
    principal = yard.platform.identity.credential(key).principal
    return Call(yard.platform, service, "GetObject", ACCOUNT, "us-east-1", principal, "r")


def test_a_service_uses_a_key_in_its_callers_name(yard, kms, user):
    key = kms.create_key()["KeyMetadata"]["Arn"]
    through_s3 = allow(
        ["kms:GenerateDataKey", "kms:Decrypt"], key, Condition={"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    )
    client, _ = user("via", through_s3)
    refused("AccessDeniedException", client.generate_data_key, KeyId=key, KeySpec="AES_256")
    _, plaintext, blob = yard.platform.kms.data_key(ACCOUNT, "us-east-1", key, {}, call=_call(yard, "s3", client))
    assert yard.platform.kms.decrypt(ACCOUNT, "us-east-1", blob, {}, call=_call(yard, "s3", client)) == (key, plaintext)
    with pytest.raises(ApiError, match=r"AccessDeniedException: User: .* not authorized to perform: kms:Decrypt"):
        yard.platform.kms.decrypt(ACCOUNT, "us-east-1", blob, {}, call=_call(yard, "ssm", client))


def test_an_aws_managed_key_works_through_its_service_only(yard, kms, user):
    nobody, _ = user("nobody")
    arn, _, blob = yard.platform.kms.data_key(ACCOUNT, "us-east-1", "alias/aws/s3", {}, call=_call(yard, "s3", nobody))
    assert yard.platform.kms.decrypt(ACCOUNT, "us-east-1", blob, {}, call=_call(yard, "s3", nobody))[0] == arn
    refused("AccessDeniedException", kms.decrypt, CiphertextBlob=blob)
    refused("AccessDeniedException", kms.encrypt, KeyId="alias/aws/s3", Plaintext=b"x")
    for change in (kms.disable_key, kms.schedule_key_deletion, kms.enable_key_rotation):
        refused("AccessDeniedException", change, KeyId=arn)


def test_another_account_needs_both_sides(yard, kms):
    from modelyard.services.iam.bootstrap import ensure_account

    secrets = ensure_account(yard.platform, "210987654321")["session"]
    theirs = inproc.client(
        yard.gateway, "kms", key=secrets["AccessKeyId"], secret=secrets["SecretAccessKey"], token=secrets["SessionToken"]
    )
    key = kms.create_key()["KeyMetadata"]["Arn"]
    refused("AccessDeniedException", theirs.encrypt, "no resource-based policy allows", KeyId=key, Plaintext=b"x")
    share = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
        "Action": ["kms:Encrypt", "kms:Decrypt"],
        "Resource": "*",
    }
    kms.put_key_policy(KeyId=key, Policy=policy(share, allow("kms:*", Principal={"AWS": ROOT})))
    blob = theirs.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert theirs.decrypt(CiphertextBlob=blob)["KeyId"] == key
    refused("AccessDeniedException", theirs.describe_key, KeyId=key)


def test_a_grant_of_a_grant_gives_no_more(kms, user):
    """Who may make grants by a grant: the same operations or fewer, the same encryption context or a tighter one."""
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    guest, arn = user("guest")
    third, other = user("third")
    bound = {"EncryptionContextSubset": {"a": "1"}}
    kms.create_grant(KeyId=key, GranteePrincipal=arn, Operations=["Decrypt", "CreateGrant"], Constraints=bound)

    def give(operations, **more):
        return dict(KeyId=key, GranteePrincipal=other, Operations=operations, **more)

    refused("AccessDeniedException", guest.create_grant, **give(["Encrypt"], Constraints=bound))
    refused("AccessDeniedException", guest.create_grant, **give(["Decrypt"]))
    refused("AccessDeniedException", guest.create_grant, **give(["Decrypt"], Constraints={"EncryptionContextSubset": {"A": "1"}}))
    guest.create_grant(**give(["Decrypt"], Constraints={"EncryptionContextEquals": {"a": "1", "b": "2"}}))
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1", "b": "2"})["CiphertextBlob"]
    assert third.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "1", "b": "2"})["Plaintext"] == b"x"
    wide = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    refused("AccessDeniedException", third.decrypt, CiphertextBlob=wide, EncryptionContext={"a": "1"})
    upper = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"A": "1"})["CiphertextBlob"]
    refused("AccessDeniedException", guest.decrypt, CiphertextBlob=upper, EncryptionContext={"A": "1"})


def test_principals_that_are_not_there(kms):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    nobody = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    refused(
        "InvalidArnException",
        kms.create_grant,
        "does not refer to a valid principal",
        KeyId=key,
        GranteePrincipal=nobody,
        Operations=["Decrypt"],
    )
    statement = {"Effect": "Allow", "Principal": {"AWS": [nobody, ROOT]}, "Action": "kms:*", "Resource": "*"}
    refused("MalformedPolicyDocumentException", kms.put_key_policy, "invalid principals", KeyId=key, Policy=policy(statement))
    source = {"SourceArn": f"arn:aws:sns:us-east-1:{ACCOUNT}:topic"}
    grant = kms.create_grant(KeyId=key, GranteePrincipal=ROOT, Operations=["Decrypt"], Constraints=source)["GrantId"]
    assert kms.list_grants(KeyId=key, GrantId=grant)["Grants"][0]["Constraints"] == source
