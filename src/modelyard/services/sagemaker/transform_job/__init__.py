"""Batch transform jobs: the model's containers as hosting runs them, and one worker per instance that takes objects through them.

lifecycle.py   statuses
operations.py  create, describe, list, stop
checks.py      what is wrong with a request, beyond what the model of the operation says
instances.py   the instances of a job: child records that hosting's reconciler moves
ledger.py      which objects there are and which are done: files that outlive a crash
output.py      an output object, whole or not at all
host.py        the worker of one instance
capture.py     manifests of a data capture
usage.py       CPU, memory and disk of the instances as metrics
reconcile.py   the pure decide; actions.py what it does
"""
