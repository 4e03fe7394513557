"""The platform as operations and reconcilers see it. Put together by `app.py` only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelyard.config import Settings
from modelyard.kernel.clock import Clock
from modelyard.kernel.identity import Identity

if TYPE_CHECKING:
    from modelyard.kernel.service import Service
    from modelyard.kernel.store import Store


@dataclass
class Platform:
    """Everything a call or a reconciler may reach. `parts` holds what single services own and others
    use through a small named interface:

    - `objects`  services/s3/objects.py    ObjectStore: put/get/list/copy of objects for the platform itself
    - `logs`     services/logs/log_store.py LogStore: append(group, stream, events), read
    - `metrics`  services/cloudwatch/metric_store.py MetricStore: put, query
    - `alarm_history`, `alarm_looks` services/cloudwatch/alarm/ what alarms did, and what was seen of their metrics last
    - `runtime`  runtime/base.py           Runtime: ensure, look, stop, remove
    - `images`   runtime/images/           ImageStore: find(uri), ensure(image), look(image)
    - `follower` services/logs/follow.py     LogFollower: run logs into log streams (engine only)
    - `tasks`    kernel/tasks.py            Tasks: long work beside the loop (engine only)
    - `queues`   services/sqs/part.py      Queues: messages and those who wait for them
    - `kms`      services/kms/part.py      Keys: data_key, encrypt, decrypt under KMS keys
    - `parameters` services/ssm/part.py     History: older versions of parameters
    - `secrets`  services/secretsmanager/part.py Values: encrypted values of secrets
    - `topics`   services/sns/part.py      Topics: outbox, signer, courier
    - `meters`   services/sagemaker/cost/meters.py when billed things began and ended
    - `trail`    services/cloudtrail/trail.py the audit trail: note, events, find, uses
    - `own_ports` app.py                    callable: ports of the platform itself
    - `check_request` app.py                callable(service, operation, request): the wire's checks, for requests from within
    - `invoker`  serving/                  Invoker (gateway only)
    """

    settings: Settings
    clock: Clock
    store: Store
    services: dict[str, Service] = field(default_factory=dict)
    identity: Identity = None  # type: ignore[assignment]
    dispatch: Any = None
    parts: dict[str, Any] = field(default_factory=dict)
    ring: Callable[[str], None] = lambda topic: None
    """Rings the wake bell of the platform's processes: a hint with a topic, never the truth."""

    def wake(self, uid: str) -> None:
        """Makes a record due now and rings: a task or a run of it has ended."""
        self.store.wake(uid)
        self.ring("wake")

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["parts"][name]
        except KeyError:
            raise AttributeError(f"the platform has no part {name!r} in this process") from None
