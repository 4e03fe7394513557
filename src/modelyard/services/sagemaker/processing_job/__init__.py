"""Processing jobs: a script or a container of one's own on one or several hosts, from S3 to S3.

lifecycle.py    statuses
check.py        what CreateProcessingJob refuses beside the model, and the defaults it fills in
operations.py   create, describe, list, stop, delete
inputs.py       S3 objects → folders or pipes of each host, all of them or the host's share
outputs.py      folders of all hosts → S3, at the end or all the while; the exit message
usage.py        CPU, memory and disk of the hosts as metrics
run.py          the job as runs: one per host, their folders, environment, logs
reconcile.py    the pure decide
actions.py      what its decisions do
"""
