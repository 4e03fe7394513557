"""Application Auto Scaling of endpoints: docs/design/autoscaling.md.

resource.py          what can be scaled: variants of endpoints, inference components; reading their capacity, setting it
target.py            scalable targets: register, describe, deregister
policy.py            scaling policies; deliveries of alarms
checks.py            what makes a policy's configuration wrong
alarms.py            the two alarms of a target tracking policy, pure
arithmetic.py        steps and target tracking: from a metric to a capacity, pure
scaling.py           the pure decide of a scalable target
actions.py look.py   what it does, what it looks at
activity.py          the history of what was scaled and what was not
scheduled_action.py  bounds that change by the clock; schedule.py is cron, rate and at, pure
tags.py              tags of scalable targets
"""

from modelyard.kernel.service import Service

api = Service("application-autoscaling")
api.target_names = frozenset({"autoscaling"})
