import os

import torch
from net import Net

modelyard_batch = True  # predict_fn answers row by row


def model_fn(model_dir):
    assert isinstance(torch.load(os.path.join(model_dir, "whole.bin")), Net)  # as PyTorch 2.1 does without being asked
    net = Net()
    net.load_state_dict(torch.load(os.path.join(model_dir, "model.pth"), map_location="cpu"))
    return net.eval()


def predict_fn(rows, net):
    with torch.no_grad():
        return net(rows).argmax(1)
