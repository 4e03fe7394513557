"""The linear learner: logistic, softmax and linear regression by mini-batch gradients, several models at once, the best one kept.

table.py   hyperparameters      losses.py  loss functions      fit.py    the optimisers
scores.py  thresholds, metrics  model.py   artifact, answers   train.py  the job
"""

from ..algorithm import Algorithm
from .model import load
from .table import TABLE
from .train import train

ALGORITHM = Algorithm(
    "linear-learner",
    "Linear Learner",
    TABLE,
    train,
    load,
    channels=("validation", "test"),
    labels=True,
    test_labels=True,
    sparse=True,
)
