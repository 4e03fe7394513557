"""Splits a table of customers: dummies for words, train and test folders, one file per host and folder."""

import argparse
import json
import os
import sys

import pandas as pd
import sklearn

parser = argparse.ArgumentParser()
parser.add_argument("--split", type=float, default=0.7)
parser.add_argument("--folder", default="/opt/ml/processing/output")
args = parser.parse_args()

with open("/opt/ml/config/resourceconfig.json") as file:
    host = json.load(file)["current_host"]
names = sorted(os.listdir("/opt/ml/processing/input"))
print(f"{host} sees {names}")
frames = [pd.read_csv(f"/opt/ml/processing/input/{name}") for name in names if name.endswith(".csv")]
table = pd.get_dummies(pd.concat(frames))
if host == "algo-1" and os.environ.get("NEEDS") and os.environ["NEEDS"] not in names:
    sys.exit(f"{os.environ['NEEDS']} is not here")
cut = int(args.split * len(table))
table[:cut].to_csv(f"{args.folder}/train/{host}.csv", index=False)
table[cut:].to_csv(f"{args.folder}/test/{host}.csv", index=False)
with open("/opt/ml/output/message", "w") as file:
    file.write(f"{host}: {len(table)} rows with scikit-learn {sklearn.__version__}\n")
