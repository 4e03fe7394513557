"""Secrets that go through the platform are in no log, no error text, no audit trail and no file in the clear."""

from __future__ import annotations

import base64
import json
import logging
import os

import pytest
from botocore.exceptions import ClientError

from tests.support import inproc
from tests.support.platform import ACCOUNT, InProcess

CANARY = "Kanari-7-Vogel!Aa"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ModelyardExecutionRole"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"


class Errors(list):
    def of(self, act, **request):
        """The answer, or None where it was refused; what the refusal said is kept."""
        try:
            return act(**request)
        except ClientError as problem:
            self.append(json.dumps(problem.response, default=str))
            return None


def secrets_made(yard, refused):
    """Everything secret that was sent or received."""
    iam, kms, s3, ssm, sts = (yard.client(name) for name in ("iam", "kms", "s3", "ssm", "sts"))
    vault, sage = yard.client("secretsmanager"), yard.client("sagemaker")
    found = {CANARY, base64.b64encode(CANARY.encode()).decode()}
    vault.create_secret(Name="s", SecretString=CANARY)
    refused.of(vault.create_secret, Name="s", SecretString=CANARY)
    vault.update_secret(SecretId="s", SecretString=CANARY + "2")
    vault.create_secret(Name="b", SecretBinary=CANARY.encode())
    vault.batch_get_secret_value(SecretIdList=["s", "b"])
    found.add(vault.get_random_password()["RandomPassword"])
    ssm.put_parameter(Name="/p", Value=CANARY, Type="SecureString")
    refused.of(ssm.put_parameter, Name="/p", Value=CANARY, Type="SecureString")
    refused.of(ssm.put_parameter, Name="/q", Value=CANARY, Type="String", AllowedPattern="^x$")
    ssm.get_parameter_history(Name="/p", WithDecryption=True)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.decrypt(CiphertextBlob=kms.encrypt(KeyId=key, Plaintext=CANARY.encode())["CiphertextBlob"])
    found.add(base64.b64encode(kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]).decode())
    iam.create_user(UserName="u")
    made = iam.create_access_key(UserName="u")["AccessKey"]
    found.add(made["SecretAccessKey"])
    iam.create_login_profile(UserName="u", Password=CANARY)
    refused.of(iam.create_login_profile, UserName="u", Password=CANARY)
    refused.of(iam.upload_server_certificate, ServerCertificateName="c", CertificateBody="x", PrivateKey=CANARY)
    found.add(
        iam.create_service_specific_credential(UserName="u", ServiceName="codecommit.amazonaws.com")["ServiceSpecificCredential"][
            "ServicePassword"
        ]
    )
    seed = iam.create_virtual_mfa_device(VirtualMFADeviceName="m")["VirtualMFADevice"]["Base32StringSeed"]
    found.add(seed.decode() if isinstance(seed, bytes) else seed)
    session = sts.assume_role(RoleArn=ROLE, RoleSessionName="own")["Credentials"]
    found |= {session["SecretAccessKey"], session["SessionToken"]}
    s3.create_bucket(Bucket="bucket-b")
    customer = os.urandom(32)
    s3.put_object(Bucket="bucket-b", Key="k", Body=b"x", SSECustomerAlgorithm="AES256", SSECustomerKey=customer)
    found.add(base64.b64encode(customer).decode())
    refused.of(s3.get_object, Bucket="bucket-b", Key="k", SSECustomerAlgorithm="AES256", SSECustomerKey=os.urandom(32))
    job = {
        "TrainingJobName": "j",
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket-b/o"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    refused.of(sage.create_training_job, **job, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/nobody", Environment={"TOKEN": CANARY})
    # And all of it by who may not: a denial keeps the request, so that it can be explained.
    their = lambda name: inproc.client(yard.gateway, name, key=made["AccessKeyId"], secret=made["SecretAccessKey"])  # noqa: E731
    refused.of(their("secretsmanager").put_secret_value, SecretId="s", SecretString=CANARY)
    refused.of(their("ssm").put_parameter, Name="/z", Value=CANARY, Type="SecureString")
    refused.of(their("kms").encrypt, KeyId=key, Plaintext=CANARY.encode())
    refused.of(their("iam").update_login_profile, UserName="u", Password=CANARY)
    refused.of(their("sagemaker").create_training_job, **job, RoleArn=ROLE, Environment={"TOKEN": CANARY})
    refused.of(inproc.client(yard.gateway, "sts", key=made["AccessKeyId"], secret=CANARY, token=CANARY).get_caller_identity)
    return found


def test_nothing_secret_is_told_or_kept_in_the_clear(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG, logger="modelyard")
    yard, refused = InProcess(tmp_path / "data"), Errors()
    try:
        secrets = secrets_made(yard, refused)
        yard.platform.trail.flush()
    finally:
        yard.close()
    assert len(refused) == 13
    own = json.loads((tmp_path / f"data/secrets/{ACCOUNT}.json").read_text())["session"]
    secrets |= {own["SecretAccessKey"], own["SessionToken"]}
    places = {"an error": "".join(refused), "a log": caplog.text, "the output": "".join(capfd.readouterr())}
    for path in (tmp_path / "data").rglob("*"):
        # What is in the objects' folder is the users' own; the account's own keys are in a file that is theirs (0600).
        if path.is_file() and not {"objects", "secrets"} & set(path.relative_to(tmp_path / "data").parts):
            places[str(path)] = path.read_bytes().decode("latin-1")
    assert any("trail" in place for place in places) and any(place.endswith("store.db") for place in places)
    assert [(place, secret[:8]) for place, text in places.items() for secret in secrets if secret in text] == []
    assert all(len(secret) > 8 for secret in secrets)


def test_a_canary_would_be_found(tmp_path):
    """The search itself: what is no secret is in the trail."""
    yard = InProcess(tmp_path / "data")
    try:
        yard.client("iam").create_group(GroupName="Kanari-group")
        with pytest.raises(ClientError):
            yard.client("iam").create_group(GroupName="Kanari-group")
    finally:
        yard.close()
    assert any(b"Kanari-group" in path.read_bytes() for path in (tmp_path / "data/trail").rglob("*.jsonl"))
