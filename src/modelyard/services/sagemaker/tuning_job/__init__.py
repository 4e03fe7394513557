"""Hyperparameter tuning jobs: search a space by training jobs of their own. The children are the memory: what was tried, what
runs and how good it was is read from their records at each look.

lifecycle.py    statuses
operations.py   create, describe, list, stop, delete, and the list of a job's training jobs
checks.py       what a request must say, in AWS's words
autotune.py     ranges for algorithms and hints that name none
definitions.py  training definitions: as Describe answers them, and as the training job of one trial
trials.py       children as trials: objective, counters, the best
search.py       which values come next: Random, Grid, Hyperband, Bayesian (modelyard/optimiser)
warm_start.py   what the trials of parent jobs teach
pruning.py      which running trials are not worth their end: early stopping, Hyperband
curves.py       objective values of running trials, as their logs grow
completion.py   when a job has seen enough
reconcile.py    the pure decide, and the actions
"""
