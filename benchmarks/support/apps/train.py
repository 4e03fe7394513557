"""train.py KIND FILE: the four models of the comparison, on iris."""

import sys

import numpy as np
from sklearn.datasets import load_iris

kind, path = sys.argv[1:]
X, y = load_iris(return_X_y=True)
X = X.astype(np.float32)
if kind in ("lr", "rf"):
    import joblib
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=500) if kind == "lr" else RandomForestClassifier(100, random_state=0, n_jobs=1)
    joblib.dump(model.fit(X, y), path)
elif kind == "xgb":
    import xgboost

    parameters = {"objective": "multi:softmax", "num_class": 3, "max_depth": 5, "seed": 0}
    xgboost.train(parameters, xgboost.DMatrix(X, label=y), 100).save_model(path)
else:
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(torch.from_numpy(X)), torch.from_numpy(y)).backward()
        optimizer.step()
    torch.jit.script(network.eval()).save(path)
