#!/usr/bin/env python3
"""Exports models with `fovea export`, checks the files with ONNX's own checker and shape inference, runs them in
onnxruntime, and prints as Markdown how far their outputs are from Fovea's.

    tests/exactness/check_onnx.py --fovea build/fovea --dump build/tests/dump_outputs
        [--models NAME ...] [--checkpoints FILE ...] [--batches 1 3] [--quantized FILE ... --images DIR] [--output FILE]

Models of timm and effdet get random weights. A difference is the norm of (onnxruntime's - Fovea's) over the norm of
Fovea's. Detections are compared twice. First with Fovea's detections from the logits and codes that onnxruntime computed:
the boxes must be the same, in the same order. Then with Fovea's detections in the image: there two scores that are
almost equal may be swapped, so each object is searched for among all, and its score and box are compared. Exits with
1 if a difference is above 1e-4, or only one of the two finds an object.

Files of `fovea quantize` compute with bytes in both programs, and a number halfway between two bytes may become either.
They run on the first images of a folder, once with onnxruntime's optimizations, which compute the convolutions in
bytes, and once without, which computes them in float32. Of Fovea's objects that score 0.3 or more onnxruntime must find
99 % in bytes and 95 % in float32: with the same label, boxes that overlap by 0.95 and scores that differ by 0.03 at most.
"""
import argparse
import ast
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import safetensors.numpy

BOUND = 1e-4
TOP_K, SCORE, IOU, MOST = 5000, 0.001, 0.5, 100
QUANTIZED_SCORE, QUANTIZED_OVERLAP, QUANTIZED_APART, QUANTIZED_IMAGES = 0.3, 0.95, 0.03, 32
QUANTIZED_LOST = {"in bytes": 0.01, "in float32": 0.05}


def run(*command):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {result.stderr.strip()}")
    return result.stdout


def difference(theirs, ours):
    if theirs.shape != ours.shape:
        return float("inf")
    size = np.linalg.norm(ours.astype(np.float64))
    apart = np.linalg.norm(theirs.astype(np.float64) - ours.astype(np.float64))
    return apart / size if size else apart


def random_weights(name, path):
    """The logits and box codes of a detector of the size of a trained one's, so that there are detections of all scores
    that overlap more and less."""
    import safetensors.torch
    import torch

    import compare

    model = compare.random_model(name).eval()
    if compare.reference.is_detector(name):
        with torch.no_grad():
            outputs = compare.reference.outputs(model, torch.randn(1, 3, *model.config.image_size))
            for net, output, mean, deviation in (("class_net", "class_logits", -5, 1.5), ("box_net", "box_codes", 0, 0.3)):
                last = getattr(model, net).predict.conv_pw
                scale = deviation / outputs[output].std()
                last.weight.mul_(scale)
                last.bias.sub_(outputs[output].mean()).mul_(scale).add_(mean)
    safetensors.torch.save_file(model.state_dict(), path)


def checked(path, optimize=True):
    """The model, once the checker and strict shape inference accept it, and a session that runs it."""
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), check_type=True, strict_mode=True, data_prop=True)
    for value in list(model.graph.input) + list(model.graph.output):
        assert value.name == "anchors" or value.type.tensor_type.shape.dim[0].dim_param == "batch", value.name
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return model, onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs(session, images):
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"images": images})))


def matched(ours, theirs, side):
    """The objects with scores clear of the threshold and of the last place's: how many of one side the other lacks, and
    the differences of scores and of boxes of the others. An object is the same where label, score and edges are, the
    latter to the bound times the longer side of the input."""
    lost, pairs = 0, []
    for i in range(len(ours["scores"])):
        for a, b in ((ours, theirs), (theirs, ours)):
            bar = max(SCORE, a["scores"][i].min(), b["scores"][i].min()) * 1.001
            for box, score, label in zip(a["boxes"][i], a["scores"][i], a["labels"][i]):
                if score <= bar:
                    continue
                apart = np.maximum(np.abs(b["scores"][i] - score), np.abs(b["boxes"][i] - box).max(1) / side)
                apart[b["labels"][i] != label] = np.inf
                at = apart.argmin()
                if apart[at] > BOUND:
                    lost += 1
                elif a is ours:
                    pairs.append((b["scores"][i][at], score, b["boxes"][i][at], box))
    columns = [np.array(column) for column in zip(*pairs)]
    return lost, len(pairs), max(difference(*columns[:2]), difference(*columns[2:])) if pairs else 0.0


class Check:
    def __init__(self, arguments, folder, weights, name):
        self.arguments, self.folder, self.weights, self.name = arguments, Path(folder), weights, name
        self.rows = []

    def export(self, file, *options, optimize=True):
        path = self.folder / file
        model = ["--model", self.name] if self.name else []
        run(self.arguments.fovea, "export", self.weights, *model, "--output", path, *options)
        return path, *checked(path, optimize)

    def fovea(self, inputs, detections):
        safetensors.numpy.save_file(inputs, self.folder / "inputs.safetensors")
        numbers = [TOP_K, SCORE, IOU, MOST] if detections else []
        run(self.arguments.dump, self.weights, self.name, self.folder / "inputs.safetensors",
            self.folder / "outputs.safetensors", *numbers)
        return safetensors.numpy.load_file(self.folder / "outputs.safetensors")

    def __call__(self):
        path, model, session = self.export("raw.onnx")
        metadata = {p.key: p.value for p in model.metadata_props}
        height, width = map(int, metadata["image_size"].split("x"))
        detector = metadata["task"] == "detection"
        assert len(ast.literal_eval(metadata["mean"])) == 3 and json.loads(metadata["class_names"])
        row = {"model": f"{metadata['model']}, {height}x{width}", "file": f"{path.stat().st_size / 1e6:.1f} MB",
               "nodes": len(model.graph.node), "outputs": 0.0}
        if detector:
            row.update({"from the same logits": 0.0, "lost": 0, "detections": 0.0, "objects": 0})
            _, _, detecting = self.export("detections.onnx", "--detections")
        random = np.random.default_rng(1)
        for batch in self.arguments.batches:
            images = random.standard_normal((batch, height, width, 3), dtype=np.float32)
            ours = self.fovea({"images": images}, detector)
            planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
            theirs = outputs(session, planes)
            for name in ("class_logits", "box_codes") if detector else ("logits",):
                row["outputs"] = max(row["outputs"], difference(theirs[name], ours[name]))
            if not detector:
                continue
            found = outputs(detecting, planes)
            raw = {name: theirs[name] for name in ("class_logits", "box_codes")}
            same = self.fovea({"images": images} | raw, True)
            for name in ("boxes", "scores", "labels"):
                row["from the same logits"] = max(row["from the same logits"], difference(found[name], same[name]))
            lost, seen, apart = matched(ours, found, max(height, width))
            row["lost"] += lost
            row["detections"] = max(row["detections"], apart)
            row["objects"] += seen
        return row


def overlaps(box, boxes):
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = np.prod(np.maximum(sides, 0), 1)
    return common / (np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - common)


def matched_bytes(ours, theirs):
    """For each of our objects in an image, the overlap with their best box that has the same label and nearly the same
    score; 0 if there is none."""
    found = []
    for box, score, label in zip(ours["boxes"], ours["scores"], ours["labels"]):
        if score >= QUANTIZED_SCORE:
            alike = (theirs["labels"] == label) & (abs(theirs["scores"] - score) <= QUANTIZED_APART)
            found.append(np.where(alike, overlaps(box, theirs["boxes"]), 0).max())
    return found


class QuantizedCheck(Check):
    def images(self, metadata):
        from PIL import Image

        height, width = map(int, metadata["image_size"].split("x"))
        files = [f for f in sorted(Path(self.arguments.images).rglob("*")) if f.suffix in (".jpg", ".png")]
        pixels = [np.asarray(Image.open(f).convert("RGB").resize((width, height)), np.float32) / 255
                  for f in files[:QUANTIZED_IMAGES]]
        mean, deviation = (np.float32(ast.literal_eval(metadata[key])) for key in ("mean", "std"))
        return (np.stack(pixels) - mean) / deviation

    def __call__(self):
        row, ours = {}, None
        for way, optimize in (("in bytes", True), ("in float32", False)):
            path, model, session = self.export("detections.onnx", "--detections", optimize=optimize)
            metadata = {p.key: p.value for p in model.metadata_props}
            if ours is None:
                images = self.images(metadata)
                ours = self.fovea({"images": images}, True)
                row = {"model": f"{metadata['model']}, {metadata['image_size']}, int8",
                       "file": f"{path.stat().st_size / 1e6:.1f} MB", "nodes": len(model.graph.node),
                       "images": len(images), "lost": 0}
            theirs = outputs(session, np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
            found = np.concatenate([matched_bytes({k: ours[k][i] for k in theirs}, {k: theirs[k][i] for k in theirs})
                                    for i in range(len(images))])
            lost = int((found < QUANTIZED_OVERLAP).sum())
            row["lost"] += int(lost > QUANTIZED_LOST[way] * len(found))
            row[f"convolutions {way}"] = (f"{len(found) - lost} of {len(found)} objects, overlap {np.median(found):.4f} "
                                          f"in the median, {np.quantile(found, 0.05):.4f} or more for 95 %")
        return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fovea", required=True)
    parser.add_argument("--dump", required=True)
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--checkpoints", nargs="*", default=[])
    parser.add_argument("--quantized", nargs="*", default=[])
    parser.add_argument("--images", help="with --quantized: a folder with images such as the detector was trained on")
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 3])
    parser.add_argument("--output")
    arguments = parser.parse_args()
    lines = [f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, batches {arguments.batches}"]
    failed = False
    for kind, items in (("models", arguments.models), ("checkpoints", arguments.checkpoints),
                        ("quantized", arguments.quantized)):
        for item in items:
            with tempfile.TemporaryDirectory() as folder:
                weights, name = item, ""
                if kind == "models":
                    weights, name = Path(folder) / "weights.safetensors", item
                    random_weights(name, weights)
                check = QuantizedCheck if kind == "quantized" else Check
                row = check(arguments, folder, weights, name)()
            failed |= row.get("lost", 0) > 0 or any(v > BOUND for v in row.values() if isinstance(v, float))
            text = {k: f"{v:.1e}" if isinstance(v, float) else str(v) for k, v in row.items()}
            lines.append(", ".join(f"{k} {v}" for k, v in text.items()))
            print(lines[-1], flush=True)
    if arguments.output:
        Path(arguments.output).write_text("\n".join(lines) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
