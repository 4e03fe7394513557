"""Training jobs: `operations` write wishes, `reconcile` walks Starting → Downloading → Training → Uploading → the end.

lifecycle.py    statuses, and the transitions a client sees with AWS's messages
operations.py   create, describe, list, stop
inputs.py       channels of S3 objects → folders of /opt/ml/input/data
outputs.py      /opt/ml/model and /opt/ml/output → S3
metrics.py      metric lines of the log → FinalMetricDataList and CloudWatch
reconcile.py    the pure decide, and the actions
"""
