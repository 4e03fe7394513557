"""Secrets read as parameters, and the two ways to write a name without a path."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from tests.support import inproc

REFERENCE = "/aws/reference/secretsmanager/"


@pytest.fixture
def clock():
    return ManualClock()


def refused(code: str, call, text: str = "", **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    assert error["Code"] == code and text in error["Message"], error


def test_a_secret_is_read_as_a_parameter(yard):
    ssm, sm = yard.client("ssm"), yard.client("secretsmanager")
    first = sm.create_secret(Name="app/db", SecretString="one")
    sm.put_secret_value(SecretId="app/db", SecretString="two")
    told = ssm.get_parameter(Name=f"{REFERENCE}app/db", WithDecryption=True)["Parameter"]
    assert (told["Name"], told["Type"], told["Value"], told["Version"]) == (f"{REFERENCE}app/db", "SecureString", "two", 0)
    source = json.loads(told["SourceResult"])
    assert (source["Name"], source["ARN"], source["SecretString"], told["ARN"]) == ("app/db", first["ARN"], "two", first["ARN"])
    for selector in ("AWSPREVIOUS", first["VersionId"]):
        one = ssm.get_parameter(Name=f"{REFERENCE}app/db:{selector}", WithDecryption=True)["Parameter"]
        assert (one["Value"], one["Selector"]) == ("one", f":{selector}")
    ssm.put_parameter(Name="plain", Value="v", Type="String")
    both = ssm.get_parameters(Names=["plain", f"{REFERENCE}app/db", f"{REFERENCE}none", "none"], WithDecryption=True)
    assert [one["Value"] for one in both["Parameters"]] == ["two", "v"]
    assert both["InvalidParameters"] == [f"{REFERENCE}none", "none"]


def test_a_secret_that_cannot_be_read(yard):
    ssm, sm = yard.client("ssm"), yard.client("secretsmanager")
    sm.create_secret(Name="s", SecretString="one")
    sm.create_secret(Name="b", SecretBinary=b"one")
    refused("ValidationException", ssm.get_parameter, "WithDecryption flag must be True", Name=f"{REFERENCE}s")
    refused("ParameterNotFound", ssm.get_parameter, f"Secret {REFERENCE}t not found.", Name=f"{REFERENCE}t", WithDecryption=True)
    refused("ParameterNotFound", ssm.get_parameter, "not found", Name=f"{REFERENCE}s:MINE", WithDecryption=True)
    refused("ValidationException", ssm.get_parameter, "binary", Name=f"{REFERENCE}b", WithDecryption=True)
    refused("AccessDeniedException", ssm.put_parameter, Name=f"{REFERENCE}s", Value="v", Type="String")
    iam = yard.client("iam")
    iam.create_user(UserName="u")
    keys = iam.create_access_key(UserName="u")["AccessKey"]
    allowed = {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    theirs = inproc.client(yard.gateway, "ssm", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    refused("AccessDeniedException", theirs.get_parameter, "secretsmanager:GetSecretValue", Name=f"{REFERENCE}s", WithDecryption=True)


def test_a_name_with_and_without_its_slash_is_one(yard):
    ssm = yard.client("ssm")
    ssm.put_parameter(Name="one", Value="v", Type="String")
    for asked in ("one", "/one"):
        assert ssm.get_parameter(Name=asked)["Parameter"]["Name"] == asked
        assert [one["Name"] for one in ssm.get_parameters(Names=[asked])["Parameters"]] == [asked]
    refused("ParameterAlreadyExists", ssm.put_parameter, Name="/one", Value="w", Type="String")
    ssm.put_parameter(Name="/a/b", Value="v", Type="String")
    for asked in ("a/b", "/a//b"):
        refused("ValidationException", ssm.get_parameter, "sub-paths divided by slash symbol", Name=asked)


def test_an_image_is_another_one_in_each_region(yard):
    here, there = yard.client("ssm"), yard.client("ssm", region="eu-north-1")
    for name in (
        "ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
        "ami-windows-latest/Windows_Server-2022-English-Full-Base",
        "ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id",
        "debian/release/12/latest/amd64",
    ):
        ids = {client.get_parameter(Name=f"/aws/service/{name}")["Parameter"]["Value"] for client in (here, there)}
        assert len(ids) == 2 and all(one.startswith("ami-0") for one in ids)
    recommended = "/aws/service/ecs/optimized-ami/amazon-linux-2/recommended"
    whole = json.loads(here.get_parameter(Name=recommended)["Parameter"]["Value"])
    assert whole["image_id"] == here.get_parameter(Name=f"{recommended}/image_id")["Parameter"]["Value"]
