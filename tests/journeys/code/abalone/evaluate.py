"""The mean squared error of a model on the test rows."""

import json
import os
import pathlib
import tarfile

import pandas as pd
import xgboost

base = pathlib.Path("/opt/ml/processing")
with tarfile.open(base / "model/model.tar.gz") as archive:
    archive.extractall(path=".")
booster = xgboost.Booster()
booster.load_model("xgboost-model")
table = pd.read_csv(base / "test/test.csv", header=None)
errors = table[0].to_numpy() - booster.predict(xgboost.DMatrix(table.drop(columns=0).values))
report = {"regression_metrics": {"mse": {"value": float((errors**2).mean()), "standard_deviation": float(errors.std())}}}
os.makedirs(base / "evaluation", exist_ok=True)
(base / "evaluation/evaluation.json").write_text(json.dumps(report))
