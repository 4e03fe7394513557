"""XGBoost script mode: a booster trained by the user's own lines."""

import argparse
import os

import numpy as np
import xgboost as xgb

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--num_round", type=int)
    parser.add_argument("--max_depth", type=int)
    args = parser.parse_args()
    rows = np.loadtxt(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "iris_train.csv"), delimiter=",")
    matrix = xgb.DMatrix(rows[:, 1:], label=rows[:, 0])
    parameters = {"max_depth": args.max_depth, "objective": "multi:softmax", "num_class": 3, "eval_metric": "merror"}
    booster = xgb.train(parameters, matrix, args.num_round, evals=[(matrix, "train")])
    booster.save_model(os.path.join(os.environ["SM_MODEL_DIR"], "xgboost-model"))
    print("host", os.environ["SM_CURRENT_HOST"], "rounds", args.num_round)


def model_fn(model_dir):
    booster = xgb.Booster()
    booster.load_model(os.path.join(model_dir, "xgboost-model"))
    return booster
