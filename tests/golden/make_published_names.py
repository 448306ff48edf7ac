"""Writes published_names.json beside this file: names and shapes in the state_dicts of other implementations.

    pip install torch efficientnet_pytorch && python make_published_names.py

efficientnet_pytorch's are its own. zylo117's EfficientDet is in no package: its names and shapes are written down here after
its sources (backbone.py and efficientdet/model.py), around the backbone that both share.
"""
import json
from pathlib import Path

from efficientnet_pytorch import EfficientNet


def shapes(model):
    return {n: list(t.shape) for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}


def norm(name, channels):
    return {f"{name}.{part}": [channels] for part in ("weight", "bias", "running_mean", "running_var")}


def separable(name, channels, out):
    return {f"{name}.depthwise_conv.conv.weight": [channels, 1, 3, 3],
            f"{name}.pointwise_conv.conv.weight": [out, channels, 1, 1], f"{name}.pointwise_conv.conv.bias": [out]}


def projection(name, channels, out):
    return {f"{name}.0.conv.weight": [out, channels, 1, 1], f"{name}.0.conv.bias": [out], **norm(f"{name}.1", out)}


def zylo117_d0(backbone, classes=90, width=64, cells=3, repeats=3, features=(40, 112, 320), anchors=9):
    names = {}
    for name, shape in backbone.items():
        if name.startswith(("_conv_head", "_bn1", "_fc")):
            continue
        part, last = name.rsplit(".", 1)
        wrapped = len(shape) == 4 or "_se_" in name
        names[f"backbone_net.model.{part}{'.conv' if wrapped else ''}.{last}"] = shape
    for cell in range(cells):
        prefix = f"bifpn.{cell}"
        for level in (6, 5, 4, 3):
            names.update(separable(f"{prefix}.conv{level}_up", width, width), **norm(f"{prefix}.conv{level}_up.bn", width))
            names[f"{prefix}.p{level}_w1"] = [2]
        for level in (4, 5, 6, 7):
            names.update(separable(f"{prefix}.conv{level}_down", width, width), **norm(f"{prefix}.conv{level}_down.bn", width))
            names[f"{prefix}.p{level}_w2"] = [2 if level == 7 else 3]
    for level, channels in zip((3, 4, 5), features):
        names.update(projection(f"bifpn.0.p{level}_down_channel", channels, width))
        if level > 3:
            names.update(projection(f"bifpn.0.p{level}_down_channel_2", channels, width))
    names.update(projection("bifpn.0.p5_to_p6", features[-1], width))
    for net, outputs in (("regressor", 4), ("classifier", classes)):
        for i in range(repeats):
            names.update(separable(f"{net}.conv_list.{i}", width, width))
            for level in range(5):
                names.update(norm(f"{net}.bn_list.{level}.{i}", width))
        names.update(separable(f"{net}.header", width, anchors * outputs))
    return names


if __name__ == "__main__":
    classifier = shapes(EfficientNet.from_name("efficientnet-b0"))
    text = json.dumps({"efficientnet_pytorch": classifier, "zylo117": zylo117_d0(classifier)}, indent=0, sort_keys=True)
    (Path(__file__).parent / "published_names.json").write_text(text.replace("[\n", "[").replace("\n]", "]") + "\n")
