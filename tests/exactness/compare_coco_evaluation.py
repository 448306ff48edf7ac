#!/usr/bin/env python3
"""Evaluates random data sets with `fovea eval` and with pycocotools, from the same files, and compares every figure.

    pip install pycocotools numpy && python tests/exactness/compare_coco_evaluation.py --program build/fovea

A data set mixes several scenes on common images and categories: photographs, boxes on a coarse grid, areas on the borders
between small, medium and large, IoUs that are equal or on a threshold, more detections than count. What a data set has of
these is not taken from the plan but found in what was drawn. Each data set has a seed of its own, counted from --seed: one
alone is had again by --seed SEED --count 1. Exits 1 where a figure differs by more than 1e-9 or the program fails.

Left out is what the two treat differently on purpose: Fovea drops truths without width or height, and counts annotations
whose ids are 0 or equal as what they are, where pycocotools loses them.
"""
import argparse
import collections
import contextlib
import io
import itertools
import json
import math
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
from make_coco_evaluation_goldens import lattice, many_detections, mean, photographs  # noqa: E402

TOLERANCE = 1e-9
FIGURES = ["AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
           "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"]
CLASS_FIGURES = ["AP", "AP50", "AP75", "AR100"]
FEATURES = ["crowds", "equal scores in an image", "equal scores in several images", "equal IoUs of a detection",
            "an IoU on a threshold", "categories without truth", "categories without detections",
            "truths of area 32^2", "truths of area 96^2", "detections of area 32^2", "detections of area 96^2",
            "images without truth", "images without detections", "images with neither",
            "more than 100 detections in an image", "more than 100 of one category", "detections without area",
            "undefined figures"]


# --- Data sets: image ids, category ids, truths and detections as in make_coco_evaluation_goldens.py ---


def size_borders(seed, images=2, count=6):
    """Areas of 32^2 and 96^2, exactly and one bit off, for truths, for detections that match and for ones that do not."""
    rng = random.Random(seed)
    sides = {32**2: [(32, 32), (16, 64), (128, 8)], 96**2: [(96, 96), (48, 192), (128, 72)]}
    truths, detections = [], []
    for image, n in itertools.product(range(images), range(count)):
        area = rng.choice(list(sides))
        w, h = rng.choice(sides[area])
        x, y = 250 * n, rng.choice([0, 0.5])
        area = rng.choice([area, area, math.nextafter(area, 0), math.nextafter(area, math.inf)])
        truths.append([image, 1, x, y, w, h, area, 0])
        for _ in range(rng.randint(0, 3)):
            side = rng.choice([h, h, math.nextafter(h, 0), math.nextafter(h, math.inf)])
            detections.append([image, 1, x + rng.choice([0, 0, 1, 2, 200]), y, w, side, round(rng.random(), 1)])
    return range(images), [1], truths, detections


def thresholds(seed, count=8):
    """IoUs of 0.50, 0.55, ... 0.95 and one bit off; the threshold of numpy's linspace is a bit below 0.9."""
    rng = random.Random(seed)
    truths, detections = [], []
    for n in range(count):
        height = rng.choice([0.9, rng.randint(10, 19) / 20])
        height = rng.choice([height, math.nextafter(height, 0), math.nextafter(height, 1)])
        truths.append([1, 1, 4 * n, 0, 1, 1, 1, 0])
        detections.append([1, 1, 4 * n, 0, 1, height, round(rng.random(), 1)])
    return [1], [1], truths, detections


def equal_ious(seed, count=4):
    """A detection halfway between two objects, and a worse one that finds its own object only if the first took the other."""
    rng = random.Random(seed)
    truths, detections = [], []
    for n in range(count):
        x, shift, width = 200 * n, rng.choice([4, 6, 8]), rng.choice([32, 40, 64])
        truths += [[1, 1, at, 0, width, 40, 40 * width, int(rng.random() < 0.1)] for at in (x, x + 2 * shift)]
        detections.append([1, 1, x + shift, 0, width, 40, round(rng.uniform(0.5, 1), 1)])
        detections.append([1, 1, x + rng.choice([0, 2]) * shift, 0, width, 40, round(rng.uniform(0, 0.5), 1)])
    return [1], [1], truths, detections


def odd_detections(seed, count=5):
    """Detections without area, reversed, or outside every image, over one object."""
    rng = random.Random(seed)
    sides = [(0, 0), (0, 40), (-40, -40), (40, -40), (1e-300, 1e-300), (1e7, 1e7)]
    detections = [[1, 1, rng.choice([20, 60, -500]), 20, *rng.choice(sides), round(rng.uniform(-1, 1), 1)]
                  for _ in range(count)]
    return [1], [1], [[1, 1, 20, 20, 40, 40, 1600, 0]], detections


def draw_scenes(rng):
    def seed():
        return rng.getrandbits(32)

    kinds = {
        "photographs": lambda: photographs(seed(), images=rng.randint(1, 6), categories=rng.randint(1, 4),
                                           crowds=rng.choice([0, 0, 0.1, 0.4]), digits=rng.choice([1, 2, 3, 17])),
        "lattice": lambda: lattice(seed(), images=rng.randint(1, 3), count=rng.randint(1, 9), digits=rng.randint(0, 2)),
        "size borders": lambda: size_borders(seed()),
        "thresholds": lambda: thresholds(seed()),
        "equal IoUs": lambda: equal_ious(seed()),
        "many detections": lambda: many_detections(seed(), rng.choice([99, 100, 101, 140])),
        "odd detections": lambda: odd_detections(seed()),
    }
    chosen = [name for name in kinds if rng.random() < (0.7 if name == "photographs" else 0.3)]
    return [kinds[name]() for name in chosen]  # sometimes empty: a data set without truths and detections


def draw_data_set(seed):
    rng = random.Random(seed)
    images = rng.sample(range(1, 100000), rng.randint(1, 8))
    categories = rng.sample(range(1, 91), rng.randint(1, 6))
    truths, detections = [], []
    for scene_images, scene_categories, scene_truths, scene_detections in draw_scenes(rng):
        image = {i: rng.choice(images) for i in scene_images}
        category = {c: rng.choice(categories) for c in scene_categories}
        truths += [[image[i], category[c], *rest] for i, c, *rest in scene_truths]
        detections += [[image[i], category[c], *rest] for i, c, *rest in scene_detections]
    rng.shuffle(truths)
    rng.shuffle(detections)
    if rng.random() < 0.25:
        empty = rng.choice(images)
        truths = [t for t in truths if t[0] != empty]
    if rng.random() < 0.25:
        image, category = rng.choice(images), rng.choice(categories)
        detections = [d for d in detections if d[0] != image and d[1] != category]
    return images, categories, truths, detections


def write(folder, images, categories, truths, detections):
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 2000, "height": 2000} for i in images],
        "categories": [{"id": c, "name": f"category_{c}"} for c in categories],
        # From 1: pycocotools counts a detection of the truth with id 0 as false (gtMatches and dtMatches hold ids).
        "annotations": [{"id": n, "image_id": i, "category_id": c, "bbox": box, "area": area, "iscrowd": crowd}
                        for n, (i, c, *box, area, crowd) in enumerate(truths, 1)],
    }
    results = [{"image_id": i, "category_id": c, "bbox": box, "score": score} for i, c, *box, score in detections]
    (folder / "t.json").write_text(json.dumps(truth))
    (folder / "d.json").write_text(json.dumps(results))


# --- The two evaluators ---


def pycocotools_evaluation(folder):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "t.json"))
        if json.loads((folder / "d.json").read_text()):
            found = truth.loadRes(str(folder / "d.json"))
        else:  # loadRes cannot read an empty list
            found = COCO()
            found.dataset = {**truth.dataset, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def pycocotools_figures(evaluation):
    figures = dict(zip(FIGURES, map(float, evaluation.stats)))
    precision, recall = evaluation.eval["precision"][..., 0, 2], evaluation.eval["recall"][..., 0, 2]
    for k, category in enumerate(evaluation.params.catIds):
        p, r = precision[:, :, k], recall[:, k]
        for name, values in zip(CLASS_FIGURES, (p, p[0], p[5], r)):
            figures[f"{name} of category_{category}"] = mean(values)
    return figures


def fovea_figures(program, folder):
    """Twelve lines "name value", an empty one, a heading, lines "class objects AP AP50 AP75 AR100"; -1 is undefined."""
    command = [program, "eval", "--truth", str(folder / "t.json"), "--detections", str(folder / "d.json")]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"{program} ended with {run.returncode}: {run.stderr.strip()}")
    summary, _, classes = run.stdout.partition("\n\n")
    figures = {name: float(value) for name, value in map(str.split, summary.splitlines())}
    for row in classes.splitlines()[1:]:
        category, _, *values = row.split()
        figures |= {f"{name} of {category}": float(value) for name, value in zip(CLASS_FIGURES, values, strict=True)}
    return figures


# --- Comparison ---


def features(images, categories, truths, detections, evaluation, figures):
    seen = collections.Counter((d[0], d[1]) for d in detections)
    by_image = collections.Counter(d[0] for d in detections)
    scores = collections.defaultdict(list)  # of one category: the images that have a score
    for image, category, *_, score in detections:
        scores[category, score].append(image)
    true_images, true_categories = {t[0] for t in truths}, {t[1] for t in truths}
    rows = [row for table in evaluation.ious.values() if len(table) for row in np.asarray(table)]
    rows = [row for row in rows if row.max() >= 0.5]
    present = {
        "crowds": any(t[7] for t in truths),
        "equal scores in an image": any(len(s) > len(set(s)) for s in scores.values()),
        "equal scores in several images": any(len(set(s)) > 1 for s in scores.values()),
        "equal IoUs of a detection": any((row == row.max()).sum() > 1 for row in rows),
        "an IoU on a threshold": any(np.isin(row, evaluation.params.iouThrs).any() for row in rows),
        "categories without truth": any(c not in true_categories for c in categories),
        "categories without detections": any(c not in {d[1] for d in detections} for c in categories),
        "images without truth": any(i not in true_images and by_image[i] for i in images),
        "images without detections": any(i in true_images and not by_image[i] for i in images),
        "images with neither": any(i not in true_images and not by_image[i] for i in images),
        "more than 100 detections in an image": any(n > 100 for n in by_image.values()),
        "more than 100 of one category": any(n > 100 for n in seen.values()),
        "detections without area": any(d[4] * d[5] == 0 for d in detections),
        "undefined figures": -1 in figures.values(),
    }
    for side in (32, 96):
        present[f"truths of area {side}^2"] = any(t[6] == side**2 and not t[7] for t in truths)
        present[f"detections of area {side}^2"] = any(d[4] * d[5] == side**2 for d in detections)
    return present


def differences(found, expected):
    """By name; infinite if only one of the two has the figure or it is not a number."""
    names = dict.fromkeys([*expected, *found])
    size = {n: abs(found.get(n, math.inf) - expected.get(n, math.inf)) for n in names}
    return {n: math.inf if math.isnan(d) else d for n, d in size.items()}


def keep_files(folder, keep, name):
    if not keep:
        return "give --keep FOLDER to keep its files"
    shutil.copytree(folder, keep / name, dirs_exist_ok=True)
    return f"its files are in {keep / name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/fovea")
    parser.add_argument("--count", type=int, default=200, help="data sets")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first one")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the files of data sets that differ")
    arguments = parser.parse_args()
    if not shutil.which(arguments.program):
        parser.error(f"--program {arguments.program}: the program does not exist; build it, or name another")
    if arguments.count < 1:
        parser.error(f"--count {arguments.count}: at least one data set is needed")

    largest, compared, failed_sets = 0.0, 0, 0
    with_feature, failed = collections.Counter(), collections.Counter()
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        data_set = draw_data_set(seed)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            write(folder, *data_set)
            evaluation = pycocotools_evaluation(folder)
            expected = pycocotools_figures(evaluation)
            with_feature.update(f for f, there in features(*data_set, evaluation, expected).items() if there)
            try:
                found = fovea_figures(arguments.program, folder)
            except (RuntimeError, ValueError) as error:
                failed_sets += 1
                print(f"data set of seed {seed}: {error}; {keep_files(folder, arguments.keep, f'seed_{seed}')}")
                continue
            distance = differences(found, expected)
            compared += len(distance)
            largest = max(largest, *distance.values())
            wrong = [n for n, d in distance.items() if d > TOLERANCE]
            if wrong:
                failed_sets += 1
                failed.update(n.split(" of ")[0] + (" of a category" if " of " in n else "") for n in wrong)
                print(f"data set of seed {seed} differs; {keep_files(folder, arguments.keep, f'seed_{seed}')}")
                for n in wrong:
                    print(f"    {n}: fovea {found.get(n)}, pycocotools {expected.get(n)}")

    print(f"Of {arguments.count} data sets, this many have")
    for feature in FEATURES:
        print(f"    {feature:<38} {with_feature[feature]:>5}")
    if failed:
        print("Figures that differ: " + ", ".join(f"{n} ({count})" for n, count in failed.most_common()))
    print(f"{failed_sets} of {arguments.count} data sets failed; {compared} figures compared, largest difference {largest:.2g}, "
          f"allowed {TOLERANCE}")
    return 1 if failed_sets else 0


if __name__ == "__main__":
    sys.exit(main())
