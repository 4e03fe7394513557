"""Analytics, metrics and intelligent-tiering configurations: kept, listed in pages, checked in S3's words."""

import pytest
from botocore.exceptions import ClientError

from tests.support.platform import InProcess

ANALYTICS = {
    "Id": "one",
    "Filter": {"Prefix": "in/"},
    "StorageClassAnalysis": {
        "DataExport": {
            "OutputSchemaVersion": "V_1",
            "Destination": {"S3BucketDestination": {"Format": "CSV", "Bucket": "arn:aws:s3:::bkt", "Prefix": "out"}},
        }
    },
}
TIERING = {"Id": "one", "Filter": {"Prefix": "in/"}, "Status": "Enabled", "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]}
KINDS = {"analytics": ("Analytics", ANALYTICS), "metrics": ("Metrics", {"Id": "one", "Filter": {"Prefix": "in/"}}), "intelligent_tiering": ("IntelligentTiering", TIERING)}  # fmt: skip


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    yard = InProcess(tmp_path_factory.mktemp("recorded"))
    made = yard.client("s3")
    made.create_bucket(Bucket="bkt")
    yield made
    yard.close()


def call(s3, verb, word, **more):
    return getattr(s3, f"{verb}_bucket_{word}_configuration{'s' if verb == 'list' else ''}")(Bucket="bkt", **more)


@pytest.mark.parametrize("word", KINDS)
def test_what_is_put_is_read_listed_replaced_and_deleted(s3, word):
    name, document = KINDS[word]
    member = f"{name}Configuration"
    with pytest.raises(ClientError, match="NoSuchConfiguration"):
        call(s3, "get", word, Id="one")
    assert f"{member}List" not in call(s3, "list", word)
    put = call(s3, "put", word, Id="one", **{member: document})
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert call(s3, "get", word, Id="one")[member] == document
    other = {**document, "Filter": {"Prefix": "new/"}}
    call(s3, "put", word, Id="one", **{member: other})
    call(s3, "put", word, Id="two", **{member: {**other, "Id": "two"}})
    assert call(s3, "list", word)[f"{member}List"] == [other, {**other, "Id": "two"}]
    for one in ("one", "two"):
        call(s3, "delete", word, Id=one)
    with pytest.raises(ClientError, match="NoSuchConfiguration"):
        call(s3, "delete", word, Id="one")
    assert call(s3, "list", word)["IsTruncated"] is False


def test_lists_come_in_pages_of_a_hundred(s3):
    names = [f"m{number:03}" for number in range(102)]
    for name in names:
        call(s3, "put", "metrics", Id=name, MetricsConfiguration={"Id": name})
    first = call(s3, "list", "metrics")
    second = call(s3, "list", "metrics", ContinuationToken=first["NextContinuationToken"])
    told = [one["Id"] for page in (first, second) for one in page["MetricsConfigurationList"]]
    assert (first["IsTruncated"], second["IsTruncated"], len(first["MetricsConfigurationList"]), told) == (True, False, 100, names)
    with pytest.raises(ClientError, match="InvalidArgument"):
        call(s3, "list", "metrics", ContinuationToken="?")


@pytest.mark.parametrize(
    ("word", "change", "code"),
    [
        ("analytics", {"Id": "other"}, "MalformedXML"),
        ("intelligent_tiering", {"Id": "other"}, "MalformedXML"),
        ("metrics", {"Filter": {"And": {"Prefix": "a"}}}, "MalformedXML"),
        ("metrics", {"Filter": {"Prefix": "a", "Tag": {"Key": "k", "Value": "v"}}}, "MalformedXML"),
        ("intelligent_tiering", {"Tierings": [{"Days": 10, "AccessTier": "ARCHIVE_ACCESS"}]}, "InvalidArgument"),
        ("intelligent_tiering", {"Tierings": TIERING["Tierings"] * 2}, "MalformedXML"),
        ("intelligent_tiering", {"Status": "On"}, "MalformedXML"),
    ],
)
def test_wrong_configurations(s3, word, change, code):
    name, document = KINDS[word]
    with pytest.raises(ClientError) as problem:
        call(s3, "put", word, Id="one", **{f"{name}Configuration": {**document, **change}})
    assert problem.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError, match="NoSuchConfiguration"):
        call(s3, "get", word, Id="one")
