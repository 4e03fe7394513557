"""Keys by a real client: what each is for, its states, its names, its time."""

from __future__ import annotations

import hashlib
import json

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

from tests.support.platform import ACCOUNT

DAY = 86400.0


def refused(code: str, call, text: str = "", **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert text in error["Message"], error
    return error["Message"]


def make(kms, **more) -> str:
    return kms.create_key(**more)["KeyMetadata"]["KeyId"]


def test_a_key_is_described_as_aws_does(kms, yard):
    made = kms.create_key(Description="mine", Tags=[{"TagKey": "team", "TagValue": "a"}])["KeyMetadata"]
    assert made["Arn"] == f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{made['KeyId']}"
    facts = {
        "KeyState": "Enabled",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
    }
    assert facts.items() <= made.items()
    assert made["EncryptionAlgorithms"] == ["SYMMETRIC_DEFAULT"]
    assert len(made["CurrentKeyMaterialId"]) == 64
    assert kms.describe_key(KeyId=made["Arn"])["KeyMetadata"] == made
    assert kms.list_resource_tags(KeyId=made["KeyId"])["Tags"] == [{"TagKey": "team", "TagValue": "a"}]
    kms.update_key_description(KeyId=made["KeyId"], Description="other")
    assert kms.describe_key(KeyId=made["KeyId"])["KeyMetadata"]["Description"] == "other"
    kms.tag_resource(KeyId=made["KeyId"], Tags=[{"TagKey": "x", "TagValue": "y"}])
    kms.untag_resource(KeyId=made["KeyId"], TagKeys=["team"])
    assert kms.list_resource_tags(KeyId=made["KeyId"])["Tags"] == [{"TagKey": "x", "TagValue": "y"}]
    refused("TagException", kms.tag_resource, KeyId=made["KeyId"], Tags=[{"TagKey": "aws:x", "TagValue": "y"}])


def test_what_cannot_be_made_is_refused(kms):
    refused("ValidationException", kms.create_key, "You must specify a KeyUsage", KeySpec="RSA_2048")
    refused("ValidationException", kms.create_key, "is not compatible with KeySpec", KeySpec="HMAC_256", KeyUsage="SIGN_VERIFY")
    refused("ValidationException", kms.create_key, "not compatible", KeySpec="ECC_SECG_P256K1", KeyUsage="KEY_AGREEMENT")
    refused("UnsupportedOperationException", kms.create_key, Origin="AWS_CLOUDHSM", CustomKeyStoreId="cks-1234567890")
    refused("UnsupportedOperationException", kms.create_key, "SM2", KeySpec="SM2", KeyUsage="SIGN_VERIFY")
    refused("MalformedPolicyDocumentException", kms.create_key, "not valid JSON", Policy="{")
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:Encrypt", "Resource": "*"}],
    }
    refused("MalformedPolicyDocumentException", kms.create_key, "will not allow you to update the key policy", Policy=json.dumps(policy))
    refused("NotFoundException", kms.describe_key, "Invalid keyId 'nothing'", KeyId="nothing")
    refused("NotFoundException", kms.describe_key, "alias/nothing is not found.", KeyId="alias/nothing")
    missing = "12345678-1234-1234-1234-123456789012"
    refused("NotFoundException", kms.describe_key, f"Key 'arn:aws:kms:us-east-1:{ACCOUNT}:key/{missing}' does not exist", KeyId=missing)
    refused("NotFoundException", kms.describe_key, "Invalid arn us-west-2", KeyId=f"arn:aws:kms:us-west-2:{ACCOUNT}:key/{missing}")


def test_encrypting_and_decrypting(kms):
    key, other = make(kms), make(kms)
    context = {"purpose": "test", "ümlaut": "ä"}
    sealed = kms.encrypt(KeyId=key, Plaintext=b"hello", EncryptionContext=context)
    assert sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    blob = sealed["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=dict(reversed(context.items())))
    assert (opened["Plaintext"], opened["KeyId"]) == (b"hello", sealed["KeyId"])
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob)
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob[:-1] + bytes([blob[-1] ^ 1]), EncryptionContext=context)
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=b"nothing of ours")
    refused("IncorrectKeyException", kms.decrypt, "does not identify a CMK", CiphertextBlob=blob, EncryptionContext=context, KeyId=other)
    moved = kms.re_encrypt(
        CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=other, DestinationEncryptionContext={"b": "c"}
    )
    assert moved["KeyId"].endswith(other)
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"b": "c"}, KeyId=other)["Plaintext"] == b"hello"
    refused("DryRunOperationException", kms.encrypt, KeyId=key, Plaintext=b"x", DryRun=True)
    refused("ValidationException", kms.encrypt, KeyId=key, Plaintext=b"x" * 4097)
    kms.disable_key(KeyId=key)
    refused("DisabledException", kms.decrypt, f"key/{key} is disabled.", CiphertextBlob=blob, EncryptionContext=context)
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"hello"


def test_data_keys(kms):
    key = make(kms)
    for request, size in ({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 64}, 64):
        made = kms.generate_data_key(KeyId=key, EncryptionContext={"a": "b"}, **request)
        assert len(made["Plaintext"]) == size
        assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "b"})["Plaintext"] == made["Plaintext"]
    assert "Plaintext" not in kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")
    refused("ValidationException", kms.generate_data_key, "either number of bytes or key spec", KeyId=key)
    pair = kms.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256")
    private = serialization.load_der_private_key(pair["PrivateKeyPlaintext"], None)
    public = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert public == pair["PublicKey"]
    assert kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"])["Plaintext"] == pair["PrivateKeyPlaintext"]
    assert "PrivateKeyPlaintext" not in kms.generate_data_key_pair_without_plaintext(KeyId=key, KeyPairSpec="RSA_2048")
    assert len(kms.generate_random(NumberOfBytes=33)["Plaintext"]) == 33


ECC = [("ECC_NIST_P256", 256), ("ECC_NIST_P384", 384), ("ECC_NIST_P521", 512), ("ECC_SECG_P256K1", 256)]


@pytest.mark.parametrize(("spec", "size"), ECC)
def test_ecc_keys_sign(kms, spec, size):
    key, algorithm = make(kms, KeySpec=spec, KeyUsage="SIGN_VERIFY"), f"ECDSA_SHA_{size}"
    _sign_both_ways(kms, key, algorithm, size)
    told = kms.get_public_key(KeyId=key)
    assert told["SigningAlgorithms"] == [algorithm]
    signature = kms.sign(KeyId=key, Message=b"m", SigningAlgorithm=algorithm)["Signature"]
    digest = {256: hashes.SHA256, 384: hashes.SHA384, 512: hashes.SHA512}[size]()
    serialization.load_der_public_key(told["PublicKey"]).verify(signature, b"m", ec.ECDSA(digest))
    refused("InvalidKeyUsageException", kms.encrypt, "key usage is SIGN_VERIFY which is not valid for Encrypt.", KeyId=key, Plaintext=b"x")


def test_rsa_keys_sign(kms):
    key = make(kms, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    for size, digest in (256, hashes.SHA256()), (384, hashes.SHA384()), (512, hashes.SHA512()):
        for scheme, pad in ("PSS", padding.PSS(padding.MGF1(digest), digest.digest_size)), ("PKCS1_V1_5", padding.PKCS1v15()):
            algorithm = f"RSASSA_{scheme}_SHA_{size}"
            _sign_both_ways(kms, key, algorithm, size)
            message = hashlib.new(f"sha{size}", b"m").digest()
            signature = kms.sign(KeyId=key, Message=message, MessageType="DIGEST", SigningAlgorithm=algorithm)["Signature"]
            public.verify(signature, message, pad, Prehashed(digest))
    refused("InvalidKeyUsageException", kms.sign, KeyId=key, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")


def _sign_both_ways(kms, key, algorithm, size):
    signature = kms.sign(KeyId=key, Message=b"message", SigningAlgorithm=algorithm)["Signature"]
    digest = hashlib.new(f"sha{size}", b"message").digest()
    given = {"KeyId": key, "Signature": signature, "SigningAlgorithm": algorithm}
    assert kms.verify(Message=digest, MessageType="DIGEST", **given)["SignatureValid"] is True
    refused("KMSInvalidSignatureException", kms.verify, Message=b"other", **given)
    refused(
        "ValidationException",
        kms.sign,
        "Digest is invalid length",
        KeyId=key,
        Message=b"short",
        MessageType="DIGEST",
        SigningAlgorithm=algorithm,
    )


def test_rsa_keys_encrypt(kms):
    key = make(kms, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    for algorithm, longest in ("RSAES_OAEP_SHA_256", 190), ("RSAES_OAEP_SHA_1", 214):
        blob = kms.encrypt(KeyId=key, Plaintext=b"x" * longest, EncryptionAlgorithm=algorithm)["CiphertextBlob"]
        assert kms.decrypt(KeyId=key, CiphertextBlob=blob, EncryptionAlgorithm=algorithm)["Plaintext"] == b"x" * longest
        refused(
            "ValidationException",
            kms.encrypt,
            "cannot encrypt data larger",
            KeyId=key,
            Plaintext=b"x" * (longest + 1),
            EncryptionAlgorithm=algorithm,
        )
    refused("ValidationException", kms.decrypt, "KeyId is required", CiphertextBlob=blob, EncryptionAlgorithm=algorithm)
    refused("InvalidKeyUsageException", kms.encrypt, KeyId=key, Plaintext=b"x")


@pytest.mark.parametrize("size", [224, 256, 384, 512])
def test_macs(kms, size):
    key, algorithm = make(kms, KeySpec=f"HMAC_{size}", KeyUsage="GENERATE_VERIFY_MAC"), f"HMAC_SHA_{size}"
    mac = kms.generate_mac(KeyId=key, Message=b"m", MacAlgorithm=algorithm)["Mac"]
    assert len(mac) == size // 8
    assert kms.verify_mac(KeyId=key, Message=b"m", MacAlgorithm=algorithm, Mac=mac)["MacValid"] is True
    refused("KMSInvalidMacException", kms.verify_mac, KeyId=key, Message=b"n", MacAlgorithm=algorithm, Mac=mac)


def test_two_keys_agree_on_a_secret(kms):
    one, two = (make(kms, KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT") for _ in range(2))
    public = {key: kms.get_public_key(KeyId=key)["PublicKey"] for key in (one, two)}
    secret = kms.derive_shared_secret(KeyId=one, KeyAgreementAlgorithm="ECDH", PublicKey=public[two])["SharedSecret"]
    assert kms.derive_shared_secret(KeyId=two, KeyAgreementAlgorithm="ECDH", PublicKey=public[one])["SharedSecret"] == secret
    assert len(secret) == 48
    refused("ValidationException", kms.derive_shared_secret, KeyId=one, KeyAgreementAlgorithm="ECDH", PublicKey=b"no key")


def test_aliases(kms):
    first, second = make(kms), make(kms)
    kms.create_alias(AliasName="alias/a", TargetKeyId=first)
    refused(
        "AlreadyExistsException",
        kms.create_alias,
        f"An alias with the name arn:aws:kms:us-east-1:{ACCOUNT}:alias/a already exists",
        AliasName="alias/a",
        TargetKeyId=second,
    )
    refused("NotAuthorizedException", kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=first)
    refused("ValidationException", kms.create_alias, AliasName="alias/a:b", TargetKeyId=first)
    refused("ValidationException", kms.create_alias, AliasName="alias/b", TargetKeyId="alias/a")
    refused("ValidationException", kms.create_alias, AliasName="a", TargetKeyId=first)
    blob = kms.encrypt(KeyId="alias/a", Plaintext=b"x")["CiphertextBlob"]
    kms.update_alias(AliasName="alias/a", TargetKeyId=second)
    assert kms.encrypt(KeyId="alias/a", Plaintext=b"x")["KeyId"].endswith(second)
    assert kms.decrypt(CiphertextBlob=blob)["KeyId"].endswith(first)
    assert [one["AliasName"] for one in kms.list_aliases(KeyId=second)["Aliases"]] == ["alias/a"]
    assert kms.list_aliases(KeyId=first)["Aliases"] == []
    refused("NotFoundException", kms.disable_key, "Invalid keyId 'alias/a'", KeyId="alias/a")
    signer = make(kms, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    refused("ValidationException", kms.update_alias, AliasName="alias/a", TargetKeyId=signer)
    kms.delete_alias(AliasName="alias/a")
    refused("NotFoundException", kms.delete_alias, "alias/a is not found.", AliasName="alias/a")


def test_lists_come_in_pages(kms):
    keys = {make(kms) for _ in range(5)}
    pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(one["Keys"]) for one in pages] == [2, 2, 1]
    assert {key["KeyId"] for one in pages for key in one["Keys"]} == keys
    refused("InvalidMarkerException", kms.list_keys, Marker="nothing")


def test_scheduled_deletion(kms, yard):
    key = make(kms)
    kms.create_alias(AliasName="alias/going", TargetKeyId=key)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    refused("ValidationException", kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=6)
    told = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert told["KeyState"] == "PendingDeletion"
    assert told["DeletionDate"].timestamp() == yard.platform.clock.now() + 7 * DAY
    refused("KMSInvalidStateException", kms.decrypt, "is pending deletion.", CiphertextBlob=blob)
    refused("KMSInvalidStateException", kms.enable_key, "is pending deletion.", KeyId=key)
    refused("KMSInvalidStateException", kms.schedule_key_deletion, "is pending deletion.", KeyId=key)
    kms.cancel_key_deletion(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    refused("KMSInvalidStateException", kms.cancel_key_deletion, "is not pending deletion.", KeyId=key)
    kms.schedule_key_deletion(KeyId=key)
    yard.settle()
    yard.platform.clock.advance(30 * DAY - 1)
    yard.settle()
    assert kms.describe_key(KeyId="alias/going")["KeyMetadata"]["KeyState"] == "PendingDeletion"
    yard.platform.clock.advance(2)
    yard.settle()
    refused("NotFoundException", kms.describe_key, "does not exist", KeyId=key)
    assert kms.list_aliases()["Aliases"] == []
    refused("AccessDeniedException", kms.decrypt, "does not exist", CiphertextBlob=blob)


def test_rotation_by_the_clock_and_on_demand(kms, yard):
    key = make(kms)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    blob = kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    start = yard.platform.clock.now()
    yard.settle()
    assert kms.get_key_rotation_status(KeyId=key)["NextRotationDate"].timestamp() == start + 90 * DAY
    first = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    yard.platform.clock.advance(90 * DAY)
    yard.settle()
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] != first
    kms.rotate_key_on_demand(KeyId=key)
    assert "OnDemandRotationStartDate" in kms.get_key_rotation_status(KeyId=key)
    refused("ConflictException", kms.rotate_key_on_demand, KeyId=key)
    yard.settle()
    assert [one["RotationType"] for one in kms.list_key_rotations(KeyId=key)["Rotations"]] == ["AUTOMATIC", "ON_DEMAND"]
    whole = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [one["KeyMaterialState"] for one in whole] == ["NON_CURRENT", "NON_CURRENT", "CURRENT"]
    opened = kms.decrypt(CiphertextBlob=blob)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"old", first)
    new = kms.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=new)["KeyMaterialId"] == whole[2]["KeyMaterialId"]
    kms.disable_key_rotation(KeyId=key)
    yard.platform.clock.advance(900 * DAY)
    yard.settle()
    assert len(kms.list_key_rotations(KeyId=key)["Rotations"]) == 2
    refused("UnsupportedOperationException", kms.enable_key_rotation, KeyId=make(kms, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC"))
    refused("ValidationException", kms.enable_key_rotation, KeyId=key, RotationPeriodInDays=2561)


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"])
def test_imported_material(kms, yard, algorithm):
    key = make(kms, Origin="EXTERNAL")
    refused("KMSInvalidStateException", kms.encrypt, "is pending import.", KeyId=key, Plaintext=b"x")
    material = bytes(range(32))
    given = _wrapped(kms, key, algorithm, material)
    until = yard.platform.clock.now() + 3 * DAY
    refused("ValidationException", kms.import_key_material, KeyId=key, **given)
    refused("InvalidImportTokenException", kms.import_key_material, KeyId=make(kms, Origin="EXTERNAL"), ValidTo=until, **given)
    kms.import_key_material(KeyId=key, ValidTo=until, **given)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["ValidTo"].timestamp() == until
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    yard.settle()
    yard.platform.clock.advance(3 * DAY)
    refused("KMSInvalidStateException", kms.decrypt, "is pending import.", CiphertextBlob=blob)
    yard.settle()
    assert [one["Sealed"] for one in yard.platform.store.get("kms-key", ACCOUNT, "us-east-1", key).spec["Imports"].values()] == [None]
    refused("ExpiredImportTokenException", kms.import_key_material, KeyId=key, ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE", **given)
    wrong = _wrapped(kms, key, algorithm, bytes(32))
    refused("IncorrectKeyMaterialException", kms.import_key_material, KeyId=key, ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE", **wrong)
    kms.import_key_material(KeyId=key, ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE", **_wrapped(kms, key, algorithm, material))
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    kms.delete_imported_key_material(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingImport"
    refused(
        "UnsupportedOperationException",
        kms.get_parameters_for_import,
        KeyId=make(kms),
        WrappingAlgorithm=algorithm,
        WrappingKeySpec="RSA_2048",
    )


def _wrapped(kms, key, algorithm, material):
    parameters = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_2048")
    public = serialization.load_der_public_key(parameters["PublicKey"])
    assert isinstance(public, rsa.RSAPublicKey)
    digest = hashes.SHA256 if algorithm.endswith("256") else hashes.SHA1
    scheme = padding.OAEP(padding.MGF1(digest()), digest(), None)
    if algorithm.startswith("RSAES"):
        blob = public.encrypt(material, scheme)
    else:
        blob = public.encrypt(b"k" * 32, scheme) + aes_key_wrap_with_padding(b"k" * 32, material)
    return {"ImportToken": parameters["ImportToken"], "EncryptedKeyMaterial": blob}


def test_ed25519_keys_sign_whole_messages(kms):
    key = make(kms, KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY")
    signed = kms.sign(KeyId=key, Message=b"m", SigningAlgorithm="ED25519_SHA_512")["Signature"]
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    assert isinstance(public, ed25519.Ed25519PublicKey)
    public.verify(signed, b"m")
    assert kms.verify(KeyId=key, Message=b"m", SigningAlgorithm="ED25519_SHA_512", Signature=signed)["SignatureValid"]
    refused("KMSInvalidSignatureException", kms.verify, KeyId=key, Message=b"n", SigningAlgorithm="ED25519_SHA_512", Signature=signed)
    refused("ValidationException", kms.sign, KeyId=key, Message=b"m" * 64, MessageType="DIGEST", SigningAlgorithm="ED25519_SHA_512")
    refused("InvalidKeyUsageException", kms.sign, KeyId=key, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")
    refused("UnsupportedOperationException", kms.sign, KeyId=key, Message=b"m", SigningAlgorithm="ED25519_PH_SHA_512")


@pytest.mark.parametrize(("size", "bytes_of"), [(44, 2420), (65, 3309), (87, 4627)])
def test_lattice_keys_sign_messages_and_mu(kms, size, bytes_of):
    key, algorithm = make(kms, KeySpec=f"ML_DSA_{size}", KeyUsage="SIGN_VERIFY"), "ML_DSA_SHAKE_256"
    signed = kms.sign(KeyId=key, Message=b"m", SigningAlgorithm=algorithm)["Signature"]
    assert len(signed) == bytes_of
    public = kms.get_public_key(KeyId=key)["PublicKey"]
    serialization.load_der_public_key(public).verify(signed, b"m")
    raw = serialization.load_der_public_key(public).public_bytes_raw()
    mu = hashlib.shake_256(hashlib.shake_256(raw).digest(64) + b"\0\0m").digest(64)
    mixed = {"KeyId": key, "Message": mu, "MessageType": "EXTERNAL_MU", "SigningAlgorithm": algorithm}
    assert kms.verify(Signature=signed, **mixed)["SignatureValid"]
    by_mu = kms.sign(**mixed)["Signature"]
    assert kms.verify(KeyId=key, Message=b"m", SigningAlgorithm=algorithm, Signature=by_mu)["SignatureValid"]
    refused("ValidationException", kms.sign, "invalid length", **{**mixed, "Message": mu[1:]})
    refused("ValidationException", kms.sign, **{**mixed, "MessageType": "DIGEST"})


@pytest.mark.parametrize("size", [768, 1024])
def test_a_secret_is_shared_through_a_lattice_key(kms, size):
    key, more = make(kms, KeySpec=f"ML_KEM_{size}", KeyUsage="ENCAPSULATE_DECAPSULATE"), {"EncapsulationAlgorithm": "ML_KEM"}
    given = kms.encapsulate(KeyId=key, **more)
    assert (
        kms.decapsulate(KeyId=key, SharedSecretCiphertextBlob=given["SharedSecretCiphertextBlob"], **more)["SharedSecret"]
        == given["SharedSecret"]
    )
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    shared, blob = public.encapsulate()
    assert kms.decapsulate(KeyId=key, SharedSecretCiphertextBlob=blob, **more)["SharedSecret"] == shared
    other = bytes([blob[0] ^ 1]) + blob[1:]
    assert kms.decapsulate(KeyId=key, SharedSecretCiphertextBlob=other, **more)["SharedSecret"] != shared
    refused("InvalidCiphertextException", kms.decapsulate, KeyId=key, SharedSecretCiphertextBlob=blob[1:], **more)
    refused("InvalidKeyUsageException", kms.encapsulate, KeyId=make(kms), **more)


def test_new_imported_material_waits_for_its_rotation(kms, yard):
    key, wrap = make(kms, Origin="EXTERNAL"), "RSAES_OAEP_SHA_256"
    forever = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    refused("KMSInvalidStateException", kms.rotate_key_on_demand, "is pending import.", KeyId=key)
    first = kms.import_key_material(KeyId=key, KeyMaterialDescription="one", **forever, **_wrapped(kms, key, wrap, b"1" * 32))[
        "KeyMaterialId"
    ]
    refused("KMSInvalidStateException", kms.rotate_key_on_demand, "No available key material pending rotation for the key", KeyId=key)
    old = kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    until = yard.platform.clock.now() + 3 * DAY
    new = {"ImportType": "NEW_KEY_MATERIAL"}
    second = kms.import_key_material(KeyId=key, ValidTo=until, **new, **_wrapped(kms, key, wrap, b"2" * 32))["KeyMaterialId"]
    assert kms.decrypt(CiphertextBlob=kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"])["KeyMaterialId"] == first
    refused(
        "KMSInvalidStateException",
        kms.import_key_material,
        f"(id: {second}) is pending rotation",
        KeyId=key,
        **forever,
        **new,
        **_wrapped(kms, key, wrap, b"3" * 32),
    )
    refused("UnsupportedOperationException", kms.enable_key_rotation, "origin is EXTERNAL which is not valid", KeyId=key)
    kms.rotate_key_on_demand(KeyId=key)
    told = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [(one["KeyMaterialId"], one["KeyMaterialState"], one["ImportState"]) for one in told] == [
        (first, "NON_CURRENT", "IMPORTED"),
        (second, "CURRENT", "IMPORTED"),
    ]
    assert told[0]["KeyMaterialDescription"] == "one" and told[1]["ValidTo"].timestamp() == until and told[1]["RotationType"] == "ON_DEMAND"
    assert kms.decrypt(CiphertextBlob=old)["KeyMaterialId"] == first
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["ValidTo"].timestamp() == until
    yard.settle()
    yard.platform.clock.advance(3 * DAY)
    yard.settle()
    refused("KMSInvalidStateException", kms.decrypt, "is pending import.", CiphertextBlob=old)
    kms.import_key_material(KeyId=key, **forever, **_wrapped(kms, key, wrap, b"2" * 32))
    kms.delete_imported_key_material(KeyId=key, KeyMaterialId=first)
    refused("KMSInvalidStateException", kms.decrypt, "is pending import.", CiphertextBlob=old)
    refused(
        "IncorrectKeyMaterialException",
        kms.import_key_material,
        KeyId=key,
        KeyMaterialId=first,
        **forever,
        **_wrapped(kms, key, wrap, b"2" * 32),
    )
    kms.import_key_material(KeyId=key, KeyMaterialId=first, **forever, **_wrapped(kms, key, wrap, b"1" * 32))
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"


def test_permissions_are_tried_without_ciphertext(kms):
    key, only = make(kms), {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    refused("DryRunOperationException", kms.decrypt, KeyId=key, **only)
    refused("DryRunOperationException", kms.re_encrypt, SourceKeyId=key, DestinationKeyId=key, **only)
    refused("ValidationException", kms.decrypt, "KeyId", **only)
    refused("ValidationException", kms.decrypt, "'ciphertextBlob' failed to satisfy constraint: Member must not be null", KeyId=key)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    hmac_key = make(kms, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    refused("IncorrectKeyException", kms.decrypt, "does not identify a CMK", KeyId=hmac_key, CiphertextBlob=blob)


def test_an_error_without_words_has_no_message_member(kms):
    """botocore copies what stands in the body beside the code."""
    with pytest.raises(ClientError) as caught:
        kms.decrypt(CiphertextBlob=b"nothing")
    assert (
        caught.value.response["Error"] == {"Code": "InvalidCiphertextException", "Message": ""} and "message" not in caught.value.response
    )


def test_a_disabled_key_is_refused_before_its_kind_is_looked_at(kms):
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
    refused("UnsupportedOperationException", kms.rotate_key_on_demand, KeyId=key)
    kms.disable_key(KeyId=key)
    refused("DisabledException", kms.rotate_key_on_demand, KeyId=key)
