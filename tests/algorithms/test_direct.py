"""The short way to a prediction: the same bits as `predict`, alone and in a batch, or none at all."""

from __future__ import annotations

import json
import subprocess

import pytest

pytestmark = pytest.mark.slow

SETUP = """
import json, sys, warnings
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import *
from sklearn.linear_model import *
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import *
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import *
from modelyard_algorithms.sklearn.direct import direct
warnings.simplefilter("ignore")
data = {"iris": load_iris(return_X_y=True), "cancer": load_breast_cancer(return_X_y=True), "diabetes": load_diabetes(return_X_y=True)}
data["names"] = data["iris"][0], np.array(["a", "b", "c"])[data["iris"][1]]
data["two"] = data["diabetes"][0], np.column_stack([data["diabetes"][1], data["diabetes"][1] / 3])
"""
COMPARE = """
told = {}
for name, (text, which) in json.loads(sys.argv[1]).items():
    X, y = data[which]
    model = eval(text).fit(X, y)
    way, random = direct(model), np.random.default_rng(7)
    if way is None:
        told[name] = "none"
        continue
    deviation, mean, same = X.std(axis=0), X.mean(axis=0), True
    for counts in ([1], [1, 1], [3], [1] * 32, [5, 1, 2, 24], [200]):
        rows = (mean + deviation * random.normal(size=(sum(counts), X.shape[1])) * 2).astype(np.float32)
        found, ends = way(rows, counts), np.cumsum(counts)
        wanted = np.concatenate([model.predict(part) for part in np.split(rows, ends[:-1])])
        same &= found.dtype == wanted.dtype and (found.tobytes() == wanted.tobytes() if found.dtype.kind != "O" else list(found) == list(wanted))
    odd = [np.full((1, X.shape[1]), value, np.float32) for value in (np.nan, np.inf, -np.inf)] + [np.zeros((1, X.shape[1] + 1), np.float32)]
    same &= all(way(rows, [1]) is None for rows in odd)
    told[name] = "same" if same else "differs"
print(json.dumps(told))
"""
TAKEN = {
    "logistic": ("LogisticRegression(max_iter=500)", "iris"),
    "binary": ("LogisticRegression(max_iter=5000)", "cancer"),
    "names": ("LogisticRegression(max_iter=500)", "names"),
    "sgd": ("SGDClassifier(random_state=0)", "cancer"),
    "svc": ("LinearSVC()", "iris"),
    "linear": ("LinearRegression()", "diabetes"),
    "ridge": ("Ridge()", "two"),
    "forest": ("RandomForestClassifier(100, random_state=0)", "iris"),
    "threads": ("RandomForestClassifier(20, random_state=0, n_jobs=2)", "cancer"),
    "weighed": ("RandomForestClassifier(20, random_state=0, class_weight='balanced')", "cancer"),
    "extra": ("ExtraTreesClassifier(100, random_state=0, bootstrap=True)", "names"),
    "regression": ("RandomForestRegressor(30, random_state=0)", "diabetes"),
    "shallow": ("RandomForestRegressor(100, max_depth=2, random_state=0)", "diabetes"),
    "stump": ("RandomForestClassifier(5, max_depth=1, random_state=0)", "iris"),
    "tree": ("DecisionTreeClassifier(random_state=0)", "iris"),
    "tree of numbers": ("DecisionTreeRegressor(random_state=0)", "diabetes"),
    "scaled": ("make_pipeline(StandardScaler(), LogisticRegression())", "cancer"),
    "stretched": ("make_pipeline(MinMaxScaler(), StandardScaler(with_mean=False), LinearRegression())", "diabetes"),
    "scaled forest": ("make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0))", "iris"),
    "search": ("GridSearchCV(LogisticRegression(max_iter=500), {'C': [0.1, 1]})", "iris"),
}
LEFT = {
    "kernel": ("SVC()", "iris"),
    "two outputs": ("RandomForestRegressor(10)", "two"),
    "boosting": ("GradientBoostingClassifier(n_estimators=5)", "iris"),
    "polynomial": ("make_pipeline(PolynomialFeatures(), LogisticRegression(max_iter=5000))", "iris"),
    "own": ("type('RandomForestClassifier', (RandomForestClassifier,), {'predict': lambda self, X: [0] * len(X)})(5)", "iris"),
}


@pytest.mark.parametrize("image", ["scikit-learn-1.2", "scikit-learn-1.4", "builtin-1"])
def test_the_same_bits_alone_and_together(container, image):
    box = container(image)
    command = [box.python, "-c", SETUP + COMPARE, json.dumps(TAKEN | LEFT)]
    done = subprocess.run(command, env=box.variables | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(TAKEN, "same") | dict.fromkeys(LEFT, "none")


def test_an_estimator_that_was_tampered_with_is_not_taken(container):
    """What `predict` says counts, not what the type promises."""
    box = container("scikit-learn-1.2")
    code = (
        "model = LogisticRegression(max_iter=500).fit(*data['iris'])\nplain = direct(model) is not None\n"
        "whole = model.predict\nmodel.predict = lambda X: whole(X)[::-1] * 0\nprint(plain, direct(model))"
    )
    done = subprocess.run([box.python, "-c", SETUP + code], env=box.variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "None"]


def test_scores_as_close_as_rounding_are_computed_apart(container):
    """Two classes with one score: the batch must not decide otherwise than the row alone."""
    box = container("scikit-learn-1.2")
    code = (
        "from modelyard_algorithms.sklearn.direct.linear import LinearClassifier\n"
        "X, y = data['iris']\nmodel = LogisticRegression(max_iter=500).fit(X, y)\nmodel.coef_[1] = model.coef_[0]\nmodel.intercept_[1] = model.intercept_[0]\n"
        "way = LinearClassifier(model)\nrows = X.astype(np.float32)\n"
        "print(way._close(rows @ way.coefficients + way.intercept, rows), way._close(rows[:1] @ way.coefficients * [[1, 2, 9]] + 1, rows[:1]))\n"
        "print((way(rows, [1] * len(rows)) == np.concatenate([model.predict(row[None]) for row in rows])).all())"
    )
    done = subprocess.run([box.python, "-c", SETUP + code], env=box.variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "True"]


def test_numbers_that_depend_on_company_are_not_batched(container):
    """A regression whose last bit a batch may change is answered request by request."""
    box = container("scikit-learn-1.2")
    code = (
        "from modelyard_algorithms.sklearn.independent import same_together\nX, y = data['iris']\n"
        "class Company:\n    n_features_in_ = 4\n    def predict(self, X): return X[:, 0] + np.float32(len(X))\n"
        "print(same_together(SVC().fit(X, y)), same_together(Company()))"
    )
    done = subprocess.run([box.python, "-c", SETUP + code], env=box.variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
