"""Associations, and which entities have which source: two tables beside the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.database import Database, Tx

MIGRATIONS = [
    """
    CREATE TABLE lineage_edges (
        account TEXT NOT NULL, region TEXT NOT NULL, source TEXT NOT NULL, destination TEXT NOT NULL, type TEXT NOT NULL,
        source_type TEXT NOT NULL, destination_type TEXT NOT NULL, source_name TEXT NOT NULL, destination_name TEXT NOT NULL,
        created_at DOUBLE PRECISION NOT NULL, PRIMARY KEY (source, destination));
    CREATE INDEX lineage_edges_destination ON lineage_edges (destination);
    CREATE INDEX lineage_edges_created ON lineage_edges (account, region, created_at, source, destination);
    CREATE TABLE lineage_sources (arn TEXT PRIMARY KEY, uri TEXT NOT NULL, uid TEXT NOT NULL);
    CREATE INDEX lineage_sources_uri ON lineage_sources (uri)
    """
]
COLUMNS = "source, destination, type, source_type, destination_type, source_name, destination_name, created_at"
SORTS = {
    "SourceArn": "source", "DestinationArn": "destination", "SourceType": "source_type", "DestinationType": "destination_type",
    "CreationTime": "created_at",
}  # fmt: skip


@dataclass(frozen=True)
class End:
    """An end of an association: `type` is the entity's own (DataSet, Model, SageMakerTrainingJob, …), `name` "" for one without."""

    arn: str
    type: str
    name: str = ""


@dataclass(frozen=True)
class Edge:
    source: End
    destination: End
    type: str
    created_at: float

    def value(self, column: str) -> Any:
        """Of a column by which associations are sorted."""
        return {
            "source": self.source.arn, "destination": self.destination.arn, "source_type": self.source.type,
            "destination_type": self.destination.type, "created_at": self.created_at,
        }[column]  # fmt: skip


class Edges:
    """`platform.lineage_edges`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        db.migrate("lineage", MIGRATIONS)

    def add(self, account: str, region: str, edges: Sequence[Edge]) -> int:
        """How many were new."""

        def work(tx: Tx) -> int:
            new = 0
            for edge in edges:
                a, b = edge.source, edge.destination
                row = (account, region, a.arn, b.arn, edge.type, a.type, b.type, a.name, b.name, edge.created_at)
                marks = ",".join("?" * len(row))
                sql = f"INSERT INTO lineage_edges VALUES ({marks}) ON CONFLICT (source, destination) DO NOTHING RETURNING source"
                new += len(tx.execute(sql, row))
            return new

        return self._db.grouped(work)

    def remove(self, source: str, destination: str) -> bool:
        with self._db.write() as tx:
            return bool(
                tx.execute("DELETE FROM lineage_edges WHERE source = ? AND destination = ? RETURNING source", (source, destination))
            )

    def touching(self, arn: str) -> list[Edge]:
        rows = self._db.read(f"SELECT {COLUMNS} FROM lineage_edges WHERE source = ? OR destination = ?", (arn, arn))
        return [_edge(row) for row in rows]

    def remove_touching(self, arn: str) -> None:
        with self._db.write() as tx:
            tx.execute("DELETE FROM lineage_edges WHERE source = ? OR destination = ?", (arn, arn))

    def list(
        self,
        account: str,
        region: str,
        wanted: Mapping[str, Any],
        *,
        after: float | None,
        before: float | None,
        order_by: str,
        descending: bool,
        place: Sequence[Any] | None,
        limit: int,
    ) -> list[Edge]:
        """Those whose columns have the `wanted` values, in an order; `place` is (sort value, source, destination) of the last one seen.
        A wanted type may name a kind of entity instead (Action, Artifact, Context, TrialComponent, Experiment)."""
        where, values = ["account = ?", "region = ?"], [account, region]
        for column, value in wanted.items():
            if column in ("source_type", "destination_type") and value in KINDS:
                end = column.removesuffix("_type")
                where.append(f"({column} = ? OR {end} LIKE ?)")
                values += [value, f"arn:%:{KINDS[value]}/%"]
            else:
                where.append(f"{column} = ?")
                values.append(value)
        for sign, bound in ((">", after), ("<", before)):
            if bound is not None:
                where.append(f"created_at {sign} ?")
                values.append(bound)
        if place is not None:
            where.append(f"({order_by}, source, destination) {'<' if descending else '>'} (?, ?, ?)")
            values += place
        direction = "DESC" if descending else "ASC"
        order = ", ".join(f"{column} {direction}" for column in (order_by, "source", "destination"))
        sql = f"SELECT {COLUMNS} FROM lineage_edges WHERE {' AND '.join(where)} ORDER BY {order} LIMIT {int(limit)}"
        return [_edge(row) for row in self._db.read(sql, values)]

    # --- sources -----------------------------------------------------------------------------------

    def come_from(self, arn: str, uri: str, uid: str) -> None:
        with self._db.write() as tx:
            tx.execute(
                "INSERT INTO lineage_sources VALUES (?,?,?) ON CONFLICT (arn) DO UPDATE SET uri = excluded.uri, uid = excluded.uid",
                (arn, uri, uid),
            )

    def of_source(self, uri: str) -> list[str]:
        """The uids of all entities with this source."""
        return [row[0] for row in self._db.read("SELECT uid FROM lineage_sources WHERE uri = ?", (uri,))]

    def forget_source(self, arn: str) -> None:
        with self._db.write() as tx:
            tx.execute("DELETE FROM lineage_sources WHERE arn = ?", (arn,))


KINDS = {
    "Action": "action", "Artifact": "artifact", "Context": "context", "TrialComponent": "experiment-trial-component",
    "Experiment": "experiment",
}  # fmt: skip


def install(platform: Any) -> Edges:
    return Edges(platform.store.db)


def _edge(row: Sequence[Any]) -> Edge:
    return Edge(End(row[0], row[3], row[5]), End(row[1], row[4], row[6]), row[2], row[7])
