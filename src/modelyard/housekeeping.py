"""What an engine tidies now and then: runs, folders and bytes that nothing owns any more, and what has expired.

Whatever is swept here was left by a crash at an unlucky moment; doing it twice, or in two engines at once, is harmless.
"""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path
from typing import Any

from modelyard.kernel.platform import Platform

log = logging.getLogger("modelyard.housekeeping")
FIRST_SECONDS, EVERY_SECONDS = 5.0, 300.0
FOLDERS = ("jobs", "endpoints", "mlflow")
"""Folders of the data folder with one folder per record, named by its uid."""


def keep_house(platform: Platform, stop: threading.Event) -> None:
    """Sweeps soon after the start and then every few minutes, until `stop`."""
    wait = FIRST_SECONDS
    while not stop.wait(wait):
        wait = EVERY_SECONDS
        for chore in CHORES:
            try:
                chore(platform)
            except Exception:
                log.exception("%s failed; it is tried again", chore.__name__)


def sweep_runs(platform: Platform) -> None:
    """Ends and removes runs whose record is gone. A run's id is its record's uid and a number; records come first."""
    gone = platform.runtime.sweep(lambda run_id: _is_there(platform, run_id.rpartition("-")[0]))
    if gone:
        log.info("swept runs without a record: %s", ", ".join(gone))


def sweep_folders(platform: Platform) -> None:
    for name in FOLDERS:
        parent = Path(platform.settings.data) / name
        for folder in parent.iterdir() if parent.is_dir() else ():
            if not _is_there(platform, folder.name):
                shutil.rmtree(folder, ignore_errors=True)


def sweep_objects(platform: Platform) -> None:
    """Bytes that no index row names."""
    platform.objects.sweep()


def sweep_logs(platform: Platform) -> None:
    """Events older than the retention of their group."""
    platform.logs.sweep()


def sweep_metrics(platform: Platform) -> None:
    """Packs metric points of hours ago, and drops those past their retention."""
    platform.metrics.sweep()


def sweep_queues(platform: Platform) -> None:
    """Messages that have expired, and those of queues that are gone."""
    platform.queues.sweep(platform)


def sweep_topics(platform: Platform) -> None:
    """Deduplication ids that have expired."""
    platform.topics.outbox.sweep()


def sweep_secrets(platform: Platform) -> None:
    """Encrypted values that no version of a secret names."""
    platform.secrets.sweep(platform.store)


CHORES = [sweep_runs, sweep_folders, sweep_objects, sweep_logs, sweep_metrics, sweep_queues, sweep_topics, sweep_secrets]


def _is_there(platform: Any, uid: str) -> bool:
    return platform.store.by_uid(uid) is not None
