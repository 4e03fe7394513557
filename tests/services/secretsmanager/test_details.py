"""What DescribeSecret and ListSecretVersionIds tell and leave out, names and tokens that no SDK lets pass."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.errors import ApiError
from modelyard.services.secretsmanager.secret import request_token

DAY = 86400.0


def test_tags_are_told_once_there_were_any(sm):
    sm.create_secret(Name="s")
    assert "Tags" not in sm.describe_secret(SecretId="s")
    sm.tag_resource(SecretId="s", Tags=[{"Key": "a", "Value": "b"}])
    assert sm.describe_secret(SecretId="s")["Tags"] == [{"Key": "a", "Value": "b"}]
    sm.untag_resource(SecretId="s", TagKeys=["a"])
    assert sm.describe_secret(SecretId="s")["Tags"] == []


def test_a_version_tells_the_day_it_was_read(sm, yard):
    first = sm.create_secret(Name="s", SecretString="1")["VersionId"]
    second = sm.put_secret_value(SecretId="s", SecretString="2")["VersionId"]
    sm.get_secret_value(SecretId="s", VersionStage="AWSPREVIOUS")

    def read_on():
        return {one["VersionId"]: one.get("LastAccessedDate") for one in sm.list_secret_version_ids(SecretId="s")["Versions"]}

    assert read_on()[first].timestamp() == yard.platform.clock.now() // DAY * DAY and read_on()[second] is None
    yard.platform.clock.advance(DAY)
    sm.get_secret_value(SecretId="s")
    assert read_on()[second].timestamp() - read_on()[first].timestamp() == DAY


def test_what_was_pending_is_not_when_it_becomes_the_previous_one(sm):
    sm.create_secret(Name="s", SecretString="1")
    second = sm.put_secret_value(SecretId="s", SecretString="2", VersionStages=["AWSPENDING", "MINE"])["VersionId"]
    first = sm.get_secret_value(SecretId="s")["VersionId"]
    sm.update_secret_version_stage(SecretId="s", VersionStage="AWSCURRENT", MoveToVersionId=second, RemoveFromVersionId=first)
    third = sm.put_secret_value(SecretId="s", SecretString="3")["VersionId"]
    stages = sm.describe_secret(SecretId="s")["VersionIdsToStages"]
    assert {name: set(told) for name, told in stages.items()} == {second: {"MINE", "AWSPREVIOUS"}, third: {"AWSCURRENT"}}


@pytest.mark.parametrize("name", ["Inv Name", " Inv*Name? ", "a\\b"])
def test_every_operation_refuses_what_is_no_name(sm, name):
    told = {
        "delete_secret": {"ForceDeleteWithoutRecovery": True},
        "describe_secret": {},
        "get_secret_value": {},
        "put_secret_value": {"SecretString": "v"},
        "untag_resource": {"TagKeys": ["a"]},
    }
    for operation, more in told.items():
        with pytest.raises(ClientError, match="Invalid name") as caught:
            getattr(sm, operation)(SecretId=name, **more)
        assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_without_a_request_token():
    with pytest.raises(ApiError) as caught:
        request_token({})
    assert caught.value.code == "InvalidRequestException" and caught.value.message.startswith("You must provide a ClientRequestToken")


def test_words_of_names_and_descriptions(sm):
    for name, description in (("prod/AppBeta", ""), ("uat/COMPANY", ""), ("uat/COMPANYthings", ""), ("plain", "one and two")):
        sm.create_secret(Name=name, SecretString="v", Description=description)

    def found(key, *values):
        return [one["Name"] for one in sm.list_secrets(Filters=[{"Key": key, "Values": list(values)}])["SecretList"]]

    assert found("all", "AppBeta") == found("all", "beta") == ["prod/AppBeta"]
    assert found("all", "company") == ["uat/COMPANY"] and found("all", "Ythings") == ["uat/COMPANYthings"]
    assert found("all", "things") == found("all", "+") == found("all", "pany") == []
    assert found("description", "o t") == ["plain"]


def test_the_primary_region_is_a_filter(sm, yard):
    sm.create_secret(Name="alone", SecretString="v")
    sm.create_secret(Name="doubled", SecretString="v", AddReplicaRegions=[{"Region": "us-east-2"}])
    yard.settle({"secret"})
    here = [{"Key": "primary-region", "Values": ["us-east-1"]}]
    for client in (sm, yard.client("secretsmanager", region="us-east-2")):
        assert [one["Name"] for one in client.list_secrets(Filters=here)["SecretList"]] == ["doubled"]


def test_a_token_that_has_another_value_is_in_use(sm):
    told = sm.create_secret(Name="s", SecretString="v")
    with pytest.raises(ClientError, match="already in use for a version of secret") as caught:
        sm.create_secret(Name="s", SecretString="w", ClientRequestToken=told["VersionId"])
    assert caught.value.response["Error"]["Code"] == "ResourceExistsException"
