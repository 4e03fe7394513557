"""Which components belong to which trials, and which came from which jobs: two small tables beside the records."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.database import Database

MIGRATIONS = [
    """
    CREATE TABLE trial_members (trial TEXT NOT NULL, component TEXT NOT NULL, PRIMARY KEY (trial, component));
    CREATE INDEX trial_members_component ON trial_members (component);
    CREATE TABLE component_sources (source TEXT NOT NULL, component TEXT NOT NULL, PRIMARY KEY (source, component));
    CREATE INDEX component_sources_component ON component_sources (component)
    """
]


class Links:
    """`platform.experiment_links`. Trials and components are named by their records' uids, sources by their ARNs."""

    def __init__(self, db: Database) -> None:
        self._db = db
        db.migrate("experiments", MIGRATIONS)

    def join(self, trial: str, component: str) -> None:
        with self._db.write() as tx:
            tx.execute("INSERT INTO trial_members VALUES (?,?) ON CONFLICT (trial, component) DO NOTHING", (trial, component))

    def part(self, trial: str, component: str) -> bool:
        """Whether they were joined."""
        with self._db.write() as tx:
            return bool(tx.execute("DELETE FROM trial_members WHERE trial = ? AND component = ? RETURNING trial", (trial, component)))

    def components(self, trials: list[str]) -> list[str]:
        found = [row[0] for trial in trials for row in self._db.read("SELECT component FROM trial_members WHERE trial = ?", (trial,))]
        return list(dict.fromkeys(found))

    def trials(self, component: str) -> list[str]:
        return [row[0] for row in self._db.read("SELECT trial FROM trial_members WHERE component = ?", (component,))]

    def trials_of(self, components: list[str]) -> dict[str, list[str]]:
        """The trials of each of these components."""
        found: dict[str, list[str]] = {}
        for start in range(0, len(components), 500):
            some = components[start : start + 500]
            marks = ",".join("?" * len(some))
            for component, trial in self._db.read(f"SELECT component, trial FROM trial_members WHERE component IN ({marks})", tuple(some)):
                found.setdefault(component, []).append(trial)
        return found

    def come_from(self, source_arn: str, component: str) -> None:
        with self._db.write() as tx:
            tx.execute(
                "INSERT INTO component_sources VALUES (?,?) ON CONFLICT (source, component) DO NOTHING", (source_arn.lower(), component)
            )

    def of_source(self, source_arn: str) -> list[str]:
        return [row[0] for row in self._db.read("SELECT component FROM component_sources WHERE source = ?", (source_arn.lower(),))]

    def forget(self, component: str) -> None:
        with self._db.write() as tx:
            tx.execute("DELETE FROM trial_members WHERE component = ?", (component,))
            tx.execute("DELETE FROM component_sources WHERE component = ?", (component,))


def install(platform: Any) -> Links:
    return Links(platform.store.db)
