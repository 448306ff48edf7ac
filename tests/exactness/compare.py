#!/usr/bin/env python3
"""Runs timm's and effdet's models and Fovea's at the published sizes, on the same random weights and images, and
prints how far apart they are, as Markdown.

    tests/exactness/compare.py --program build/tests/exactness_run [--models NAME ...] [--train NAME ...] [--output FILE]

The weights go to Fovea as safetensors saves the PyTorch model; what Fovea saves must load into it with strict=True,
number for number. A difference is the norm of (Fovea's - PyTorch's) over the norm of PyTorch's. Exits with 1 where one
is above its bound, or a count is not equal. D7 and D7x take about 4 GB of memory and two minutes on two cores.
"""
import argparse
import copy
import importlib.metadata
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import safetensors.torch
import torch

import reference

OUTPUT_BOUND, STEP_BOUND = 1e-4, 1e-3
LITE_DETECTOR_BOUND = 1e-3  # PyTorch's float32 and float64 differ by 1.5e-4 there
MODELS = (reference.CLASSIFIERS + reference.DETECTORS + reference.LARGE_PLAIN_DETECTORS + reference.LITE_CLASSIFIERS
          + reference.LITE_DETECTORS)


def random_model(name):
    """Convolutions as the library makes them; all that it makes 0 or 1, random; running averages half of 1 and half
    of what a batch has, so that numbers stay of one size through the deepest model, as in a trained one."""
    small = reference.make(name, (256, 256))  # effdet's detectors have a fixed image size
    with torch.no_grad():
        for key, tensor in small.named_parameters():
            if key.endswith("edge_weights"):
                tensor.uniform_(0.2, 1.5)  # if relu stops one of two, the other has no gradient
            elif tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5) if key.endswith("weight") else tensor.uniform_(-0.1, 0.1)
        for module in small.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.5
        small.train()(torch.randn(2, 3, 256, 256))
    model = reference.make(name)
    model.load_state_dict(small.state_dict())
    return model


def difference(ours, theirs):
    if ours.shape != theirs.shape:
        return float("inf")
    size = theirs.double().norm().item()
    apart = (ours.double() - theirs.double()).norm().item()
    return apart / size if size else apart


def worst(ours, theirs):
    """The largest difference and its name; both must have the same names."""
    if ours.keys() != theirs.keys():
        raise SystemExit(f"only one side has {sorted(ours.keys() ^ theirs.keys())[:6]}")
    return max((difference(ours[name], theirs[name]), name) for name in theirs)


def run(program, name, model, images, folder, *options):
    weights, inputs = folder / "published.safetensors", folder / "images.safetensors"
    safetensors.torch.save_file(model.state_dict(), weights)
    safetensors.torch.save_file({"images": images}, inputs)
    result = subprocess.run([program, name, weights, inputs, folder, *options], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{name}: {result.stderr.strip()}")
    return json.loads(result.stdout), safetensors.torch.load_file(folder / "outputs.safetensors")


def loads_back(model, path):
    """Whether PyTorch loads Fovea's file completely, and then has the numbers that Fovea was given."""
    again = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in again.state_dict().values():
            tensor.zero_()
    again.load_state_dict(safetensors.torch.load_file(path), strict=True)
    return all(
        torch.equal(tensor, model.state_dict()[name])
        for name, tensor in again.state_dict().items()
        if not name.endswith("num_batches_tracked")
    )


def compare_outputs(program, name, folder):
    """A row of the table, and the faults."""
    model, size = random_model(name).eval(), reference.image_size(name)
    images = torch.randn(1, 3, *size)
    with torch.inference_mode():
        theirs = reference.outputs(model, images)
    counts, ours = run(program, name, model, images, folder)
    expected = {"parameters": sum(p.numel() for p in model.parameters()), "multiply_adds": reference.multiply_adds(name)}
    largest, where = worst(ours, theirs)
    faults = [f"{name}: {key} {counts[key]}, PyTorch's has {n}" for key, n in expected.items() if counts[key] != n]
    if not largest <= (LITE_DETECTOR_BOUND if name in reference.LITE_DETECTORS else OUTPUT_BOUND):
        faults.append(f"{name}: {where} differs by {largest:.2e}")
    if not loads_back(model, folder / "weights.safetensors"):
        faults.append(f"{name}: PyTorch loads other numbers than Fovea had")
    counted = [f"{counts['parameters']:,}", f"{counts['multiply_adds'] / 1e9:.3f}"]
    return [name, f"{size[0]}", f"{len(theirs)}", f"{largest:.1e}", where, *counted], faults


def compare_step(program, name, folder):
    """The same for a training step: loss, the gradient of every parameter, and running averages after it."""
    model, size, batch = random_model(name).train(), reference.image_size(name), 2
    images = torch.randn(batch, 3, *size)
    _, ours = run(program, name, model, images, folder, "--train")
    loss = reference.Loss(model, batch)
    exact = {f"gradient/{key}": gradient for key, gradient in reference.exact_gradients(model, loss, images).items()}
    none = reference.without_gradient(exact)
    (total, class_loss, box_loss), gradients = reference.gradients(model, loss, images)
    whole = reference.norm_of(gradients.values())
    theirs = {f"gradient/{key}": gradient for key, gradient in gradients.items()}
    rest = max([(ours.pop(key) - theirs.pop(key)).norm().item() / whole for key in none], default=0)
    theirs |= {f"loss/{part}": value.detach() for part, value in (("total", total), ("class", class_loss), ("box", box_loss))}
    theirs |= {f"statistics/{key}": buffer for key, buffer in model.named_buffers() if "running_" in key}
    theirs = {key: value.reshape(ours[key].shape) for key, value in theirs.items()}
    parts = {part: worst(*({k: t for k, t in side.items() if k.startswith(part)} for side in (ours, theirs)))
             for part in ("loss", "gradient", "statistics")}
    # If float32 is not precise enough, neither side is right: compares each with float64.
    far, where = parts["gradient"]
    own, other = (difference(side[where], exact[where]) for side in (ours, theirs))
    faults = [f"{name}: {key} differs by {d:.2e}" for d, key in parts.values() if not d <= STEP_BOUND and d != far]
    if not far <= STEP_BOUND and own > 2 * other:
        faults.append(f"{name}: {where} differs by {far:.2e}, from float64 by {own:.2e}, PyTorch's by {other:.2e}")
    if not rest <= STEP_BOUND:
        faults.append(f"{name}: a gradient that should be 0 differs by {rest:.2e} of the norm of all")
    row = [name, f"{batch} x {size[0]}", f"{total.item():.4f}", *(f"{d:.1e}" for d, _ in parts.values())]
    return [*row, where.removeprefix("gradient/"), f"{own:.1e}", f"{other:.1e}", f"{len(none)}", f"{rest:.1e}"], faults


class Table:
    """Prints row by row, since the whole takes long."""

    def __init__(self, *titles):
        self.lines = []
        self.add(titles)
        self.add(["---"] * len(titles))

    def add(self, cells):
        self.lines.append("| " + " | ".join(cells) + " |")
        print(self.lines[-1], flush=True)

    def __str__(self):
        return "\n".join(self.lines)


def parse_arguments():
    parser = argparse.ArgumentParser(description="Compares Fovea's numbers with timm's and effdet's, at the published sizes")
    parser.add_argument("--program", default="build/tests/exactness_run", help="built by ninja (%(default)s)")
    parser.add_argument("--models", nargs="*", default=MODELS, choices=MODELS, metavar="NAME", help="compare outputs of these (all)")
    parser.add_argument("--train", nargs="*", default=["tf_efficientdet_d0", "efficientdet_d0"], metavar="NAME",
                        help="compare a training step of these (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="also write the tables to this file")
    return parser.parse_args()


def main():
    options = parse_arguments()
    torch.manual_seed(options.seed)
    tables, faults = [], []
    for names, compare, titles in [
        (options.models, compare_outputs,
         ["model", "px", "outputs", "largest difference", "of", "parameters", "multiply-adds, G"]),
        (options.train, compare_step,
         ["training step", "px", "loss", "difference of losses", "of gradients", "of running averages", "worst gradient",
          "Fovea's from float64", "PyTorch's from float64",
          "gradients that are 0", "their largest difference / norm of all gradients"]),
    ]:
        if not names:
            continue
        tables.append(Table(*titles))
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                row, wrong = compare(options.program, name, Path(folder))
            tables[-1].add(row)
            faults += wrong
        print()
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in ("torch", "timm", "effdet"))
    print(versions)
    if options.output:
        text = "\n\n".join([*map(str, tables), f"{versions}, Python {platform.python_version()}; seed {options.seed}"])
        options.output.write_text(text + "\n")
    sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
