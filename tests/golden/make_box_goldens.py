"""Writes box_anchors.json, box_matching.json, box_decode.json, box_nms.json and box_detect.json beside this file: what effdet and
torchvision compute for anchors, matching, decoding, NMS and detection. The tests read the files and need no Python.

    pip install torch torchvision effdet omegaconf && python make_box_goldens.py

Made with effdet 0.4.1. Large random inputs are not stored: the tests draw the same numbers (class Uniform).
"""
import json
import pathlib

import numpy as np
import torch
from effdet.anchors import AnchorLabeler, Anchors, decode_box_outputs, generate_detections
from effdet.bench import _post_process
from effdet.soft_nms import batched_soft_nms
from torchvision.ops import batched_nms

FOLDER = pathlib.Path(__file__).parent
PUBLISHED = [(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)]
SQRT = [(r ** 0.5, 1 / r ** 0.5) for r in (1.0, 2.0, 0.5)]


class Uniform:
    """Numbers in [0, 1) that any language can repeat: the upper 24 bits of a linear congruential generator."""

    def __init__(self, seed):
        self.state = seed

    def __call__(self):
        self.state = (self.state * 1664525 + 1013904223) % 2 ** 32
        return (self.state >> 8) / 2 ** 24

    def array(self, count, low, high):
        return torch.tensor([low + self() * (high - low) for _ in range(count)], dtype=torch.float64).float()


def floats(tensor):
    """Nine digits name a float32 exactly."""
    return [float(f"{x:.9g}") for x in tensor.detach().double().flatten().tolist()]


def write(name, content):
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in content)
    (FOLDER / f"{name}.json").write_text(f"[\n{rows}\n]\n")


def make_anchors(height, width, scale, aspects, min_level=3, max_level=7, octaves=3):
    return Anchors(min_level, max_level, octaves, aspects, scale, (height, width))


def anchors_golden():
    rows = []
    for height, width, scale, aspects, max_level in [
        (256, 256, 2.0, PUBLISHED, 7), (512, 512, 4.0, PUBLISHED, 7), (300, 427, 1.5, PUBLISHED, 7),
        (97, 641, 4.0, SQRT, 8), (1, 1, 1.0, [(1.0, 1.0)], 7),
    ]:
        boxes = make_anchors(height, width, scale, aspects, max_level=max_level).boxes
        index = sorted({int(i) for i in np.linspace(0, len(boxes) - 1, 40)})
        rows.append({
            "height": height, "width": width, "scale": scale, "aspects": aspects, "max_level": max_level,
            "count": len(boxes), "index": index, "boxes": floats(boxes[index]),
            # A sum in which each number has its own weight stands for all of them.
            "sums": [float((boxes[:, k].double() * torch.arange(1, len(boxes) + 1)).sum()) for k in range(4)],
        })
    write("box_anchors", rows)


def random_truths(uniform, count, height, width):
    truths = []
    while len(truths) < count:
        h, w = (2 ** (2 + 5.5 * uniform()) for _ in range(2))
        y, x = uniform() * (height - h), uniform() * (width - w)
        if y >= 0 and x >= 0:
            truths.append([y, x, y + h, x + w])
    return torch.tensor(truths)


def matching_golden():
    rows = []
    regular = torch.tensor([  # whole numbers, so that equal overlaps occur: ties between anchors and between objects
        [0, 0, 64, 64], [0, 0, 64, 64], [16, 16, 48, 48], [20, 20, 28, 28], [20, 20, 28, 28], [22, 22, 26, 26],
        [100, 100, 104, 104], [100, 100, 102, 102], [0, 0, 256, 256], [32, 0, 96, 256], [255, 255, 256, 256],
        [0, 0, 3, 3], [96, 96, 160, 160], [104, 104, 152, 152], [0, 128, 256, 136]], dtype=torch.float32)
    for height, width, scale, truths in [
        (256, 256, 2.0, random_truths(Uniform(1), 30, 256, 256)),
        (256, 256, 2.0, regular),
        (256, 256, 4.0, random_truths(Uniform(2), 40, 256, 256)),
        (203, 333, 1.5, random_truths(Uniform(3), 25, 203, 333)),
        (128, 128, 1.0, torch.zeros(0, 4)),
    ]:
        anchors = make_anchors(height, width, scale, PUBLISHED)
        labels = torch.arange(len(truths)) * 7 % 5
        classes, boxes, positives = AnchorLabeler(anchors, 5).label_anchors(truths, labels + 1)  # effdet counts from 1
        classes = torch.cat([c.flatten() for c in classes])
        boxes = torch.cat([b.reshape(-1, 4) for b in boxes])
        index = torch.nonzero(classes >= 0).flatten()
        assert len(index) == int(positives) and (boxes[classes < 0] == 0).all() and (classes >= -1).all()
        few = list(range(0, len(index), max(1, len(index) // 40)))
        rows.append({
            "height": height, "width": width, "scale": scale, "truths": floats(truths), "labels": labels.tolist(),
            "positive": index.tolist(), "classes": classes[index].tolist(), "few": few,
            "codes": floats(boxes[index[few]]), "sums": boxes.double().sum(0).tolist(),
        })
    write("box_matching", rows)


def decode_golden():
    boxes = make_anchors(203, 333, 1.5, PUBLISHED).boxes
    index = list(range(0, len(boxes), len(boxes) // 40))
    codes = Uniform(4).array(len(index) * 4, -3, 3).reshape(-1, 4)
    write("box_decode", [{"height": 203, "width": 333, "scale": 1.5, "index": index, "codes": floats(codes),
                          "boxes": floats(decode_box_outputs(codes, boxes[index]))}])


def nms_golden():
    rows = []
    for seed, count, labels in [(5, 300, 1), (6, 400, 5), (7, 60, 3)]:
        uniform = Uniform(seed)
        boxes = []
        for _ in range(count):  # some clusters of jittered copies
            y, x = 40 * int(uniform() * 6), 40 * int(uniform() * 6)
            jitter = [8 * uniform() for _ in range(4)]
            boxes.append([x + jitter[0], y + jitter[1], x + 20 + jitter[2] * 3, y + 20 + jitter[3] * 3])
        boxes = torch.tensor(boxes, dtype=torch.float64).float()
        scores = uniform.array(count, 0, 1)
        label = torch.tensor([int(uniform() * labels) for _ in range(count)])
        assert len(set(scores.tolist())) == count
        hard = batched_nms(boxes, scores, label, 0.5)
        soft, soft_scores = batched_soft_nms(boxes, scores, label, sigma=0.5, score_threshold=0.001)
        rows.append({"seed": seed, "count": count, "labels": labels, "hard": hard.tolist(),
                     "soft": soft[:100].tolist(), "soft_scores": floats(soft_scores[:100])})
    write("box_nms", rows)


def detect_golden():
    rows = []
    classes = 4
    for seed, soft, height, width, scale, top_k in [  # height, width: of the original; scale: network / original
        (8, False, 0, 0, 1.0, 1000), (9, True, 0, 0, 1.0, 1000), (10, False, 128, 128, 0.5, 500),
        (11, True, 40, 40, 1.6, 3000),
    ]:
        anchors = make_anchors(64, 64, 1.0, PUBLISHED)
        uniform = Uniform(seed)
        count = len(anchors.boxes)
        logits = uniform.array(count * classes, -9, 3)
        codes = uniform.array(count * 4, -0.4, 0.4)
        assert len(set(logits.tolist())) > len(logits) - 5
        class_levels, box_levels, first = [], [], 0
        for level in range(3, 8):
            h, w = anchors.feat_sizes[level]
            last = first + h * w * 9
            for levels, flat, k in [(class_levels, logits, classes), (box_levels, codes, 4)]:
                part = flat[first * k:last * k].reshape(1, h, w, 9 * k)
                levels.append(part.permute(0, 3, 1, 2))
            first = last
        class_out, box_out, indices, labels = _post_process(class_levels, box_levels, 5, classes, top_k)
        size = torch.tensor([float(width), float(height)]) if height else None  # effdet's order is (width, height)
        result = generate_detections(class_out[0], box_out[0], anchors.boxes, indices[0], labels[0],
                                     torch.tensor(1 / scale) if height else None, size, 100, soft)
        result = result[result[:, 4] > 0]
        assert (result[:, 2] > result[:, 0]).all() and (result[:, 3] > result[:, 1]).all()
        rows.append({"seed": seed, "soft": soft, "height": height, "width": width, "scale": scale, "top_k": top_k,
                     "classes": classes, "boxes": floats(result[:, [1, 0, 3, 2]]), "scores": floats(result[:, 4]),
                     "labels": [int(c) - 1 for c in result[:, 5]]})
    write("box_detect", rows)


if __name__ == "__main__":
    anchors_golden()
    matching_golden()
    decode_golden()
    nms_golden()
    detect_golden()
