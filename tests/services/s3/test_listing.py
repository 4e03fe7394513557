from itertools import groupby

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.services.s3.index import successor
from modelyard.services.s3.listing import current_page

KEYS = sorted(["a", "a/1", "a/2", "a/b/1", "a/b/2", "b/1", "c", "c/", "ü/1", "ü/2", "z z", "😀"], key=str.encode)


@pytest.fixture
def filled(s3, bucket):
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    return bucket


def wanted(keys, prefix="", delimiter="", after=""):
    """What S3 lists, said in the simplest way: (keys, common prefixes)."""
    own = [key for key in keys if key.startswith(prefix) and key > after]
    plain = [key for key in own if not delimiter or delimiter not in key[len(prefix) :]]
    common = sorted({prefix + key[len(prefix) :].split(delimiter)[0] + delimiter for key in own if key not in plain}, key=str.encode)
    return plain, common


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("prefix", "delimiter"), [("", ""), ("", "/"), ("a/", "/"), ("a", "/"), ("a", ""), ("nope", "/"), ("", " "), ("ü", "/")]
)
@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_pages_of_any_size_are_the_whole(s3, filled, operation, prefix, delimiter, size):
    options = {"Prefix": prefix, "Delimiter": delimiter} if delimiter else {"Prefix": prefix}
    pages = list(s3.get_paginator(operation).paginate(Bucket=filled, PaginationConfig={"PageSize": size}, **options))
    keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    common = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
    assert (keys, common) == wanted(KEYS, prefix, delimiter)
    for page in pages:
        count = len(page.get("Contents", [])) + len(page.get("CommonPrefixes", []))
        assert count <= size and (count == size or not page["IsTruncated"])
        assert page.get("KeyCount", count) == count


def test_members_of_v2(s3, filled, refused):
    page = s3.list_objects_v2(Bucket=filled, StartAfter="a/2", MaxKeys=2, FetchOwner=True)
    assert [one["Key"] for one in page["Contents"]] == ["a/b/1", "a/b/2"]
    assert page["StartAfter"] == "a/2" and page["MaxKeys"] == 2 and page["Contents"][0]["Owner"]["ID"]
    assert "Owner" not in s3.list_objects_v2(Bucket=filled)["Contents"][0]
    assert s3.list_objects_v2(Bucket=filled, MaxKeys=0)["KeyCount"] == 0
    assert s3.list_objects_v2(Bucket=filled, MaxKeys=5000)["MaxKeys"] == 1000
    refused(lambda: s3.list_objects_v2(Bucket=filled, ContinuationToken="not one"), "InvalidArgument", 400)
    assert s3.list_objects(Bucket=filled, Marker="b/1")["Contents"][0]["Key"] == "c"


def test_url_encoding(yard, filled):
    import requests

    s3 = yard.client(signature_version="s3v4")
    url = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": filled, "EncodingType": "url", "Prefix": "z z"})
    assert "<Key>z%20z</Key>" in requests.get(url, timeout=5).text
    assert s3.list_objects_v2(Bucket=filled, Prefix="z z")["Contents"][0]["Key"] == "z z"


NAMES = st.text(alphabet=["a", "b", "/", "é", "\U0001f600", "\ud7ff", "\ue000", "\U0010ffff"], min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(NAMES, max_size=25, unique=True),
    prefix=st.one_of(st.just(""), NAMES),
    delimiter=st.sampled_from(["", "/", "a", "b/"]),
    after=st.one_of(st.just(""), NAMES),
)
def test_any_listing(yard, keys, prefix, delimiter, after):
    depot, name = yard.depot, "hypothesis"
    depot.index.db.grouped(lambda tx: tx.execute("DELETE FROM s3_objects WHERE bucket = ?", (name,)))
    depot.index.db.grouped(lambda tx: [depot.index.insert(tx, name, key, "null", False, 0, "", 0.0, "", {}) for key in keys])
    page = current_page(depot.index, name, prefix, delimiter, after, 1000)
    assert ([one.key for one in page.items], page.prefixes) == wanted(sorted(keys, key=str.encode), prefix, delimiter, after)


@given(st.lists(NAMES, min_size=1, max_size=8), NAMES)
def test_successor_bounds_a_prefix(names, prefix):
    end = successor(prefix)
    for name in names:
        assert name.startswith(prefix) == (prefix.encode() <= name.encode() and (not end or name.encode() < end.encode()))


def test_a_hundred_thousand_keys_under_one_prefix_cost_one_step(yard, s3, bucket, monkeypatch):
    index = yard.depot.index
    rows = [(bucket, f"big/{n:06}", "null", 1, 0, 1, "e", 0.0, "", "{}") for n in range(100_000)] + [
        (bucket, "z", "null", 1, 0, 1, "e", 0.0, "", "{}")
    ]
    with index.db.write() as tx:
        tx.executemany(
            "INSERT INTO s3_objects (bucket, key, version, latest, marker, size, etag, modified, blob, meta) VALUES (?,?,?,?,?,?,?,?,?,?)",
            rows,
        )
    read, current = [], index.current

    def counted(*asked):
        found = current(*asked)
        read.append(len(found))
        return found

    monkeypatch.setattr(index, "current", counted)
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["big/"] and [one["Key"] for one in page["Contents"]] == ["z"]
    page = s3.list_objects_v2(Bucket=bucket, Prefix="big/", StartAfter="big/09", MaxKeys=1)
    assert page["Contents"][0]["Key"] == "big/090000"
    assert len(read) < 6 and sum(read) < 150  # rows, of 100,001


def test_versions_page_by_page(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for n in range(4):
        for key in ("a", "d/x", "d/y", "e"):
            s3.put_object(Bucket=bucket, Key=key, Body=str(n).encode())
    s3.delete_object(Bucket=bucket, Key="a")
    for size in (1, 2, 3, 7, 1000):
        pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": size}))
        versions = [one for page in pages for one in page.get("Versions", [])]
        assert [(key, len(list(group))) for key, group in groupby(one["Key"] for one in versions)] == [
            ("a", 4),
            ("d/x", 4),
            ("d/y", 4),
            ("e", 4),
        ]
        assert [one["IsLatest"] for one in versions] == [False] * 4 + [True, False, False, False] * 3
        markers = [one for page in pages for one in page.get("DeleteMarkers", [])]
        assert [(one["Key"], one["IsLatest"]) for one in markers] == [("a", True)]
        pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size}))
        assert [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])] == ["d/"]
        assert len([one for page in pages for one in page.get("Versions", [])]) == 8
