"""What AWS's TensorFlow Serving image makes of a request before TensorFlow Serving sees it, when there is no inference.py.

JSON with `instances`, `inputs` or `examples` goes as it is; other JSON, JSON lines and CSV become `instances`. Source:
tensorflowServing.js of sagemaker-tensorflow-serving-container.
"""

from __future__ import annotations

import re

KINDS = ("application/json", "application/jsonlines", "application/jsons", "text/csv")
_PREDICT = re.compile(r'"(instances|inputs|examples)"\s*:')
_LINES = re.compile(r"[}\]]\s*[\[{]")
_NUMBERS = re.compile(r'\s*("|[\d.Ee+\-]+.*)')


def to_predict(text: str, kind: str) -> str:
    """The body of a predict request."""
    if kind == "text/csv":
        return _csv(text)
    if _PREDICT.search(text):
        return text
    if _LINES.search(text):
        lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
        return '{"instances":' + (lines[0] if len(lines) == 1 else "[" + ",".join(lines) + "]") + "}"
    return '{"instances":' + (text if re.match(r"\s*\[\s*\[", text) else f"[{text}]") + "}"


def _csv(text: str) -> str:
    """A line is a list, or a value when it has one column; words are quoted unless the first of all is a number or quoted."""
    quoted = not _NUMBERS.match(text)
    rows = []
    for line in text.strip().splitlines():
        if line := line.strip():
            row = '"' + line.replace('"', '\\"').replace(",", '","') + '"' if quoted else line
            rows.append(f"[{row}]" if "," in line else row)
    return '{"instances":[' + ",".join(rows) + "]}"
