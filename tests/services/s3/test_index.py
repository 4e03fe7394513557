"""The depot over SQLite and PostgreSQL: the same tests for both."""

import os

import pytest

from modelyard.config import Settings
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.errors import ApiError
from modelyard.kernel.platform import Platform
from modelyard.kernel.service import BytesBody
from modelyard.services.s3 import install
from modelyard.services.s3.depot import Draft
from modelyard.services.s3.ingest import Promise, receive
from modelyard.services.s3.listing import current_page
from tests.support.needs import require
from tests.support.postgres import cluster


@pytest.fixture(scope="module")
def url(request):
    require("postgresql")
    with cluster() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
def depot(request, tmp_path):
    store = "" if request.param == "sqlite" else request.getfixturevalue("url")
    made = install(Platform(Settings(data=tmp_path, store=store), ManualClock(), None))
    for table in ("s3_buckets", "s3_objects", "s3_uploads", "s3_parts", "s3_small"):
        made.index.db.grouped(lambda tx, table=table: tx.execute(f"DELETE FROM {table}"))
    made.index.db.grouped(
        lambda tx: tx.execute("INSERT INTO s3_buckets VALUES (?,?,?,?,?,?,?)", ("b", "1" * 12, "us-east-1", 0.0, "", None, "{}"))
    )
    yield made
    made.index.db.close()


def put(depot, key, data):
    return depot.put("b", key, Draft(receive(depot.blobs, BytesBody(data), Promise()), {}))


def read(depot, key, version=None):
    _, data = depot.find_open("b", key, version)
    return data if isinstance(data, bytes) else data.read()


def test_put_replace_delete(depot):
    for data in (b"", b"small", os.urandom(100_000), b"small again"):
        put(depot, "k", data)
        assert read(depot, "k") == data
    depot.delete("b", "k", None)
    with pytest.raises(ApiError, match="NoSuchKey"):
        read(depot, "k")
    assert depot.index.db.read("SELECT (SELECT count(*) FROM s3_objects), (SELECT count(*) FROM s3_small)") == [(0, 0)]


def test_versions(depot):
    depot.index.change_bucket("b", versioning="Enabled")
    made = [put(depot, "k", bytes([n])) for n in range(3)]
    _, marker = depot.delete("b", "k", None)
    assert [one.version for one in depot.index.history("b", "", True, None, 10)] == [marker.version, *[one.version for one in made[::-1]]]
    depot.delete("b", "k", marker.version)
    assert read(depot, "k") == b"\2" and depot.index.latest("b", "k").version == made[2].version
    assert read(depot, "k", made[0].version) == b"\0"


def test_keys_sort_by_their_bytes(depot):
    keys = ["a", "B", "a/", "a/b", "ä", "z", "Z", "_", "\ue000", "\U0001f600", "a b"]
    for key in keys:
        put(depot, key, b"")
    page = current_page(depot.index, "b", "", "", "", 1000)
    assert [one.key for one in page.items] == sorted(keys, key=str.encode)
    assert current_page(depot.index, "b", "a", "/", "", 1000).prefixes == ["a/"]


def test_a_refused_put_changes_nothing(depot):
    put(depot, "k", b"old")

    def refuse(have):
        assert have.key == "k"
        raise ApiError("PreconditionFailed", "no", 412)

    with pytest.raises(ApiError, match="PreconditionFailed"):
        depot.put("b", "k", Draft(receive(depot.blobs, BytesBody(b"new"), Promise()), {}), refuse)
    assert read(depot, "k") == b"old"
    with pytest.raises(ApiError, match="NoSuchBucket"):
        depot.put("gone", "k", Draft(receive(depot.blobs, BytesBody(b"x" * 50_000), Promise()), {}))
    assert depot.sweep(grace_s=-5) == 0
