"""Log lines in the form of AWS's toolkit: `2023-07-05 15:57:59,123 sagemaker-training-toolkit INFO     text`."""

from __future__ import annotations

import sys
import time


def say(text: str, level: str = "INFO") -> None:
    """One record on standard error, where the toolkit's logger writes."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now)) + f",{int(now % 1 * 1000):03d}"
    print(f"{stamp} sagemaker-training-toolkit {level:8} {text}", file=sys.stderr, flush=True)
