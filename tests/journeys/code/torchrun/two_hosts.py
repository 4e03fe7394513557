"""The hosts of a job agree on the mean of their gradients, as data-parallel training does; classic rendezvous or torchrun."""

import json
import os

import torch
import torch.distributed as dist

hosts, here = json.loads(os.environ["SM_HOSTS"]), os.environ["SM_CURRENT_HOST"]
if "RANK" not in os.environ:
    os.environ |= {"WORLD_SIZE": str(len(hosts)), "RANK": str(hosts.index(here))}
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(rank)
x = torch.randn(32, 3)
y = x @ torch.tensor([[1.0], [2.0], [3.0]])
torch.manual_seed(0)
net = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 1))
steps = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(50):
    loss = torch.nn.functional.mse_loss(net(x), y)
    steps.zero_grad()
    loss.backward()
    steps.step()
weights = [round(value, 6) for value in net.module.weight.flatten().tolist()]
print(f"host {here} rank {rank} of {dist.get_world_size()} weights {weights}", flush=True)
with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], f"{here}.json"), "w") as file:
    json.dump({"weights": weights, "rank": rank, "world": dist.get_world_size()}, file)
if rank == 0:
    torch.save(net.module.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
dist.barrier()
del net, steps
dist.destroy_process_group()
