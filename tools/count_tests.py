"""Prints one closing line, as pytest does, over several of its XML reports.

With MODELYARD_REQUIRE=all (CI) it fails when a test was skipped for want of something CI installs.
"""

import os
import re
import sys
import xml.etree.ElementTree as ElementTree

total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
seconds = 0.0
wrongly: list[str] = []
WANTED = re.compile("bubblewrap|bwrap|postgres|nginx|browser|chromium", re.IGNORECASE)
for path in sys.argv[1:]:
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        for name in total:
            total[name] += int(suite.get(name, 0))
        seconds += float(suite.get("time", 0))
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        for skip in case.iter("skipped"):
            if WANTED.search(skip.get("message") or ""):
                wrongly.append(f"{case.get('classname')}::{case.get('name')}: {skip.get('message')}")
passed = total["tests"] - total["failures"] - total["errors"] - total["skipped"]
counts = [(total["failures"], "failed"), (passed, "passed"), (total["skipped"], "skipped"), (total["errors"], "errors")]
print(", ".join(f"{count} {what}" for count, what in counts if count or what == "passed") + f" in {seconds:.2f}s")
if wrongly and os.environ.get("MODELYARD_REQUIRE") == "all":
    print("skipped, though everything is required here:", *wrongly, sep="\n  ", file=sys.stderr)
    sys.exit(1)
