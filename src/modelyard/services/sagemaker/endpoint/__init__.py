"""Endpoints: models behind a splitter.

lifecycle.py    statuses of endpoints and of their replicas
deployment.py   an endpoint configuration and its models, frozen into what shall run
operations.py   create, update, update weights and capacities, delete, list
describe.py     what DescribeEndpoint tells
policy.py       a DeploymentConfig: its checks, and the plan that comes of it, pure
alarms.py       the alarms that turn a deployment back
rollout.py      the pure decide of an endpoint: what serves stays whole, what is not wanted goes
shift.py        its way to another deployment, step by step and back again, pure
fleets.py       who of which deployment there is and takes traffic, pure
table.py        the route table of that, pure
shadows.py      shadow variants, pure
actions.py      what a rollout does: create a replica, stop one, publish a route table
reconcile.py    what the two reconcilers look at
replica.py      the walk of one replica: files → run → healthy → … → stopped
container.py    a replica as a run: folders, image, environment, log
fault.py        faults for rehearsals, our own API
traffic.py      what an endpoint does now, our own API
health.py       GET /ping of every replica, beside the engine's loop
"""
