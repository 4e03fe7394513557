"""Versions of a pipeline: each changed definition is one, counted from 1. Aliases name them; an alias is one version's at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record, new_uid
from modelyard.kernel.store import Moved
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import PAGE, changed
from modelyard.services.sagemaker.pipeline.lifecycle import VERSION
from modelyard.services.sagemaker.pipeline.lookup import the_pipeline

MOST_ALIASES = 10
NAMED = ("PipelineVersionDisplayName", "PipelineVersionDescription")


@api.operation
def list_pipeline_versions(call, request):
    pipeline = the_pipeline(call, request["PipelineName"])
    after, before = request.get("CreatedAfter"), request.get("CreatedBefore")
    found = [
        version
        for version in call.store.by_uids(pipeline.spec["versions"])
        if (after is None or version.created_at > after) and (before is None or version.created_at < before)
    ]
    if request.get("SortOrder", "Descending") == "Descending":
        found.reverse()
    start, size = decode_token(request.get("NextToken"), validation, 0) or 0, request.get("MaxResults", PAGE)
    rows = [
        summary(version) | ({"LastExecutionPipelineExecutionArn": version.spec["last"]} if "last" in version.spec else {})
        for version in found[start : start + size]
    ]
    more = {"NextToken": encode_token(start + size)} if start + size < len(found) else {}
    return {"PipelineVersionSummaries": rows, **more}


@api.operation
def update_pipeline_version(call, request):
    pipeline, number = the_pipeline(call, request["PipelineArn"]), request["PipelineVersionId"]
    wanted = request.get("PipelineVersionAliasOperations", {})
    add, remove = wanted.get("Add", []), wanted.get("Remove", [])
    if both := set(add) & set(remove):
        raise validation(f"The alias {sorted(both)[0]} cannot be both added and removed.")
    others = {alias for alias, owner in aliases_of(call.store, pipeline).items() if owner != numbered(call.store, pipeline, number).uid}

    def change(version: Record) -> dict[str, Any]:
        left = [alias for alias in version.spec["aliases"] if alias not in remove]
        aliases = list(dict.fromkeys([*left, *add]))
        _check_aliases(aliases, add, others)
        return {"aliases": aliases} | {member: request[member] for member in NAMED if member in request}

    changed(call, lambda: numbered(call.store, the_pipeline(call, request["PipelineArn"]), number), change)
    return {"PipelineArn": pipeline.arn, "PipelineVersionId": number}


def add(call: Any, pipeline_uid: str, arn: str, number: int, text: str, aliases: Sequence[str], taken: Collection[str]) -> Record:
    """A version that is none yet: it counts once the pipeline's record names it."""
    _check_aliases(aliases, aliases, taken)
    uid = new_uid()
    return call.store.create(
        VERSION,
        account=call.account,
        region=call.region,
        name=f"{pipeline_uid}/{number}/{uid}",
        arn=f"{arn}/version/{number}",
        spec={"number": number, "definition": text, "aliases": list(aliases), "pipeline_arn": arn},
        owner=pipeline_uid,
        uid=uid,
    )


def note_execution(call: Any, uid: str, arn: str) -> None:
    """The newest execution of a version, for its list."""
    with contextlib.suppress(Moved):  # another start at the same moment, or the pipeline was deleted: either is as new
        version = call.store.by_uid(uid)
        if version is not None:
            call.store.request(version, {"last": arn}, due=False)


def latest(store: Any, pipeline: Record) -> Record:
    return store.by_uid(pipeline.spec["versions"][-1])


def numbered(store: Any, pipeline: Record, number: int) -> Record:
    known = pipeline.spec["versions"]
    if number > len(known):
        raise api.error.ResourceNotFound(f"Pipeline version {number} of pipeline '{pipeline.arn}' does not exist.")
    return store.by_uid(known[number - 1])


def asked(store: Any, pipeline: Record, request: Mapping[str, Any]) -> Record:
    """The version that PipelineVersionId or PipelineVersionAlias names, the newest where neither does."""
    number, alias = request.get("PipelineVersionId"), request.get("PipelineVersionAlias")
    if number is not None and alias is not None:
        raise validation("Only one of PipelineVersionId and PipelineVersionAlias can be provided.")
    if number is not None:
        return numbered(store, pipeline, number)
    return of_alias(store, pipeline, alias) if alias is not None else latest(store, pipeline)


def of_alias(store: Any, pipeline: Record, alias: str) -> Record:
    uid = aliases_of(store, pipeline).get(alias)
    if uid is None:
        raise api.error.ResourceNotFound(f"No version of pipeline '{pipeline.arn}' has the alias {alias}.")
    return store.by_uid(uid)


def aliases_of(store: Any, pipeline: Record) -> dict[str, str]:
    """Alias → uid of its version."""
    return {alias: version.uid for version in store.by_uids(pipeline.spec["versions"]) for alias in version.spec["aliases"]}


def summary(version: Record) -> dict[str, Any]:
    said = {
        "PipelineArn": version.spec["pipeline_arn"],
        "PipelineVersionId": version.spec["number"],
        "CreationTime": version.created_at,
    }
    said |= {member: version.spec[member] for member in NAMED if member in version.spec}
    return said | ({"PipelineVersionAliases": version.spec["aliases"]} if version.spec["aliases"] else {})


def _check_aliases(aliases: Sequence[str], new: Sequence[str], taken: Collection[str]) -> None:
    for alias in new:
        if alias.isdigit():
            raise validation(f"The alias {alias} is invalid: an alias cannot consist of numbers only.")
        if alias in taken:
            raise api.error.ConflictException(
                f"The alias {alias} is assigned to another version of this pipeline: remove it from that one first."
            )
    if len(set(aliases)) > MOST_ALIASES:
        raise validation(f"A pipeline version can have at most {MOST_ALIASES} aliases.")
