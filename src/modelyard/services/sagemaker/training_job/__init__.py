"""Training jobs: `operations` write wishes, `reconcile` walks Starting → Downloading → Training → Uploading → the end.

lifecycle.py    statuses, and the transitions a client sees with AWS's messages
operations.py   create, describe, list, stop; checks.py what a request must be; update.py UpdateTrainingJob
reconcile.py    the pure decide; actions.py what it does
hosts.py        algo-1 … algo-n, and what their runs say together
inputs.py       channels of S3 objects → folders of /opt/ml/input/data
run.py          a host as a run: folders, environment, log
synced.py       checkpoints and other folders that are kept in step with S3
spot.py         the spot market and what it does to a job; spot_operations.py our own operations on it
warm.py         warm pools
outputs.py      /opt/ml/model and /opt/ml/output → S3
metrics.py      metric lines of the log → FinalMetricDataList and CloudWatch; usage.py CPU, memory and disk of the hosts
"""
