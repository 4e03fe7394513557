"""SageMaker Pipelines: a definition in JSON, kept in versions, and its executions.

lifecycle.py    the kinds of records and their statuses
definition.py   a definition's text as steps, branches and dependencies; checks.py what CreatePipeline refuses
shapes.py       a step's arguments against the model of the operation they are for
parameters.py   what an execution was given
references.py   Get, Std:Join, Std:JsonGet: found (pure); resolve.py filled in at run time
conditions.py   the conditions of a Condition step
plan.py         which steps may start, as pure logic
lookup.py       pipelines and executions by name and ARN
pipeline.py     create, update, describe, delete, list; versions.py versions and their aliases
execution.py    start, stop, retry, describe, list; steps_shown.py the steps of an execution; callback.py answers to callback steps
selective.py    executions of some steps, with the results of another execution
reconcile.py    the pure decide; actions.py what it does; retries.py retry policies
starting.py     how a step begins: arguments filled in, cache asked, the job made as the pipeline's role
children.py     the jobs that steps make, as a table; caching.py results that are used again
events.py       what EventBridge is told; waking.py the end of a job wakes its execution
"""
