"""Writes box_iou_loss.json beside this file: torchvision's GIoU, DIoU and CIoU losses of decoded boxes, and their gradients with
respect to the codes, in float64. The tests read the file and need no Python.

    pip install torch torchvision && python make_iou_loss_goldens.py

Made with torchvision 0.29.2.
"""
import json
import pathlib

import torch
from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss

LOSSES = {"giou": generalized_box_iou_loss, "diou": distance_box_iou_loss, "ciou": complete_box_iou_loss}


def decode(code, anchor):  # to x1, y1, x2, y2
    height, width = anchor[2] - anchor[0], anchor[3] - anchor[1]
    y, x = anchor[0] + height / 2 + code[0] * height, anchor[1] + width / 2 + code[1] * width
    h, w = torch.exp(code[2]) * height, torch.exp(code[3]) * width
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


torch.manual_seed(1)
rows = []
for spread in [0.1, 0.1, 0.3, 0.3, 0.3, 1, 1, 3]:  # from near the target to far away
    top, left = (torch.rand(2, dtype=torch.float64) * 200).tolist()
    height, width = (20 + torch.rand(2, dtype=torch.float64) * 100).tolist()
    anchor = [top, left, top + height, left + width]
    target = torch.randn(4, dtype=torch.float64) * 0.3
    code = (target + torch.randn(4, dtype=torch.float64) * spread).requires_grad_()
    row = {"anchor": anchor, "target": target.tolist(), "code": code.tolist()}
    for name, loss_of in LOSSES.items():
        loss = loss_of(decode(code, anchor), decode(target, anchor), reduction="sum")
        row[name] = {"loss": loss.item(), "gradient": torch.autograd.grad(loss, code)[0].tolist()}
    rows.append(row)
text = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
(pathlib.Path(__file__).parent / "box_iou_loss.json").write_text(f"[\n{text}\n]\n")
