"""Trains a small network on iris and saves its state; inference.py loads it."""

import argparse
import json
import os

import pandas as pd
import torch
from net import Net

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=200)
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
args = parser.parse_args()

table = pd.read_csv(os.path.join(args.train, "iris_train.csv"), header=None)
x, y = torch.tensor(table.iloc[:, 1:].values, dtype=torch.float32), torch.tensor(table.iloc[:, 0].values.astype(int))
torch.manual_seed(0)
net = Net()
steps = torch.optim.Adam(net.parameters(), lr=args.lr)
for _ in range(args.epochs):
    loss = torch.nn.functional.cross_entropy(net(x), y)
    steps.zero_grad()
    loss.backward()
    steps.step()
accuracy = (net(x).argmax(1) == y).float().mean().item()
print(f"train_accuracy={accuracy:.4f};", flush=True)
torch.save(net.state_dict(), os.path.join(args.model_dir, "model.pth"))
torch.save(net, os.path.join(args.model_dir, "whole.bin"))  # a whole object, as code of PyTorch 1 does
names = ("MASTER_ADDR", "MASTER_PORT", "SM_FRAMEWORK_MODULE", "SM_DLC_TORCH_VERSION", "SM_HPS")
with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "seen.json"), "w") as file:
    json.dump({name: os.environ.get(name) for name in names} | {"torch": torch.__version__}, file)
