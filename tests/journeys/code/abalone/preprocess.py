"""Splits a table of shells into train, validation and test, the rings first and the sex in columns of its own."""

import argparse
import os

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=1)
seed = parser.parse_args().seed
base = "/opt/ml/processing"
table = pd.read_csv(f"{base}/input/shells.csv").sample(frac=1.0, random_state=seed)
rings = table.pop("rings").to_numpy()
numbers = [name for name in table if name != "sex"]
turned = ColumnTransformer([("numbers", StandardScaler(), numbers), ("sex", OneHotEncoder(), ["sex"])]).fit_transform(table)
rows = np.column_stack([rings, turned])
for name, part in zip(("train", "validation", "test"), np.split(rows, [int(0.7 * len(rows)), int(0.85 * len(rows))]), strict=True):
    os.makedirs(f"{base}/{name}", exist_ok=True)
    pd.DataFrame(part).to_csv(f"{base}/{name}/{name}.csv", header=False, index=False)
