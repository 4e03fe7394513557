"""Runs from a source bundle whose requirements were installed."""

import json
import os
import sys

import helper
import tinydb

assert os.getcwd() == "/opt/ml/processing/input/code", os.getcwd()
with open("/opt/ml/processing/output/seen.json", "w") as file:
    json.dump({"argv": sys.argv[1:], "tinydb": tinydb.__version__, "helper": helper.NAME, "files": sorted(os.listdir("."))}, file)
print("worked")
