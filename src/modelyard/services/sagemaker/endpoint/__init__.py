"""Endpoints: models behind a splitter.

lifecycle.py    statuses of endpoints and of their replicas
deployment.py   an endpoint configuration and its models, frozen into what shall run
operations.py   create, update, update weights and capacities, delete, describe, list
rollout.py      the pure decide of an endpoint: new replicas up, traffic over, old ones away
table.py        the route table of a deployment, pure
actions.py      what a rollout does: create a replica, stop one, publish a route table
reconcile.py    what the two reconcilers look at
replica.py      the walk of one replica: files → run → healthy → … → stopped
container.py    a replica as a run: folders, image, environment, log
fault.py        faults for rehearsals, our own API
traffic.py      what an endpoint does now, our own API
health.py       GET /ping of every replica, beside the engine's loop
"""
