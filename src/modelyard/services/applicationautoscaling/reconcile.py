"""The reconciler of scalable targets, and what wakes it beside alarms."""

from __future__ import annotations

from modelyard.services.applicationautoscaling import api
from modelyard.services.applicationautoscaling.look import see_target
from modelyard.services.applicationautoscaling.resource import is_of
from modelyard.services.applicationautoscaling.scaling import decide
from modelyard.services.applicationautoscaling.target import TARGET

api.reconciler(TARGET, see_target)(decide)


@api.reader("application-autoscaling", kinds={"endpoint", "inference-component"})
def hear(event, platform):
    """A change of an endpoint or a component wakes the targets that stand on it: one that waits for it, or whose endpoint is gone."""
    if event.old == event.new:
        return
    for target in platform.store.list(TARGET.kind, event.account, event.region):
        if is_of(target.spec["ResourceId"], event.kind, event.name):
            platform.wake(target.uid)
