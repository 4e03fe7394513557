"""Log lines in the form that AWS's metric definitions, and people's own regular expressions, search for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping


class Log:
    """Prints for one host of a job; `algorithm` is the name in the `#metrics` lines."""

    def __init__(self, algorithm: str, host: str):
        self.algorithm, self.host, self.began = algorithm, host, time.time()

    def info(self, text: str, level: str = "INFO") -> None:
        stamp = time.strftime("%m/%d/%Y %H:%M:%S", time.gmtime())
        print(f"[{stamp} {level} {threading.get_ident()}] {text}", flush=True)

    def quality(self, where: str, name: str, value: float, *, loss: bool, epoch: int | None = None, batch: int | None = None) -> None:
        """`#quality_metric: host=algo-1, epoch=0, train mse_objective <loss>=0.97`; after a batch `…, batch=0 train rmse <loss>=…`."""
        place = "" if epoch is None else f"epoch={epoch}, "
        place += "" if batch is None else f"batch={batch} "
        self.info(f"#quality_metric: host={self.host}, {place}{where} {name} <{'loss' if loss else 'score'}>={float(value)!r}")

    def score(self, where: str, name: str, value: float) -> None:
        """`#test_score (algo-1) : ('mse', 0.0133)`."""
        self.info(f"#{where}_score ({self.host}) : ('{name}', {float(value)!r})")

    def progress(self, percent: float) -> None:
        self.info(f"#progress_metric: host={self.host}, completed {percent:.1f} % of epochs")

    def throughput(self, records: int, seconds: float) -> None:
        self.info(f"#throughput_metric: host={self.host}, train throughput={records / max(seconds, 1e-9)} records/second")

    def metrics(self, values: Mapping[str, float], **dimensions: object) -> None:
        """A `#metrics {…}` line with the sums of one measurement each."""
        now = time.time()
        said = {
            "StartTime": self.began,
            "EndTime": now,
            "Dimensions": {"Algorithm": self.algorithm, "Host": self.host, "Operation": "training", **dimensions},
            "Metrics": {name: {"sum": value, "count": 1, "min": value, "max": value} for name, value in values.items()},
        }
        print("#metrics " + json.dumps(said), flush=True)
