#!/usr/bin/env python3
"""Times Fovea and PyTorch side by side on the CPU, each network in both; bench/README.md explains what and why.

    bench/compare_pytorch.py --program build/fovea --output bench/results/cpu.md
"""
import argparse
import importlib
import importlib.metadata
import json
import math
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

# model, batch, image size, classes
CASES = [
    ("efficientnet_b0", 8, 224, 1000),
    ("efficientdet_d-2", 8, 256, 3),
    ("efficientdet_d-3", 8, 128, 3),
]
PHASES = {"train": "training step", "forward": "forward, eval"}
FORMATS = ["NCHW", "channels_last"]
CANDIDATES = ["Fovea"] + FORMATS
WARM_UP = 5  # steps before timing starts: the TorchScript loss profiles its first ones


# --- PyTorch, in a separate process for each measurement, so that each has its own peak memory ---


def resident_peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def make_classifier(classes):
    import timm

    return timm.create_model("tf_efficientnet_b0", num_classes=classes, drop_rate=0.0, drop_path_rate=0.0)


def make_detector(name, image_size, classes):
    """EfficientDet below D0, by the compound rule that models/efficientdet.h and models/efficientnet.h state."""
    import effdet
    from timm.models import register_model
    from timm.models.efficientnet import _gen_efficientnet

    phi = int(name.removeprefix("efficientdet_d"))

    @register_model
    def efficientnet_below_b0(pretrained=False, **kwargs):
        return _gen_efficientnet(
            "tf_efficientnet_b0", channel_multiplier=1.1 ** (2 * phi), depth_multiplier=1.2 ** (2 * phi), **kwargs
        )

    config = effdet.default_detection_model_configs()
    config.name = name
    config.backbone_name = efficientnet_below_b0.__name__
    config.backbone_args = dict(pad_type="same", bn_eps=1e-3, drop_path_rate=0.0)
    config.image_size = (image_size, image_size)
    config.num_classes = classes
    config.fpn_channels = round(64 * 1.35**phi / 8) * 8
    config.fpn_cell_repeats = max(1, 3 + phi)
    config.box_class_repeats = 3 + math.floor(phi / 3)
    config.redundant_bias = False  # a bias before a batch norm only costs time
    config.jit_loss = True  # the faster variant
    return effdet.EfficientDet(config, pretrained_backbone=False)


def classifier_loss(model, images, classes):
    import torch

    labels = torch.randint(classes, (len(images),))
    return lambda: torch.nn.functional.cross_entropy(model(images), labels)


def detector_loss(model, images, classes):
    """effdet's loss on made-up targets: one anchor in 200 is an object."""
    import torch
    from effdet.loss import DetectionLoss

    with torch.no_grad():
        shapes = [(len(images), *output.shape[2:]) for output in model(images)[1]]
    class_targets = [torch.full((*shape, 9), -1) for shape in shapes]
    box_targets = [torch.zeros(*shape, 9, 4) for shape in shapes]
    for level_classes, level_boxes in zip(class_targets, box_targets):
        objects = torch.rand(level_classes.shape) < 0.005
        level_classes[objects] = torch.randint(classes, (int(objects.sum()),))
        level_boxes[objects] = torch.randn(int(objects.sum()), 4)
    box_targets = [boxes.flatten(3) for boxes in box_targets]
    positives = sum((level >= 0).sum((1, 2, 3)) for level in class_targets)
    loss = DetectionLoss(model.config)
    return lambda: loss(*model(images), class_targets, box_targets, positives)[0]


def times_of(repeats, step):
    for _ in range(WARM_UP):
        step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


def measure_pytorch(name, batch, image_size, classes, phase, memory_format, repeats, threads):
    warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
    is_detector = name.startswith("efficientdet")
    for package in ["torch", "timm"] + ["effdet"] * is_detector:
        importlib.import_module(package)
    imported_mb = resident_peak_mb()

    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = make_detector(name, image_size, classes) if is_detector else make_classifier(classes)
    layout = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    model.to(memory_format=layout)
    images = torch.randn(batch, 3, image_size, image_size).to(memory_format=layout)

    if phase == "train":
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
        compute_loss = (detector_loss if is_detector else classifier_loss)(model, images, classes)

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss = compute_loss()
            loss.backward()
            optimizer.step()

    else:
        model.eval()

        def step():
            with torch.inference_mode():
                model(images)

    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": times_of(repeats, step),
        "threads": torch.get_num_threads(),
        "resident_peak_mb": resident_peak_mb(),
        "resident_imported_mb": imported_mb,
    }


# --- the comparison ---


def run_json(command, threads):
    """The last line that `command` prints, which is JSON."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{shlex.join(command)} failed:\n{result.stderr.strip()}")
    return json.loads(result.stdout.splitlines()[-1])


def measure(candidate, case, phase, options):
    name, batch, image_size, classes = case
    if candidate == "Fovea":
        numbers = {"batch-size": batch, "image-size": image_size, "repeats": options.repeats, "classes": classes}
        settings = [f"--{setting}={number}" for setting, number in numbers.items()]
        only = "training" if phase == "train" else phase
        command = [options.program, "bench", name, *settings, "--only", only, "--json"]
    else:
        arguments = [name, batch, image_size, classes, phase, candidate, options.repeats, options.threads]
        command = [options.python, str(Path(__file__).resolve()), "--measure-pytorch", json.dumps(arguments)]
    result = run_json(command, options.threads)
    if result["threads"] != options.threads:
        sys.exit(f"{candidate} ran {name} on {result['threads']} threads instead of {options.threads}")
    return result


def check_same_network(name, results):
    counts = {candidate: runs[0]["parameters"] for candidate, runs in results.items()}
    if len(set(counts.values())) != 1:
        sys.exit(f"{name} is not the same network in both: parameters {counts}")


def interleave(case, phase, options):
    """Each candidate's runs. All run in every round, and each in turn goes first, so that other work on the machine
    and the drift of its clock affect all alike."""
    results = {candidate: [] for candidate in CANDIDATES}
    for i in range(options.rounds):
        turn = i % len(CANDIDATES)
        for candidate in CANDIDATES[turn:] + CANDIDATES[:turn]:
            results[candidate].append(measure(candidate, case, phase, options))
            print(f"{case[0]} {phase}, round {i + 1} of {options.rounds}: {candidate}", file=sys.stderr)
        check_same_network(case[0], results)
    return results


def table_row(case, phase, results):
    name, batch, image_size, _ = case
    rounds = {c: [statistics.median(run["seconds"]) * 1e3 / batch for run in results[c]] for c in CANDIDATES}
    time_of = {c: statistics.median(rounds[c]) for c in CANDIDATES}
    memory = {c: statistics.median(run["resident_peak_mb"] for run in results[c]) for c in CANDIDATES}
    imported = statistics.median(run["resident_imported_mb"] for c in FORMATS for run in results[c])
    faster = min(FORMATS, key=time_of.get)
    ratios = [theirs / ours for theirs, ours in zip(rounds[faster], rounds["Fovea"])]
    cells = [
        f"{name}, {batch} x {image_size} px",
        f"{results['Fovea'][0]['parameters']:,}",
        PHASES[phase],
        *(f"{time_of[c]:.2f}" for c in CANDIDATES),
        f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})",
        *(f"{memory[c]:.0f}" for c in CANDIDATES),
        f"{imported:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def table_head():
    titles = ["model", "parameters", "what", "Fovea, ms/image", *(f"PyTorch {f}, ms/image" for f in FORMATS)]
    titles += ["faster PyTorch / Fovea", "Fovea, peak MB", *(f"PyTorch {f}, peak MB" for f in FORMATS)]
    titles += ["of this imports, MB"]
    return "| " + " | ".join(titles) + " |\n|" + "---|" * 3 + "---:|" * (len(titles) - 3)


def processor_name():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def circumstances(options, load):
    versions = [f"{package} {importlib.metadata.version(package)}" for package in ("torch", "timm", "effdet")]
    return "\n".join([
        f"- {processor_name()}, {os.cpu_count()} cores seen; {options.threads} threads each",
        f"- {', '.join(versions)}; Python {platform.python_version()}; float32 throughout",
        f"- medians of {options.rounds} rounds of {options.repeats} steps; in brackets, the ratio's range over the rounds",
        f"- load average of the machine before the first round: {load:.1f}",
    ])


def parse_arguments():
    parser = argparse.ArgumentParser(description="Fovea and PyTorch side by side on the CPU")
    parser.add_argument("--program", default="build/fovea", help="the program, built (%(default)s)")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch, timm and effdet")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each candidate (%(default)s)")
    parser.add_argument("--repeats", type=int, default=10, help="timed steps in a run (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each candidate (%(default)s)")
    parser.add_argument("--models", nargs="+", choices=[case[0] for case in CASES], help="only these")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    parser.add_argument("--measure-pytorch", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = parse_arguments()
    if options.measure_pytorch:
        print(json.dumps(measure_pytorch(*options.measure_pytorch)))
        return
    if not Path(options.program).is_file():
        sys.exit(f"--program {options.program} does not exist: build it with ninja -C build fovea")
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"The machine is busy (load average {load:.1f}): the times will be too long.", file=sys.stderr)
    facts = circumstances(options, load)
    rows = [
        table_row(case, phase, interleave(case, phase, options))
        for case in CASES
        if not options.models or case[0] in options.models
        for phase in PHASES
    ]
    report = "\n".join([table_head(), *rows]) + f"\n\n{facts}\n"
    print(report)
    if options.output:
        command = f"bench/compare_pytorch.py --rounds {options.rounds} --repeats {options.repeats}"
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(f"# Fovea and PyTorch on the CPU\n\n{report}- command: `{command}`\n")


if __name__ == "__main__":
    main()
