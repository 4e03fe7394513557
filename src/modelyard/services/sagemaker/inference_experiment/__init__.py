"""Inference experiments (shadow tests): a schedule, and what an endpoint shall serve before, during and after it.

lifecycle.py    statuses
checks.py       what may be asked for
operations.py   create, start, stop, update, delete, describe, list
plan.py         endpoint configurations of an experiment, pure
decide.py       the walk, pure
actions.py      what it does: the endpoint operations, as the experiment's role
reconcile.py    what the walk looks at, and who wakes it
describe.py     what DescribeInferenceExperiment tells
"""
