"""Whom the policies of resources (buckets, queues, keys, …) named when they were put: the users and roles by their unique ids.

Source: IAM User Guide, "AWS JSON policy elements: Principal": a user or role that is deleted and made again under its name is another one, and
policies that named the old one do not name it; they show its unique id instead. Kept by statement, as a service may put
statements of several sources together. Trust policies keep theirs with the role (`trust.py`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from modelyard.kernel.store import Store
from modelyard.services.iam.document import as_list
from modelyard.services.iam.trust import named_in, unique_id

MIGRATIONS = ["CREATE TABLE iam_named (statement TEXT PRIMARY KEY, ids TEXT NOT NULL)"]
MOST = 4096


class Named:
    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, threading.Lock()
        self._version, self._known = -1, {}
        store.db.migrate("iam-named", MIGRATIONS)

    def remember(self, text: str) -> None:
        """To be called by whoever puts a policy: from now on its names stand for who has them."""
        found = []
        for statement in _statements(orjson.loads(text)):
            ids = {arn: known for arn in named_in(statement) if (known := unique_id(self._store, arn)) is not None}
            if ids:
                found.append((_key(statement), orjson.dumps(ids).decode()))
        if found:
            with self._store.db.write() as tx:
                for key, ids_ in found:
                    self._write(tx, key, ids_)

    def _write(self, tx: Any, key: str, ids: str) -> None:
        """Where the names meant others before, what every process knows of it ends (changes.py)."""
        before = tx.execute("SELECT ids FROM iam_named WHERE statement = ?", (key,))
        if before and before[0][0] == ids:
            return
        tx.execute(
            "INSERT INTO iam_named (statement, ids) VALUES (?,?) ON CONFLICT (statement) DO UPDATE SET ids = excluded.ids", (key, ids)
        )
        if before:
            tx.execute("UPDATE iam_changes SET version = version + 1")

    def in_force(self, text: str, version: int) -> str:
        """The policy with the unique ids of those who are gone in the place of their names. `version` is IAM's (directory)."""
        if ":user/" not in text and ":role/" not in text:
            return text
        with self._lock:
            if version != self._version or len(self._known) >= MOST:
                self._version, self._known = version, {}
            known = self._known
        found = known.get(text)
        if found is None:
            found = known[text] = self._read(text)
        return found

    def _read(self, text: str) -> str:
        document, changed = orjson.loads(text), False
        for statement in _statements(document):
            if not any(named_in(statement)):
                continue
            rows = self._store.db.read("SELECT ids FROM iam_named WHERE statement = ?", (_key(statement),))
            ids = orjson.loads(rows[0][0]) if rows else {}
            gone = {arn: known for arn, known in ids.items() if unique_id(self._store, arn) != known}
            for member in ("Principal", "NotPrincipal") if gone else ():
                element = statement.get(member)
                if isinstance(element, dict) and "AWS" in element:
                    names = [gone.get(arn, arn) for arn in as_list(element["AWS"])]
                    element["AWS"], changed = (names if isinstance(element["AWS"], list) else names[0]), True
        return orjson.dumps(document).decode() if changed else text


def _statements(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        yield from (statement for statement in as_list(document.get("Statement", [])) if isinstance(statement, dict))


def _key(statement: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(statement, option=orjson.OPT_SORT_KEYS)).hexdigest()
