"""Shows the events of the outbox to the filters of their group: metric points once each, deliveries until they are taken.

Points carry the number of their outbox entry as a source place, so that a crash between them and the entry's mark repeats none.
A destination that refuses is tried again, with growing waits, for a day, as AWS does; later entries wait for nobody but themselves.
"""

from __future__ import annotations

import logging
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.logs import api
from modelyard.services.logs.filter_store import METRIC, SUBSCRIPTION, Entry, Filter, FilterStore
from modelyard.services.logs.metric_filters import points
from modelyard.services.logs.patterns import Pattern, matcher
from modelyard.services.logs.subscription_filters import forward

log = logging.getLogger("modelyard.logs.filters")
PAGE = 100
FIRST_WAIT_MS, LONGEST_WAIT_MS, GIVE_UP_MS = 1_000, 300_000, 24 * 3_600_000


@api.worker
def drain(platform: Any) -> float | None:
    """One pass over the outbox; answers when the next entry is due again."""
    filters, after, soonest = FilterStore(platform.logs.db), 0, None
    while entries := filters.entries(after, PAGE):
        of_group: dict[int, list[tuple[Filter, Pattern]]] = {}
        for entry in entries:
            if entry.group_id not in of_group:
                of_group[entry.group_id] = [(one, matcher(one.pattern, ValueError)) for one in filters.of_group(entry.group_id)]
            due = _show(platform, filters, entry, [(one, p) for one, p in of_group[entry.group_id] if one.created_ms <= entry.at_ms])
            if due is not None:
                soonest = due if soonest is None else min(soonest, due)
        after = entries[-1].id
    return None if soonest is None else soonest / 1000


def _show(platform: Any, filters: FilterStore, entry: Entry, of_group: list[tuple[Filter, Pattern]]) -> int | None:
    """Answers when the entry is due again (ms); None: it is done and gone."""
    if not entry.metered:
        for one, pattern in of_group:
            if one.kind == METRIC:
                _meter(platform, one, pattern, entry)
    now = platform.logs.now_ms()
    if entry.due_ms > now:
        return entry.due_ms
    delivered, refused = list(entry.delivered), False
    for one, pattern in of_group:
        if one.kind != SUBSCRIPTION or one.id in delivered:
            continue
        try:
            forward(platform, one, pattern, entry)
            delivered.append(one.id)
        except (ApiError, ValueError) as problem:
            refused = True
            log.warning("the subscription filter %s of %s could not deliver: %s", one.name, one.group, problem)
    if not refused or now - entry.at_ms > GIVE_UP_MS:
        filters.done(entry)
        return None
    if not entry.metered:
        filters.metered(entry)
    due = now + min(FIRST_WAIT_MS << min(entry.tries, 20), LONGEST_WAIT_MS)
    filters.later(entry, delivered, due)
    return due


def _meter(platform: Any, one: Filter, pattern: Pattern, entry: Entry) -> None:
    try:
        data = points(one, pattern, entry.events)
    except ValueError as problem:
        log.warning("the metric filter %s of %s failed: %s", one.name, one.group, problem)
        return
    if data:
        namespace = one.spec["transformations"][0]["metricNamespace"]
        source = (f"logs-filter-{one.id}", [entry.id * 100_000 + place for place in range(len(data))])
        platform.metrics.put(one.account, one.region, namespace, data, source=source)
