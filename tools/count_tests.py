"""Prints one closing line, as pytest does, over several of its XML reports; answers 1 when a test failed.

`count_tests.py quick.xml slow.xml [--again again.xml]`: what failed and has passed in the run of `--again` is a flake. It counts for
itself, neither as passed nor as failed, and is named with the text of its first failure.
`count_tests.py --failed slow.xml` prints how many tests failed.

With MODELYARD_REQUIRE=all (CI) it fails when a test was skipped for want of something CI installs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

WANTED = re.compile("bubblewrap|bwrap|postgres|nginx|browser|chromium", re.IGNORECASE)
KINDS = ("failure", "error", "skipped")
MOST_LINES = 60
"""Of a first failure's text: its end says most."""


@dataclass
class Test:
    """One test: how often it failed, erred (before or after its call) and was skipped, and what was told of that."""

    failure: int = 0
    error: int = 0
    skipped: int = 0
    told: dict[str, str] = field(default_factory=dict)

    @property
    def bad(self) -> bool:
        return bool(self.failure or self.error)


def read(paths: list[str]) -> tuple[dict[str, Test], float]:
    """Tests by name, and the seconds of all reports."""
    tests: dict[str, Test] = {}
    seconds = 0.0
    for path in paths:
        root = ElementTree.parse(path).getroot()
        seconds += sum(float(suite.get("time", 0)) for suite in root.iter("testsuite"))
        for case in root.iter("testcase"):  # two of one test whose call and clean-up both failed
            test = tests.setdefault(f"{case.get('classname')}::{case.get('name')}", Test())
            for kind in KINDS:
                for told in case.iter(kind):
                    setattr(test, kind, getattr(test, kind) + 1)
                    test.told[kind] = (told.text or told.get("message") or "") if kind != "skipped" else told.get("message") or ""
    return tests, seconds


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("reports", nargs="*")
    words.add_argument("--again", action="append", default=[])
    words.add_argument("--failed", action="store_true")
    asked = words.parse_args()
    tests, seconds = read(asked.reports)
    if asked.failed:
        print(sum(test.bad for test in tests.values()))
        return 0
    second, more = read(asked.again)
    flaky = {name: test for name, test in tests.items() if test.bad and name in second and not (second[name].bad or second[name].skipped)}
    for name, test in flaky.items():
        lines = "\n".join(test.told[kind] for kind in ("failure", "error") if kind in test.told).rstrip().splitlines()
        print(f"\nFLAKY: {name} passed alone the second time. The first time:", *lines[-MOST_LINES:], sep="\n  ")
    rest = [test for name, test in tests.items() if name not in flaky]
    failures, errors = (sum(getattr(test, kind) for test in rest) for kind in ("failure", "error"))
    skipped = sum(test.skipped > 0 for test in rest)
    passed = sum(not test.bad and not test.skipped for test in rest)
    for name in flaky:
        print(f"FLAKY: {name}: passed alone the second time")
    counts = [(failures, "failed"), (passed, "passed"), (len(flaky), "flaky"), (skipped, "skipped"), (errors, "errors")]
    print(", ".join(f"{count} {what}" for count, what in counts if count or what == "passed") + f" in {seconds + more:.2f}s")
    wrongly = [f"{name}: {test.told['skipped']}" for name, test in tests.items() if WANTED.search(test.told.get("skipped", ""))]
    if wrongly and os.environ.get("MODELYARD_REQUIRE") == "all":
        print("skipped, though everything is required here:", *wrongly, sep="\n  ", file=sys.stderr)
        return 1
    return 1 if failures or errors else 0


if __name__ == "__main__":
    sys.exit(main())
