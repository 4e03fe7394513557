"""Parameters by a real client: versions, labels, paths, secure strings, policies, permissions."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from tests.support import inproc
from tests.support.platform import ACCOUNT

DAY = 86400.0


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def ssm(yard):
    return yard.client("ssm")


def refused(code: str, call, text: str = "", **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert text in error["Message"], error


def test_a_parameter_is_put_and_read(ssm, yard):
    assert ssm.put_parameter(Name="/app/db/host", Value="a", Type="String", Description="d") == _any(Version=1, Tier="Standard")
    refused("ParameterAlreadyExists", ssm.put_parameter, "set the overwrite option", Name="/app/db/host", Value="b", Type="String")
    yard.platform.clock.advance(10)
    assert ssm.put_parameter(Name="/app/db/host", Value="b", Overwrite=True)["Version"] == 2
    told = ssm.get_parameter(Name="/app/db/host")["Parameter"]
    arn = f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/app/db/host"
    assert {"Name": "/app/db/host", "Value": "b", "Version": 2, "Type": "String", "ARN": arn, "DataType": "text"}.items() <= told.items()
    assert told["LastModifiedDate"].timestamp() == yard.platform.clock.now()
    assert ssm.get_parameter(Name=arn)["Parameter"]["Value"] == "b"
    old = ssm.get_parameter(Name="/app/db/host:1")["Parameter"]
    assert (old["Value"], old["Selector"]) == ("a", ":1")
    refused("ParameterNotFound", ssm.get_parameter, "/nothing", Name="/nothing")
    refused("ParameterVersionNotFound", ssm.get_parameter, "could not find version 3", Name="/app/db/host:3")
    many = ssm.get_parameters(Names=["/app/db/host", "/nothing", "/app/db/host:9"])
    assert [one["Value"] for one in many["Parameters"]] == ["b"]
    assert sorted(many["InvalidParameters"]) == ["/app/db/host:9", "/nothing"]
    ssm.delete_parameter(Name="/app/db/host")
    refused("ParameterNotFound", ssm.delete_parameter, Name="/app/db/host")
    ssm.put_parameter(Name="/app/db/host", Value="anew", Type="String")
    assert [one["Value"] for one in ssm.get_parameter_history(Name="/app/db/host")["Parameters"]] == ["anew"]


class _any(dict):
    def __eq__(self, other):
        return all(other.get(name) == value for name, value in self.items())

    __hash__ = None


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("aws-thing", "ValidationException", 'can\'t be prefixed with "aws" or "ssm" (case-insensitive).'),
        ("/SSMx", "ValidationException", 'can\'t be prefixed with "aws" or "ssm" (case-insensitive).'),
        ("/awsome/x", "AccessDeniedException", "No access to reserved parameter name: /awsome/x."),
        ("/ssm/x", "ValidationException", 'can\'t be prefixed with "ssm"'),
        ("/aws/x", "AccessDeniedException", "No access to reserved parameter name: /aws/x."),
        ("a/b", "ValidationException", "must be a fully qualified name"),
        ("/a b", "ValidationException", "Parameter name"),
        ("/a/", "ValidationException", "slash"),
        ("/a//b", "ValidationException", "empty sub-path"),
        ("/" + "/".join("abcdefghijklmnop"), "HierarchyLevelLimitExceededException", "15 levels"),
        ("/" + "x" * 1100, "ValidationException", "too long"),
        ("/a:1", "ValidationException", "Parameter name"),
    ],
)
def test_names_that_a_parameter_cannot_have(ssm, name, code, text):
    message = "Invalid parameter name" if text == "Parameter name" else text
    refused(code, ssm.put_parameter, message, Name=name, Value="x", Type="String")


def test_values_that_a_parameter_cannot_have(ssm):
    def put(**more):
        return {"Name": "/p", "Value": "x", "Type": "String", **more}

    refused("ValidationException", ssm.put_parameter, "maximum parameter value of 4096 characters", **put(Value="x" * 4097))
    refused(
        "ValidationException", ssm.put_parameter, "maximum parameter value of 8192 characters", **put(Value="x" * 8193, Tier="Advanced")
    )
    refused("ValidationException", ssm.put_parameter, "greater than or equal to 1", **put(Value=""))
    refused("ParameterPatternMismatchException", ssm.put_parameter, "allowedPattern", **put(Value="12a", AllowedPattern=r"\d+"))
    refused("ParameterPatternMismatchException", ssm.put_parameter, **put(Value="a" * 40 + "!", AllowedPattern="(a+)+$"))
    refused("InvalidAllowedPatternException", ssm.put_parameter, **put(AllowedPattern="("))
    refused("ValidationException", ssm.put_parameter, "SecureString type parameter only", **put(KeyId="alias/aws/ssm"))
    refused("ValidationException", ssm.put_parameter, "AMI ID format", **put(DataType="aws:ec2:image"))
    refused("ValidationException", ssm.put_parameter, "no image", **put(DataType="aws:ec2:image", Value="ami-12345678"))
    refused("ValidationException", ssm.put_parameter, "not built", **put(DataType="aws:ssm:integration"))
    past = {**EXPIRES, "Attributes": {"Timestamp": "1970-01-01T00:00:00Z"}}
    refused("InvalidPolicyAttributeException", ssm.put_parameter, **put(Tier="Advanced", Policies=json.dumps([past])))
    refused("ValidationException", ssm.put_parameter, "type is required", Name="/p", Value="x")
    refused("ValidationException", ssm.put_parameter, "advanced-parameter tier only", **put(Policies=json.dumps([EXPIRES])))
    refused("ValidationException", ssm.put_parameter, "tags and overwrite", **put(Tags=[{"Key": "a", "Value": "b"}], Overwrite=True))
    refused("InvalidKeyId", ssm.put_parameter, "alias/none is not found", **put(Type="SecureString", KeyId="alias/none"))
    assert ssm.put_parameter(**put(Value="x" * 5000, Tier="Intelligent-Tiering"))["Tier"] == "Advanced"
    refused("ValidationException", ssm.put_parameter, "can't downgrade", **put(Overwrite=True, Tier="Standard"))
    refused("HierarchyTypeMismatchException", ssm.put_parameter, **put(Overwrite=True, Type="StringList"))


def test_a_hundred_versions_are_kept_and_labels_hold_them(ssm, yard):
    ssm.put_parameter(Name="/v", Value="1", Type="String")
    for number in range(2, 102):
        ssm.put_parameter(Name="/v", Value=str(number), Overwrite=True)
    pages = list(ssm.get_paginator("get_parameter_history").paginate(Name="/v"))
    assert [one["Version"] for page in pages for one in page["Parameters"]] == list(range(2, 102))
    refused("ParameterVersionNotFound", ssm.get_parameter, Name="/v:1")
    told = ssm.label_parameter_version(Name="/v", ParameterVersion=2, Labels=["prod", "9no", "aws-no"])
    assert (told["InvalidLabels"], told["ParameterVersion"]) == (["9no", "aws-no"], 2)
    assert ssm.get_parameter(Name="/v:prod")["Parameter"]["Value"] == "2"
    refused(
        "ParameterMaxVersionLimitExceeded",
        ssm.put_parameter,
        "can't be deleted because it has a label",
        Name="/v",
        Value="z",
        Overwrite=True,
    )
    ssm.label_parameter_version(Name="/v", Labels=["prod"])
    assert ssm.get_parameter(Name="/v:prod")["Parameter"]["Value"] == "101"
    assert ssm.put_parameter(Name="/v", Value="z", Overwrite=True)["Version"] == 102
    refused(
        "ParameterVersionLabelLimitExceeded",
        ssm.label_parameter_version,
        Name="/v",
        ParameterVersion=101,
        Labels=[f"l{n}" for n in range(10)],
    )
    gone = ssm.unlabel_parameter_version(Name="/v", ParameterVersion=101, Labels=["prod", "other"])
    assert (gone["RemovedLabels"], gone["InvalidLabels"]) == (["prod"], ["other"])
    refused("ParameterVersionNotFound", ssm.get_parameter, "label prod", Name="/v:prod")
    ssm.delete_parameter(Name="/v")
    yard.settle({"ssm-parameter"})
    assert yard.platform.store.db.read("SELECT count(*) FROM parameter_history") == [(0,)]


def test_writers_at_the_same_time_lose_nothing(ssm, yard):
    ssm.put_parameter(Name="/w", Value="0", Type="String")
    clients = [yard.client("ssm") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda n: clients[n % 4].put_parameter(Name="/w", Value=str(n), Overwrite=True)["Version"], range(1, 25)))
    assert sorted(numbers) == list(range(2, 26))
    history = ssm.get_parameter_history(Name="/w")["Parameters"]
    assert [one["Version"] for one in history] == list(range(1, 26))
    assert sorted(int(one["Value"]) for one in history) == list(range(25))
    assert all(one["Value"] == str(numbers.index(one["Version"]) + 1) for one in history[1:])


def test_by_path(ssm):
    for name in ("/a/1", "/a/2", "/a/b/3", "/a/b/c/4", "/ab/5", "/a"):
        ssm.put_parameter(Name=name, Value=name, Type="String")
    for number in range(12):
        ssm.put_parameter(Name=f"/many/{number:02d}", Value="x", Type="StringList" if number % 2 else "String")

    def names(**request):
        pages = ssm.get_paginator("get_parameters_by_path").paginate(**request)
        return [one["Name"] for page in pages for one in page["Parameters"]]

    assert names(Path="/a") == names(Path="/a/") == ["/a/1", "/a/2"]
    assert names(Path="/a", Recursive=True) == ["/a/1", "/a/2", "/a/b/3", "/a/b/c/4"]
    assert names(Path="/", Recursive=False) == ["/a"]
    assert len(names(Path="/", Recursive=True)) == 18
    assert names(Path="/many", PaginationConfig={"PageSize": 5}) == [f"/many/{n:02d}" for n in range(12)]
    assert len(names(Path="/many", ParameterFilters=[{"Key": "Type", "Values": ["StringList"]}])) == 6
    ssm.label_parameter_version(Name="/a/1", Labels=["x"])
    ssm.put_parameter(Name="/a/1", Value="newer", Overwrite=True)
    found = ssm.get_parameters_by_path(Path="/a", ParameterFilters=[{"Key": "Label", "Values": ["x"]}])["Parameters"]
    assert [(one["Name"], one["Value"]) for one in found] == [("/a/1", "/a/1")]
    refused("InvalidFilterKey", ssm.get_parameters_by_path, Path="/a", ParameterFilters=[{"Key": "Name", "Values": ["x"]}])
    refused("ValidationException", ssm.get_parameters_by_path, "must begin with a forward slash", Path="a")
    refused("InvalidNextToken", ssm.get_parameters_by_path, Path="/a", NextToken="nothing")


def test_describing(ssm):
    ssm.put_parameter(Name="/d/one", Value="x", Type="String", Tags=[{"Key": "team", "Value": "a"}], AllowedPattern=".*")
    ssm.put_parameter(Name="/d/sub/two", Value="x", Type="SecureString")
    ssm.put_parameter(Name="plain", Value="x", Type="StringList", Tier="Advanced")

    def names(*filters, **more):
        pages = ssm.get_paginator("describe_parameters").paginate(ParameterFilters=list(filters), **more)
        return [one["Name"] for page in pages for one in page["Parameters"]]

    assert names() == names(PaginationConfig={"PageSize": 1}) == ["/d/one", "/d/sub/two", "plain"]
    assert names({"Key": "Name", "Values": ["plain"]}) == ["plain"]
    assert names({"Key": "Name", "Option": "Contains", "Values": ["sub"]}) == ["/d/sub/two"]
    assert names({"Key": "Name", "Option": "BeginsWith", "Values": ["/d"]}) == ["/d/one", "/d/sub/two"]
    assert names({"Key": "Path", "Values": ["/d"]}) == ["/d/one"]
    assert names({"Key": "Path", "Option": "Recursive", "Values": ["/d"]}) == ["/d/one", "/d/sub/two"]
    assert names({"Key": "Tier", "Values": ["Advanced"]}) == ["plain"]
    assert names({"Key": "KeyId", "Values": ["alias/aws/ssm"]}) == ["/d/sub/two"]
    assert names({"Key": "tag:team", "Values": ["a"]}) == ["/d/one"]
    assert names({"Key": "tag:team", "Values": ["b"]}) == []
    told = ssm.describe_parameters(ParameterFilters=[{"Key": "Type", "Values": ["SecureString"]}])["Parameters"][0]
    assert "Value" not in told
    assert told["KeyId"] == "alias/aws/ssm"
    assert [one["Name"] for one in ssm.describe_parameters(Filters=[{"Key": "Name", "Values": ["pl"]}])["Parameters"]] == ["plain"]
    refused("InvalidFilterOption", ssm.describe_parameters, ParameterFilters=[{"Key": "Type", "Option": "Contains", "Values": ["x"]}])
    refused("InvalidFilterValue", ssm.describe_parameters, ParameterFilters=[{"Key": "Type", "Values": ["x"]}])
    refused("InvalidFilterKey", ssm.describe_parameters, ParameterFilters=[{"Key": "tag:a", "Values": ["x"]}] * 2)


def test_secure_strings_are_ciphertext_everywhere_but_in_the_answer(ssm, yard):
    secret = "s3cret-value-0123456789"
    ssm.put_parameter(Name="/s", Value=secret, Type="SecureString")
    ssm.put_parameter(Name="/s", Value=secret + "-2", Overwrite=True)
    assert ssm.get_parameter(Name="/s", WithDecryption=True)["Parameter"]["Value"] == secret + "-2"
    assert ssm.get_parameter(Name="/s:1", WithDecryption=True)["Parameter"]["Value"] == secret
    sealed = base64.b64decode(ssm.get_parameter(Name="/s")["Parameter"]["Value"])
    assert secret.encode() not in sealed
    for path in yard.settings.data.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    key = yard.client("kms").create_key()["KeyMetadata"]["KeyId"]
    ssm.put_parameter(Name="/own", Value=secret, Type="SecureString", KeyId=key)
    opened = yard.client("kms").decrypt(
        CiphertextBlob=base64.b64decode(ssm.get_parameter(Name="/own")["Parameter"]["Value"]),
        EncryptionContext={"PARAMETER_ARN": f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/own"},
    )
    assert opened["Plaintext"].decode() == secret
    yard.client("kms").disable_key(KeyId=key)
    refused("InvalidKeyId", ssm.get_parameter, "is disabled.", Name="/own", WithDecryption=True)


def _user(yard, name, *statements):
    iam = yard.client("iam")
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(
            UserName=name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return inproc.client(yard.gateway, "ssm", key=key["AccessKeyId"], secret=key["SecretAccessKey"])


def test_permissions_are_by_path_and_by_key(ssm, yard):
    ssm.put_parameter(Name="/app/a", Value="x", Type="String")
    ssm.put_parameter(Name="/other/b", Value="x", Type="String")
    key = yard.client("kms").create_key()["KeyMetadata"]["Arn"]
    ssm.put_parameter(Name="/app/secret", Value="x", Type="SecureString", KeyId=key)
    arn = f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/app/*"
    app = _user(yard, "app", {"Effect": "Allow", "Action": "ssm:Get*", "Resource": arn})
    assert app.get_parameter(Name="/app/a:1")["Parameter"]["Value"] == "x"
    assert len(app.get_parameters_by_path(Path="/app/")["Parameters"]) == 2
    refused("AccessDeniedException", app.get_parameter, "parameter/other/b", Name="/other/b")
    refused("AccessDeniedException", app.get_parameters, Names=["/app/a", "/other/b"])
    refused("AccessDeniedException", app.put_parameter, Name="/app/a", Value="y", Overwrite=True)
    refused("AccessDeniedException", app.get_parameter, "kms:Decrypt", Name="/app/secret", WithDecryption=True)
    assert app.get_parameter(Name="/app/secret")["Parameter"]["Type"] == "SecureString"
    decrypt = {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": key,
        "Condition": {"StringEquals": {"kms:EncryptionContext:PARAMETER_ARN": arn[:-1] + "secret"}},
    }
    reader = _user(yard, "reader", {"Effect": "Allow", "Action": "ssm:Get*", "Resource": "*"}, decrypt)
    assert reader.get_parameter(Name="/app/secret", WithDecryption=True)["Parameter"]["Value"] == "x"
    nobody = _user(yard, "nobody")
    tagged = {"ResourceType": "Parameter", "ResourceId": "/app/a"}
    for method, request in (
        (nobody.delete_parameter, {"Name": "/app/a"}), (nobody.delete_parameters, {"Names": ["/app/a"]}), (nobody.describe_parameters, {}),
        (nobody.label_parameter_version, {"Name": "/app/a", "Labels": ["x"]}), (nobody.get_parameter_history, {"Name": "/app/a"}),
        (nobody.unlabel_parameter_version, {"Name": "/app/a", "Labels": ["x"], "ParameterVersion": 1}), (nobody.list_tags_for_resource, tagged),
        (nobody.add_tags_to_resource, {**tagged, "Tags": []}), (nobody.remove_tags_from_resource, {**tagged, "TagKeys": ["a"]}),
    ):  # fmt: skip
        refused("AccessDeniedException", method, **request)


def test_tags(ssm):
    ssm.put_parameter(Name="/t", Value="x", Type="String", Tags=[{"Key": "a", "Value": "1"}])
    ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId="/t", Tags=[{"Key": "b", "Value": "2"}])
    ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId="/t", TagKeys=["a"])
    assert ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/t")["TagList"] == [{"Key": "b", "Value": "2"}]
    refused("InvalidResourceId", ssm.list_tags_for_resource, ResourceType="Parameter", ResourceId="/none")
    refused("NotImplemented", ssm.list_tags_for_resource, ResourceType="Document", ResourceId="x")


def test_public_parameters(ssm):
    name = "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2"
    told = ssm.get_parameter(Name=name)["Parameter"]
    assert told["ARN"] == f"arn:aws:ssm:us-east-1::parameter{name}"
    assert told["Value"].startswith("ami-0")
    assert len(told["Value"]) == 21
    assert told["DataType"] == "aws:ec2:image"
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path="/aws/service/ami-amazon-linux-latest")
    assert name in [one["Name"] for page in pages for one in page["Parameters"]]
    assert (
        ssm.get_parameter(Name="/aws/service/global-infrastructure/regions/eu-central-1/longName")["Parameter"]["Value"]
        == "Europe (Frankfurt)"
    )
    refused("AccessDeniedException", ssm.put_parameter, "reserved", Name=name, Value="x", Type="String", Overwrite=True)


EXPIRES = {"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": "2099-01-01T00:00:00.000Z"}}


def test_policies_act_on_the_platform_clock(ssm, yard):
    clock = yard.platform.clock
    when = datetime.fromtimestamp(clock.now() + 20 * DAY, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    policies = [
        {"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": when}},
        {"Type": "ExpirationNotification", "Version": "1.0", "Attributes": {"Before": "5", "Unit": "Days"}},
        {"Type": "NoChangeNotification", "Version": "1.0", "Attributes": {"After": "10", "Unit": "Days"}},
    ]
    ssm.put_parameter(Name="/e", Value="x", Type="String", Tier="Advanced", Policies=json.dumps(policies))
    assert {one["PolicyType"] for one in ssm.describe_parameters()["Parameters"][0]["Policies"]} == {one["Type"] for one in policies}

    def told():
        events = [one for one in yard.platform.store.events(0, 1000) if one.kind == "ssm-parameter" and "aws" in one.detail]
        return [
            (one.detail["aws"]["detail-type"], one.detail["aws"]["detail"].get("policy-type") or one.detail["aws"]["detail"]["operation"])
            for one in events
        ]

    change, action = "Parameter Store Change", "Parameter Store Policy Action"
    for days, said in (
        (9, []),
        (1, [(action, "NoChangeNotification")]),
        (5, [(action, "ExpirationNotification")]),
        (5, [(action, "Expiration"), (change, "Delete")]),
    ):
        before = told()
        clock.advance(days * DAY)
        yard.settle({"ssm-parameter"})
        yard.settle({"ssm-parameter"})
        assert told()[len(before) :] == said
    refused("ParameterNotFound", ssm.get_parameter, Name="/e")
    for wrong, code in (
        ("x", "InvalidPolicyAttributeException"), ([{"Type": "No"}], "InvalidPolicyTypeException"), ([policies[1]], "IncompatiblePolicyException"),
        ([{**EXPIRES, "Attributes": {"Timestamp": "soon"}}], "InvalidPolicyAttributeException"), ([EXPIRES] * 2, "IncompatiblePolicyException"),
    ):  # fmt: skip
        text = wrong if isinstance(wrong, str) else json.dumps(wrong)
        refused(code, ssm.put_parameter, Name="/w", Value="x", Type="String", Tier="Advanced", Policies=text)


def test_what_is_not_built_says_so(ssm):
    refused("NotImplemented", ssm.describe_instance_information)


def test_an_advanced_secure_string_has_a_data_key_of_its_own(ssm, yard):
    value = "secret " * 1000
    ssm.put_parameter(Name="/big", Value=value, Type="SecureString", Tier="Advanced")
    assert ssm.get_parameter(Name="/big", WithDecryption=True)["Parameter"]["Value"] == value
    assert "secret" not in ssm.get_parameter(Name="/big")["Parameter"]["Value"]
    key = yard.client("kms").create_key()["KeyMetadata"]["Arn"]
    only = {"Effect": "Allow", "Action": ["ssm:*", "kms:GenerateDataKey", "kms:Decrypt"], "Resource": "*"}
    iam = yard.client("iam")
    iam.create_user(UserName="u")
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [only]}))
    made = iam.create_access_key(UserName="u")["AccessKey"]
    mine = inproc.client(yard.gateway, "ssm", key=made["AccessKeyId"], secret=made["SecretAccessKey"])
    mine.put_parameter(Name="/mine", Value="x", Type="SecureString", Tier="Advanced", KeyId=key)
    assert mine.get_parameter(Name="/mine", WithDecryption=True)["Parameter"]["Value"] == "x"
    refused("AccessDeniedException", mine.put_parameter, "kms:Encrypt", Name="/plain", Value="x", Type="SecureString", KeyId=key)


def test_images_and_infrastructure_that_public_parameters_name(ssm):
    name = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
    image = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    ssm.put_parameter(Name="/image", Value=image, Type="String", DataType="aws:ec2:image")
    assert ssm.get_parameter(Name="/image")["Parameter"]["DataType"] == "aws:ec2:image"
    world = "/aws/service/global-infrastructure/"
    assert ssm.get_parameter(Name=f"{world}services/sagemaker")["Parameter"]["Value"] == "sagemaker"
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=f"{world}services/sagemaker/regions")
    assert "eu-west-1" in [one["Value"] for page in pages for one in page["Parameters"]]


def test_what_an_update_does_not_say_stays(ssm):
    ssm.put_parameter(Name="/kept", Value="1", Type="String", Description="d", AllowedPattern=r"\d+")
    ssm.put_parameter(Name="/kept", Value="2", Overwrite=True)
    told = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": ["/kept"]}])["Parameters"][0]
    assert (told["Description"], told["AllowedPattern"], told["Version"]) == ("d", r"\d+", 2)
    refused("ParameterPatternMismatchException", ssm.put_parameter, Name="/kept", Value="x", Overwrite=True)
    ssm.put_parameter(Name="/kept", Value="x", AllowedPattern="", Description="", Overwrite=True)
    ssm.put_parameter(Name="/dated", Value="1", Type="String", Tier="Advanced", Policies=json.dumps([EXPIRES]))
    policies = {"ParameterFilters": [{"Key": "Name", "Values": ["/dated"]}]}
    ssm.put_parameter(Name="/dated", Value="2", Overwrite=True)
    assert len(ssm.describe_parameters(**policies)["Parameters"][0]["Policies"]) == 1
    ssm.put_parameter(Name="/dated", Value="2", Overwrite=True, Policies="[{}]")
    assert ssm.describe_parameters(**policies)["Parameters"][0]["Policies"] == []
    assert "Description" not in ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": ["/kept"]}])["Parameters"][0]
