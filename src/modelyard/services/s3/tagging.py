"""Tags of buckets (up to 50) and of object versions (up to 10)."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.database import Tx
from modelyard.services.s3 import api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import no_such_key, not_found
from modelyard.services.s3.index import Version
from modelyard.services.s3.keys import checked_tags, version_member
from modelyard.services.s3.notices import Cause


@api.operation
def put_bucket_tagging(call, request):
    home = owned_bucket(call, request)
    depot_of(call).index.change_settings(home.name, "Tagging", checked_tags(request["Tagging"]["TagSet"], limit=50))
    return {}


@api.operation
def get_bucket_tagging(call, request):
    home = owned_bucket(call, request)
    if not home.settings.get("Tagging"):
        raise not_found("NoSuchTagSet", "The TagSet does not exist", home.name)
    return {"TagSet": tag_set(home.settings["Tagging"])}


@api.operation
def delete_bucket_tagging(call, request):
    home = owned_bucket(call, request)
    depot_of(call).index.change_settings(home.name, "Tagging", None)
    return {}


@api.operation
def put_object_tagging(call, request):
    tags = checked_tags(request["Tagging"]["TagSet"], limit=10)
    return _set_tags(call, request, tags)


@api.operation
def get_object_tagging(call, request):
    home = owned_bucket(call, request)
    found = depot_of(call).find_whole(home.name, request, "GET")
    return {"TagSet": tag_set(dict(sorted((found.meta.get("tags") or {}).items()))), **version_member(found, home.versioning)}


@api.operation
def delete_object_tagging(call, request):
    return _set_tags(call, request, {})


def _set_tags(call: Any, request: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
    depot, home = depot_of(call), owned_bucket(call, request)
    found = depot.find_whole(home.name, request, "PUT" if request.get("Tagging") else "DELETE")
    noted: list[bool] = []

    def work(tx: Tx) -> Version:
        now = depot.index.version(found.bucket, found.key, found.version, tx)
        if now is None:
            raise no_such_key(found.bucket, found.key)
        depot.index.set_meta(tx, now, {**now.meta, "tags": tags})
        cause = Cause(f"ObjectTagging:{'Put' if request.get('Tagging') else 'Delete'}", call)
        noted.append(depot.changed(tx, depot.bucket(home.name, tx), now, cause))
        return now

    done = depot.index.db.grouped(work)
    depot.tell(noted)
    return version_member(done, home.versioning)


def tag_set(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
