"""Inference components: models that share the instances of an endpoint's variant, each with copies of its own.

A component is moved by the walk of endpoints (endpoint/rollout.py): its copies are replicas, its deployment has one variant with as many
instances as there shall be copies, and its route table is its own, under its own ARN.

lifecycle.py    statuses
specification.py  what a copy runs and needs, and whether it fits
operations.py   create, update, update runtime config, delete, describe, list
reconcile.py    what the walk looks at
"""
