"""Writes the small files of tests/golden/pytorch: what torch.save() makes of a state_dict, in both layouts, and the same numbers as
safetensors. Run with PyTorch and safetensors: python3 tests/golden/make_pytorch_files.py tests/golden/pytorch"""
import argparse
import collections
import sys

import safetensors.torch
import torch

folder = sys.argv[1]
torch.manual_seed(1)
net = torch.nn.Sequential(collections.OrderedDict(
    conv=torch.nn.Conv2d(3, 4, 3), norm=torch.nn.BatchNorm2d(4), fc=torch.nn.Linear(4, 2)))
state = net.state_dict()
shared = torch.randn(3, 5)
state["turned"] = shared.t()  # strides (1, 5)
state["part"] = shared[1:, 2:4]  # an offset, rows with gaps
state["half"] = torch.randn(7).half()
state["bfloat16"] = torch.randn(7).bfloat16()
state["double"] = torch.randn(2, 2).double()
state["scalar"] = torch.tensor(2.5)
state["empty"] = torch.zeros(0, 3)
safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, f"{folder}/state.safetensors")
average = {k: v + 1 if v.dtype == torch.float32 else v for k, v in state.items()}
checkpoint = {"epoch": 3, "args": argparse.Namespace(lr=0.1, name="net"), "best": 0.5, "history": [1, (2, None)],
              "state_dict": state, "state_dict_ema": average,
              "optimizer": {"param_groups": [{"lr": 0.1}], "state": {0: {"step": torch.tensor(3.0)}}}}
for layout, zipped in (("zip", True), ("old", False)):
    torch.save(state, f"{folder}/state_{layout}.pth", _use_new_zipfile_serialization=zipped)
    torch.save(checkpoint, f"{folder}/checkpoint_{layout}.pth", _use_new_zipfile_serialization=zipped)
torch.save(net, f"{folder}/module.pth")
torch.save({"a": torch.nn.Parameter(shared)}, f"{folder}/parameter.pth")
