"""The lineage that the platform writes itself, heard from the events of jobs, models, model packages, groups and endpoints.

What an object gives is in `facts.py` (pure). Entities and edges are made where they are missing, so a repeated event changes nothing;
what users deleted comes back only with the object's next change.
"""

from __future__ import annotations

import contextlib
from typing import Any

from modelyard.kernel.records import Event, Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.lineage import facts
from modelyard.services.sagemaker.lineage.association import end_of
from modelyard.services.sagemaker.lineage.edges import Edge, End
from modelyard.services.sagemaker.lineage.entity import ARTIFACT

READER = "lineage"
LIFECYCLES = {kind.kind: kind for kind in (ARTIFACT, facts.ACTION, facts.CONTEXT)}


@api.reader(READER, kinds=set(facts.OF))
def on_change(event: Event, platform: Any) -> None:
    record = platform.store.by_uid(event.uid)
    if record is None or event.revision < record.revision:
        return  # gone, or the event of its newest state is still to come
    write(platform, record, facts.OF[record.kind](record))


def write(platform: Any, record: Record, links: list[facts.Link]) -> None:
    ends: dict[facts.Entity, End] = {}
    edges = []
    for link in links:
        for entity in (link.source, link.destination):
            if entity is not None and entity not in ends:
                ends[entity] = _ensure(platform, record, entity)
        if link.source is not None:
            edges.append(Edge(ends[link.source], ends[link.destination], link.type, platform.clock.now()))
    if edges:
        platform.lineage_edges.add(record.account, record.region, edges)


def _ensure(platform: Any, record: Record, entity: facts.Entity) -> End:
    arn = f"arn:aws:sagemaker:{record.region}:{record.account}:{entity.kind}/{entity.name.lower()}"
    lifecycle = LIFECYCLES.get(entity.kind)
    if lifecycle is None:  # a trial component, which its own reader makes
        return End(arn, entity.type, entity.name)
    spec = entity.spec
    try:
        there = platform.store.create(lifecycle, account=record.account, region=record.region, name=entity.name, arn=arn, spec=spec)
    except Taken as taken:
        there = taken.record
        patch = {member: value for member, value in spec.items() if member in ("Status", "Properties") and there.spec.get(member) != value}
        if patch:
            with contextlib.suppress(Moved):  # a user changes it at this moment; the next event comes by again
                there = platform.store.request(there, patch, due=False)
    platform.lineage_edges.come_from(arn, spec["Source"]["SourceUri"], there.uid)
    return end_of(there)
