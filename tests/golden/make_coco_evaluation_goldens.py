"""Writes coco_evaluation.json beside this file: small data sets, each made to reach one rule of the COCO evaluation, and
what pycocotools measures on them. The tests read the file and need no Python.

    pip install pycocotools numpy && python make_coco_evaluation_goldens.py

Made with pycocotools 2.0.11. One row a data set: "images" and "categories" are ids, in the order of the file; "truths" are
[image, category, x, y, width, height, area, crowd], "detections" [image, category, x, y, width, height, score]; "figures"
are the 12 of the challenge; "classes" has for each category AP, AP50, AP75, AR100 and then the precision at IoU 0.50 for
recall 0, 0.1, ... 1.
"""
import contextlib
import io
import json
import pathlib
import random

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def coco(images, categories, annotations):
    data = COCO()
    data.dataset = {"images": [{"id": i} for i in images], "categories": [{"id": c} for c in categories],
                    "annotations": annotations}
    data.createIndex()
    return data


def mean(values):
    measured = values[values > -1]
    return float(np.mean(measured)) if measured.size else -1.0


def measure(name, images, categories, truths, detections):
    truth = coco(images, categories, [
        {"id": n + 1, "image_id": i, "category_id": c, "bbox": [x, y, w, h], "area": area, "iscrowd": crowd}
        for n, (i, c, x, y, w, h, area, crowd) in enumerate(truths)])
    found = coco(images, categories, [  # as COCO.loadRes makes them
        {"id": n + 1, "image_id": i, "category_id": c, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0, "score": score}
        for n, (i, c, x, y, w, h, score) in enumerate(detections)])
    evaluation = COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    precision, recall = evaluation.eval["precision"][..., 0, 2], evaluation.eval["recall"][..., 0, 2]
    column = {c: k for k, c in enumerate(sorted(categories))}
    classes = []
    for c in categories:
        p, r = precision[:, :, column[c]], recall[:, column[c]]
        classes.append([mean(p), mean(p[0]), mean(p[5]), mean(r)] + [float(x) for x in p[0, ::10]])
    return {"name": name, "images": images, "categories": categories, "truths": truths, "detections": detections,
            "figures": [float(x) for x in evaluation.stats], "classes": classes}


def near(rng, box, spread):
    return [round(v + rng.uniform(-spread, spread) * size, 2) for v, size in zip(box, (box[2], box[3], box[2], box[3]))]


def photographs(seed, images=6, categories=3, objects=5, crowds=0.0, digits=3, extra=4):
    """Objects of all sizes on decimal pixels; detections near them, doubled at times, with false ones among them."""
    rng = random.Random(seed)
    ids = rng.sample(range(1, 1000), images)
    kinds = sorted(rng.sample(range(1, 91), categories))
    truths, detections = [], []
    for image in ids:
        for _ in range(rng.randint(0, objects)):
            kind, side = rng.choice(kinds), rng.choice([14, 40, 80, 200])
            box = [round(v, 2) for v in (rng.uniform(0, 400), rng.uniform(0, 400), rng.uniform(0.5, 1.5) * side,
                                         rng.uniform(0.5, 1.5) * side)]
            crowd = int(rng.random() < crowds)
            # The area of a mask is smaller than its box.
            truths.append([image, kind, *box, round(box[2] * box[3] * rng.uniform(0.4, 1), 2), crowd])
            for _ in range(rng.choice([0, 1, 1, 2]) + 3 * crowd):
                other = kind if rng.random() < 0.9 else rng.choice(kinds)
                detections.append([image, other, *near(rng, box, 0.12), round(rng.random(), digits)])
        for _ in range(rng.randint(0, extra)):
            box = [round(rng.uniform(*limits), 2) for limits in ((0, 400), (0, 400), (5, 150), (5, 150))]
            detections.append([image, rng.choice(kinds), *box, round(rng.random(), digits)])
    rng.shuffle(detections)
    return ids, kinds, truths, detections


def lattice(seed, images=4, count=9, digits=1):
    """Boxes on a coarse grid: equal scores, copies, and IoUs that tie or lie on a threshold (1/2, 3/5, 3/4, 4/5, 9/10)."""
    rng = random.Random(seed)
    ids = list(range(images, 0, -1))
    truths, detections = [], []
    for image in ids:
        for _ in range(count):
            box = [20 * rng.randint(0, 2), 0, 20 * rng.randint(1, 5), 20 * rng.randint(1, 5)]
            truths.append([image, 1, *box, box[2] * box[3], int(rng.random() < 0.15)])
        for _ in range(2 * count):
            box = [20 * rng.randint(0, 2), rng.choice([0, 0, 5, 10]), 10 * rng.randint(2, 10), 10 * rng.randint(2, 10)]
            detections.append([image, 1, *box, round(rng.random(), digits)])
    return ids, [1], truths, detections


def size_borders():
    """Areas on, just below and just above 32^2, 96^2 and 1e10, of truths and of detections that match nothing."""
    sides = [(32, 32), (96, 96), (16, 64), (31.99, 32), (32.01, 32), (95.99, 96), (96.01, 96)]
    truths, detections = [], []
    for n, (w, h) in enumerate(sides):
        truths.append([1, 1, 200 * n, 0, w, h, w * h, 0])
        detections.append([1, 1, 200 * n + 2, 0, w, h, round(0.9 - 0.1 * n, 1)])
        detections.append([1, 1, 200 * n, 500, w, h, round(0.85 - 0.1 * n, 2)])
    for n, area in enumerate([0, 1024, 9216, 1e10, 1.5e10]):
        truths.append([2, 1, 200 * n, 0, 50, 50, area, 0])
        detections.append([2, 1, 200 * n, 1, 50, 50, round(0.7 - 0.1 * n, 1)])
    detections.append([2, 1, 0, 0, 120000, 120000, 0.95])
    return [1, 2], [1], truths, detections


def many_detections(seed, count):
    """`count` detections of one class in one image, the good ones spread over all ranks; a second class beside it."""
    rng = random.Random(seed)
    truths = [[7, 5, 30 * n, 0, 20, 20 + n, 400 + 20 * n, 0] for n in range(12)]
    truths.append([7, 6, 0, 200, 50, 50, 2500, 0])
    detections = [[7, 5, 30 * rng.randint(0, 20), rng.randint(0, 8), 20, 24, round(rng.random(), 2)] for _ in range(count)]
    detections.append([7, 6, 0, 200, 50, 48, 0.01])
    return [7, 8], [5, 6], truths, detections


def last_detections():
    """One object found by the 100th detection of its class, which counts, and one by the 101st, which does not."""
    truths = [[1, 1, 0, 0, 40, 40, 1600, 0], [1, 2, 0, 0, 40, 40, 1600, 0]]
    detections = [[1, c, 200, 200, 40, 40, 0.9] for c, misses in ((1, 99), (2, 100)) for _ in range(misses)]
    detections += [[1, c, 0, 0, 40, 40, 0.1] for c in (1, 2)]
    return [1], [1, 2], truths, detections


def recall_grid():
    """20 objects, every second detection a hit: recall 0.35 = 7 / 20 is less than numpy's 35 * 0.01 and misses that point."""
    truths = [[1, 1, 50 * n, 0, 40, 40, 1600, 0] for n in range(20)]
    detections = [[1, 1, 50 * (n // 2), 200 * (n % 2), 40, 40, round(0.99 - 0.01 * n, 2)] for n in range(40)]
    return [1], [1], truths, detections


def crowd_rules():
    """A crowd takes any number of detections, by their part inside it, but never one that an object could have."""
    truths = [[3, 1, 0, 0, 300, 300, 90000, 1], [3, 1, 10, 10, 60, 60, 3600, 0], [3, 1, 400, 0, 50, 50, 2500, 0]]
    detections = [[3, 1, 10, 10, 60, 60, 0.9], [3, 1, 12, 10, 60, 60, 0.8], [3, 1, 100, 100, 20, 20, 0.7],
                  [3, 1, 250, 100, 100, 100, 0.6], [3, 1, 255, 0, 100, 100, 0.5], [3, 1, 400, 0, 50, 40, 0.4],
                  [3, 1, 280, 280, 100, 100, 0.3]]
    return [3], [1], truths, detections


def odd_boxes():
    """Boxes without area, reversed, outside the image, a copy of a truth (IoU 1 exactly), and IoUs of 0.9 and the last bit below."""
    truths = [[1, 1, 10, 10, 0, 0, 0, 0], [1, 1, 20, 20, 40, 40, 1600, 0], [1, 1, 0.1, 0.2, 33.3, 77.7, 33.3 * 77.7, 0],
              [1, 1, 200, 0, 1, 1, 1, 0], [1, 1, 300, 0, 1, 1, 1, 0]]
    detections = [[1, 1, 10, 10, 0, 0, 0.9], [1, 1, 60, 60, -40, -40, 0.8], [1, 1, 20, 20, 40, 40, 0.7],
                  [1, 1, -500, -500, 10, 10, 0.6], [1, 1, 0.1, 0.2, 33.3, 77.7, -0.5], [1, 1, 0.1, 0.2, 33.3, 77.7, 1e-300],
                  [1, 1, 200, 0, 1, 0.9, 0.95], [1, 1, 300, 0, 1, 0.8999999999999999, 0.95]]
    return [1], [1], truths, detections


def unequal_classes():
    """A class without truths, one without detections, one with crowds only, one with nothing; ids with gaps."""
    truths = [[10, 2, 0, 0, 40, 40, 1600, 0], [10, 9, 50, 50, 200, 200, 40000, 0], [20, 30, 0, 0, 99, 99, 9801, 1]]
    detections = [[20, 7, 5, 5, 10, 10, 0.8], [10, 2, 0, 0, 40, 30, 0.6], [20, 30, 0, 0, 50, 50, 0.5],
                  [10, 2, 0, 0, 40, 38, 0.6]]
    return [20, 10], [2, 7, 9, 30, 31], truths, detections


def data_sets():
    for seed in range(4):
        yield f"photographs {seed}", photographs(seed)
    yield "photographs with crowds", photographs(10, crowds=0.4)
    yield "photographs with equal scores", photographs(11, digits=1)
    yield "many classes", photographs(12, categories=9, objects=8)
    yield "few objects", photographs(13, images=5, objects=1)
    for seed in range(4):
        yield f"lattice {seed}", lattice(seed)
    yield "lattice of one score", lattice(5, digits=0)
    yield "size borders", size_borders()
    yield "more than 100 detections", many_detections(20, 140)
    yield "100 detections", many_detections(21, 100)
    yield "the 100th and the 101st detection", last_detections()
    yield "recalls on the grid", recall_grid()
    yield "crowd rules", crowd_rules()
    yield "odd boxes", odd_boxes()
    yield "unequal classes", unequal_classes()
    yield "no detections", ([1, 2], [1], [[1, 1, 0, 0, 10, 10, 100, 0]], [])
    yield "no truths", ([1, 2], [1], [], [[1, 1, 0, 0, 10, 10, 0.5]])
    yield "only a crowd", ([1], [1], [[1, 1, 0, 0, 10, 10, 100, 1]], [[1, 1, 0, 0, 10, 10, 0.5]])


def main(path):
    with contextlib.redirect_stdout(io.StringIO()):
        rows = [measure(name, *content) for name, content in data_sets()]
    path.write_text("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main(pathlib.Path(__file__).with_name("coco_evaluation.json"))
