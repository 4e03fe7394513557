"""What happens to records around the model: InputFilter → model → JoinSource → OutputFilter, and inference ids of a data capture.

A CSV row is an array of texts, joined by appending the model's columns. A JSON record gets the model's answer as `SageMakerOutput`,
and becomes `{"SageMakerInput", "SageMakerOutput"}` where it is no object. Where nothing of this is asked for, bytes pass as they are.
Sources: API_DataProcessing, "Associate Prediction Results with Input Records", "Capture data from batch transform job".
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.ids import new_uuid
from modelyard.serving.transform import table
from modelyard.serving.transform.errors import ALGORITHM, CLIENT, Refused
from modelyard.serving.transform.jsonpath import JsonPath, NoSuchPart
from modelyard.serving.transform.records import Payload

CSV, JSON = "CSV", "JSON"
_KINDS = {
    "text/csv": CSV,
    "application/json": JSON,
    "application/jsonlines": JSON,
    "application/x-jsonlines": JSON,
    "application/jsonl": JSON,
}
_DECODER = json.JSONDecoder()


def kind_of(content_type: str | None) -> str | None:
    """CSV, JSON or None for a MIME type with or without parameters."""
    return _KINDS.get((content_type or "").partition(";")[0].strip().lower())


def is_lines(content_type: str | None) -> bool:
    """JSON Lines: several documents in one body."""
    return "jsonl" in (content_type or "")


@dataclass(frozen=True)
class Stamp:
    """What GenerateInferenceId appends to each record: an id of its own, and when the job began (`2022-08-30T00:49:15Z`)."""

    time: str

    def fields(self) -> list[str]:
        return [new_uuid(), self.time]

    def document(self, value: Any) -> Any:
        mine = {"SageMakerInferenceId": new_uuid(), "SageMakerInferenceTime": self.time}
        return {**value, **mine} if isinstance(value, dict) else {"SageMakerOutput": value, **mine}


class Processing:
    """`config` is DataProcessing; `content_type` and `accept` those of the job; `stamp` is there with GenerateInferenceId."""

    def __init__(
        self, config: Mapping[str, Any], content_type: str | None, accept: str | None, stamp: Stamp | None = None, lines: bool = True
    ) -> None:
        self.before, self.after = JsonPath(config.get("InputFilter") or "$"), JsonPath(config.get("OutputFilter") or "$")
        self.join, self.stamp, self._lines = config.get("JoinSource") == "Input", stamp, lines or is_lines(content_type)
        self.kind = kind_of(content_type) or CSV
        self.out = self.kind if self.join else kind_of(accept) or self.kind
        self.reads = self.join or not self.before.is_all
        """Whether records are looked into on their way in."""
        self.writes = self.join or not self.after.is_all or stamp is not None
        """Whether the model's answers are looked into."""

    def request(self, payload: Payload) -> tuple[bytes, list[Any]]:
        """(what the model gets, the records as they were)."""
        if not self.reads:
            return payload.body, []
        try:
            if self.kind == CSV:
                rows = table.read(payload.body)
                return (payload.body if self.before.is_all else self._filtered(rows, payload)), rows
            documents = self._documents(payload.body)
            if self.before.is_all:
                return payload.body, documents
            return b"\n".join(orjson.dumps(self.before.of(one)) for one in documents), documents
        except NoSuchPart as problem:
            raise Refused(CLIENT, f"Failed to apply InputFilter: {problem}") from None
        except (ValueError, csv.Error) as problem:
            raise Refused(CLIENT, f"Failed to parse input record as {self.kind}: {problem}") from None

    def answer(self, body: bytes, records: list[Any]) -> bytes:
        """What goes into the output of the model's answer to these records."""
        if not self.writes:
            return body
        try:
            if self.out == CSV:
                rows = table.read(body)
                self._same_number(len(rows), len(records))
                if self.join:
                    rows = table.join(records, rows)
                if self.stamp is not None:
                    rows = table.extend(rows, self.stamp.fields)
                return table.write(table.select(rows, self.after))
            documents = _answers(body, len(records) if self.join else 0)
            self._same_number(len(documents), len(records))
            if self.join:
                documents = [_joined(mine, theirs) for mine, theirs in zip(records, documents, strict=True)]
            if self.stamp is not None:
                documents = [self.stamp.document(one) for one in documents]
            return b"".join(orjson.dumps(self.after.of(one)) + b"\n" for one in documents)
        except NoSuchPart as problem:
            raise Refused(CLIENT, f"Failed to apply OutputFilter: {problem}") from None
        except (ValueError, csv.Error) as problem:
            raise Refused(CLIENT, f"Failed to parse output from the algorithm as {self.out}: {problem}") from None

    def _documents(self, body: bytes) -> list[Any]:
        return [orjson.loads(line) for line in body.splitlines() if line.strip()] if self._lines else [orjson.loads(body)]

    def _filtered(self, rows: table.Rows, payload: Payload) -> bytes:
        text = table.write(table.select(rows, self.before))
        return text if payload.body.endswith(b"\n") else text.removesuffix(b"\n")

    def _same_number(self, answers: int, records: int) -> None:
        if self.join and answers != records:
            raise Refused(
                ALGORITHM,
                f"The algorithm answered {answers} records for {records} input records: they cannot be joined",
            )


def _answers(body: bytes, expected: int) -> list[Any]:
    """The documents of an answer: one, one per line, or one after another."""
    if expected == 1:
        try:
            return [orjson.loads(body)]
        except ValueError:
            pass
    lines = [line for line in body.splitlines() if line.strip()]
    try:
        return [orjson.loads(line) for line in lines]
    except ValueError:
        return _sequence(body.decode())


def _sequence(text: str) -> list[Any]:
    found, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = _DECODER.raw_decode(text, at)
        found.append(value)
    return found


def _joined(mine: Any, theirs: Any) -> dict[str, Any]:
    return {**mine, "SageMakerOutput": theirs} if isinstance(mine, dict) else {"SageMakerInput": mine, "SageMakerOutput": theirs}
