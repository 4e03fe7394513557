"""Writes runs straight into MLflow's own schema: python mlflow_fill.py SQLITE-FILE EXPERIMENT-ID RUNS (in MLflow's environment)."""

import random
import sqlite3
import sys

path, experiment, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(7)
db = sqlite3.connect(path)
columns = [row[1] for row in db.execute("PRAGMA table_info(runs)")]
runs, latest, metrics, params = [], [], [], []
for i in range(count):
    uuid = f"{i:032x}"
    row = dict.fromkeys(columns)
    row |= {
        "run_uuid": uuid, "name": f"run-{i}", "source_type": "LOCAL", "user_id": "bench", "status": "FINISHED", "start_time": 1_700_000_000_000 + i,
        "lifecycle_stage": "active", "artifact_uri": f"s3://b/{uuid}", "experiment_id": experiment,
    }  # fmt: skip
    runs.append(tuple(row[c] for c in columns))
    for m in range(5):
        value = rng.random()
        metrics.append((f"m{m}", value, 1_700_000_000_000, uuid, 0, 0))
        latest.append((f"m{m}", value, 1_700_000_000_000, 0, 0, uuid))
    params += [(f"p{p}", str(i % (p + 2)), uuid) for p in range(3)]
with db:
    db.executemany(f"INSERT INTO runs ({','.join(columns)}) VALUES ({','.join('?' * len(columns))})", runs)
    db.executemany("INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?,?,?,?,?,?)", metrics)
    db.executemany("INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?,?,?,?,?,?)", latest)
    db.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?,?,?)", params)
