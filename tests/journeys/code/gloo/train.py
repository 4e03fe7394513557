"""Two hosts, one gloo group: an all-reduce, and a model trained in step on each host's own shard."""

import json
import os
import pathlib

import torch
import torch.distributed as dist

hosts, here = json.loads(os.environ["SM_HOSTS"]), os.environ["SM_CURRENT_HOST"]
os.environ.setdefault("MASTER_ADDR", hosts[0])
os.environ.setdefault("MASTER_PORT", "29500")
os.environ.setdefault("GLOO_SOCKET_IFNAME", os.environ["SM_NETWORK_INTERFACE_NAME"])
rank = hosts.index(here)
dist.init_process_group("gloo", rank=rank, world_size=len(hosts))
mine = torch.tensor([float(rank + 1)])
dist.all_reduce(mine)
data = [float(text) for file in sorted(pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]).iterdir()) for text in file.read_text().split()]
torch.manual_seed(rank)
weight = torch.zeros(1, requires_grad=True)
for _ in range(50):
    loss = ((weight - torch.tensor(data)) ** 2).mean()
    (gradient,) = torch.autograd.grad(loss, weight)
    dist.all_reduce(gradient)
    with torch.no_grad():
        weight -= 0.1 * gradient / len(hosts)
print(f"{here} data={data} sum={mine.item()} weight={weight.item():.4f};", flush=True)
(pathlib.Path(os.environ["SM_MODEL_DIR"]) / f"{here}.txt").write_text(f"{weight.item():.6f}")
dist.destroy_process_group()
