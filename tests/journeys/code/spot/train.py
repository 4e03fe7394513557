"""Counts epochs; a checkpoint at each, and it goes on where the last one is."""

import argparse
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--checkpoints", default="/opt/ml/checkpoints")
args = parser.parse_args()
path = os.path.join(args.checkpoints, "epoch")
done = 0
if os.path.exists(path):
    with open(path) as file:
        done = int(file.read())
print(f"resume at epoch {done}", flush=True)
for epoch in range(done, args.epochs):
    time.sleep(0.1)
    with open(path + ".tmp", "w") as file:
        file.write(str(epoch + 1))
    os.replace(path + ".tmp", path)
    print(f"epoch={epoch + 1};", flush=True)
with open(os.path.join(os.environ["SM_MODEL_DIR"], "epochs"), "w") as file:
    file.write(str(args.epochs))
