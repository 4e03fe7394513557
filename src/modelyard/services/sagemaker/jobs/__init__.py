"""What the kinds of jobs share.

inputs.py     which S3 objects an input means, a host's share of them, and those objects as files
pipes.py      Pipe mode: those objects through named pipes while the job runs
outputs.py    files that a payload left → S3, never through a link
network.py    what a run may reach, as fields of its RunSpec
admission.py  which jobs may start now, by CPU and memory, fair by arrival
quota.py      ResourceLimitExceeded, in AWS's words
usage.py      CPU, memory and disk of the hosts as metrics
volume.py     whether a host has written more than its volume holds
stopping.py   the wish to stop a job
turns.py      what one process at a time may do with a job's folder
failures.py   the texts of FailureReason
"""
