"""What a replica's walk does, attempt by attempt. Each may be done twice."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint import container
from modelyard.services.sagemaker.endpoint.health import probes

STOP_GRACE_SECONDS = 30.0
"""AWS gives a container 30 s between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class BuildImage:
    replica: Record

    def perform(self, world: Any) -> None:
        container.build(self.replica, world)


@dataclass(frozen=True)
class FetchModel:
    replica: Record

    def perform(self, world: Any) -> None:
        replica = self.replica
        world.tasks.ensure(
            container.files_key(replica), lambda: container.fetch_model(replica, world), on_end=lambda: world.wake(replica.uid)
        )


@dataclass(frozen=True)
class StartAttempt:
    replica: Record
    attempt: int

    def perform(self, world: Any) -> None:
        container.start(self.replica, self.attempt, world)
        _watch(self.replica, self.attempt, world)


@dataclass(frozen=True)
class WatchAttempt:
    """Log and pings of the current runs go on (after a restart of the engine they begin again)."""

    replica: Record

    def perform(self, world: Any) -> None:
        for number in container.numbers(self.replica):
            _watch(self.replica, number, world)


@dataclass(frozen=True)
class KillRun:
    """It is of no use any more: no grace."""

    replica: Record
    attempt: int

    def perform(self, world: Any) -> None:
        run = container.run_id(self.replica, self.attempt)
        world.runtime.stop(run, 0.0)
        probes(world).forget(run)


@dataclass(frozen=True)
class EndAttempt:
    """An ended attempt leaves its log in CloudWatch and nothing on disk."""

    replica: Record
    attempt: int

    def perform(self, world: Any) -> None:
        container.end(self.replica, self.attempt, world)


@dataclass(frozen=True)
class StopRun:
    """Stops the current runs politely; one that was not started is kept from ever starting."""

    replica: Record

    def perform(self, world: Any) -> None:
        for number in container.numbers(self.replica):
            run = container.run_id(self.replica, number)
            probes(world).forget(run)
            world.runtime.stop(run, STOP_GRACE_SECONDS)


@dataclass(frozen=True)
class CleanUp:
    replica: Record

    def perform(self, world: Any) -> None:
        for number in range(1, max(self.replica.state.get("attempt", 1), *container.numbers(self.replica), 1) + 1):
            container.end(self.replica, number, world)
        shutil.rmtree(Path(container.folder(self.replica, world)), ignore_errors=True)
        world.tasks.forget(container.files_key(self.replica))


def _watch(replica: Record, attempt: int, world: Any) -> None:
    run = container.run_id(replica, attempt)
    container.follow(replica, attempt, world)
    probes(world).ensure(
        run, container.socket(replica, attempt, world), lambda: world.wake(replica.uid), lambda: world.runtime.look(run).ended
    )
