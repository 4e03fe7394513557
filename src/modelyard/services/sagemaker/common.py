"""What the resources of SageMaker share: ARNs, tags, paged lists, common errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved

PAGE = 10
"""MaxResults where a client names none, as AWS documents for the List operations of SageMaker."""
FILTERED_BATCH = 200
"""Records read at once where some of them are filtered out."""
SORTS = {"Name": "name", "CreationTime": "created_at", "LastModifiedTime": "updated_at", "Status": "status"}


def arn_of(call: Any, kind: str, name: str) -> str:
    """`arn:aws:sagemaker:us-east-1:123456789012:training-job/name`; names are lower-cased in ARNs as AWS does."""
    return f"arn:aws:sagemaker:{call.region}:{call.account}:{kind}/{name.lower()}"


def full_arn(call: Any, kind: str, name_or_arn: str) -> str:
    """The ARN, for members that take a name or an ARN (which may be of another account)."""
    if not name_or_arn.startswith("arn:"):
        return arn_of(call, kind, name_or_arn)
    front, slash, name = name_or_arn.partition("/")
    return front + slash + name.lower()


def user_context(call: Any) -> dict[str, Any]:
    """Who made something, as CreatedBy and LastModifiedBy have it."""
    return {"IamIdentity": {"Arn": call.principal.arn, "PrincipalId": call.principal.user_id}}


def changed(
    call: Any,
    read: Callable[[], Record],
    change: Callable[[Record], dict[str, Any]],
    detail: Callable[[Record, dict[str, Any]], dict[str, Any]] | None = None,
) -> Record:
    """Reads, decides and writes again until nobody came in between. `change` answers the members of the spec to set (None removes one);
    `detail(record as it was, those members)` goes into the event. For records that no reconciler has to look at again."""
    while True:
        record = read()
        patch = change(record)
        try:
            return call.store.request(record, patch, due=False, detail=detail(record, patch) if detail else None)
        except Moved:
            continue


def tags_of(request: Mapping[str, Any]) -> dict[str, str]:
    """The Tags of a create request as a dict; duplicates and reserved keys are refused as AWS refuses them."""
    tags: dict[str, str] = {}
    for tag in request.get("Tags", []):
        key = tag["Key"]
        if key in tags:
            raise validation(f"Duplicate tag keys found. Please note that Tag keys are case insensitive: {key}")
        if key.lower().startswith("aws:"):
            raise validation("Tag keys starting with 'aws:' are reserved for system use")
        tags[key] = tag["Value"]
    return tags


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def list_page(
    call: Any,
    kind: str,
    request: Mapping[str, Any],
    *,
    default_sort: str = "CreationTime",
    default_order: str = "Descending",
    status: Sequence[str] | str | None = None,
    keep: Callable[[Record], bool] | None = None,
    whose: tuple[str, str] | None = None,
    owner: str | None = None,
) -> tuple[list[Record], dict[str, str]]:
    """One page of a List operation, and `{"NextToken": …}` where there is more.

    Understands MaxResults, NextToken, NameContains, SortBy, SortOrder, StatusEquals, CreationTimeAfter/Before and
    LastModifiedTimeAfter/Before (CreatedAfter/Before in the newer operations). A token belongs to the filters and the order it was made with.
    `keep` filters by what has no index, `owner` by the owning record; `whose` is another (account, region) than the caller's.
    """
    sort_by, order = request.get("SortBy", default_sort), request.get("SortOrder", default_order)
    column = SORTS.get(sort_by)
    if column is None:
        raise validation(f"Sorting by {sort_by} is not built yet; use one of {', '.join(SORTS)}.")
    asked = sorted((k, v) for k, v in request.items() if k not in ("MaxResults", "NextToken"))
    token = decode_token(request.get("NextToken"), validation)
    if token is not None and (not isinstance(token, list) or len(token) != 3 or token[0] != repr(asked) or not _is_place(token[1:])):
        raise validation("The pagination token is invalid: it belongs to another request.")
    limit = request.get("MaxResults", PAGE)
    account, region = whose or (call.account, call.region)
    place: tuple[Any, str] | None = tuple(token[1:]) if token else None
    found: list[Record] = []
    while True:
        batch = call.store.list(
            kind,
            account,
            region,
            owner=owner,
            contains=request.get("NameContains"),
            status=status if status is not None else request.get("StatusEquals"),
            created_after=request.get("CreationTimeAfter", request.get("CreatedAfter")),
            created_before=request.get("CreationTimeBefore", request.get("CreatedBefore")),
            updated_after=request.get("LastModifiedTimeAfter"),
            updated_before=request.get("LastModifiedTimeBefore"),
            order_by=column,
            descending=order == "Descending",
            limit=limit + 1 if keep is None else FILTERED_BATCH,
            after=place,
        )
        found += batch if keep is None else filter(keep, batch)
        if keep is None or len(found) > limit or len(batch) < FILTERED_BATCH:
            break
        place = (getattr(batch[-1], column), batch[-1].name)
    if len(found) <= limit:
        return found, {}
    last = found[limit - 1]
    return found[:limit], {"NextToken": encode_token([repr(asked), getattr(last, column), last.name])}


def _is_place(place: list[Any]) -> bool:
    """A value of the sorting column, and a name: clients can make up tokens."""
    return (
        isinstance(place[0], (str, int, float))
        and abs(place[0] if not isinstance(place[0], str) else 0) < 1 << 63
        and isinstance(place[1], str)
    )


def parse_s3_uri(uri: str, member: str) -> tuple[str, str]:
    """`s3://bucket/some/key` → (bucket, key or prefix, possibly empty)."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise validation(
            f"1 validation error detected: Value '{uri}' at '{member}' failed to satisfy constraint: it must be an S3 URI (s3://bucket/key)."
        )
    return bucket, key


def client_error(message: str) -> ApiError:
    """A failure that the customer caused, as it stands in a job's FailureReason."""
    return ApiError("ClientError", message, 400)
