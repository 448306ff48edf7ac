"""Writes box_fusion.json beside this file: what the authors' package makes of lists of boxes by weighted box fusion. The tests read
the file and need no Python.

    pip install ensemble-boxes && python make_fusion_goldens.py

Made with ensemble-boxes 1.0.9. Its boxes are in fractions of the image, x before y; the file has (ymin, xmin, ymax, xmax).
"""
import json
import pathlib
import random

import numpy as np
from ensemble_boxes import weighted_boxes_fusion


def source(rng, objects, labels):
    """What one source sees: some of the objects, moved a little, each with a score of its own."""
    boxes, scores, classes = [], [], []
    for x, y, width, height, label in objects:
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            moved = [edge + rng.uniform(-0.15, 0.15) * size
                     for edge, size in zip([x, y, x + width, y + height], [width, height] * 2)]
            boxes.append([float(np.float32(min(1, max(0, edge)))) for edge in moved])
            scores.append(float(np.float32(rng.uniform(0.01, 1))))
            classes.append(rng.randrange(labels) if rng.random() < 0.1 else label)
    return boxes, scores, classes


def row(seed, sources, objects, labels, iou_threshold, score_threshold):
    rng = random.Random(seed)
    truths = [(rng.uniform(0, 0.8), rng.uniform(0, 0.8), rng.uniform(0.05, 0.2), rng.uniform(0.05, 0.2), rng.randrange(labels))
              for _ in range(objects)]
    found = [source(rng, truths, labels) for _ in range(sources)]
    boxes, scores, classes = weighted_boxes_fusion(*zip(*found), iou_thr=iou_threshold, skip_box_thr=score_threshold)
    assert len(set(scores.tolist())) == len(scores)  # ties have no order there
    def nine_digits(values):  # they name a float32
        return [float(f"{x:.9g}") for x in values]

    def yx(flat):
        return [nine_digits([box[1], box[0], box[3], box[2]]) for box in flat]

    return {"iou_threshold": iou_threshold, "score_threshold": score_threshold,
            "sources": [{"boxes": yx(b), "scores": nine_digits(s), "labels": c} for b, s, c in found],
            "boxes": yx(boxes.tolist()), "scores": nine_digits(scores.tolist()), "labels": [int(c) for c in classes]}


if __name__ == "__main__":
    rows = [row(1, 2, 12, 1, 0.55, 0.0), row(2, 3, 10, 2, 0.55, 0.0), row(3, 4, 8, 3, 0.4, 0.2), row(4, 1, 10, 2, 0.55, 0.0)]
    lines = ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows)
    (pathlib.Path(__file__).parent / "box_fusion.json").write_text(f"[\n{lines}\n]\n")
