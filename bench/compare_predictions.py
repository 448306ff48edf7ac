#!/usr/bin/env python3
"""Compares predicted launches with the times of an H200: the table of docs/cuda.md. Needs no GPU.

    bench/compare_predictions.py [--build build] [--kernels]

Runs `fovea bench --profile --gpu h200` for the three training steps whose measured times are in bench/results, and
compares kernel by kernel. A measured kernel's time has what its event cost subtracted: the events' sum is longer than
the step as one graph replay, by as much for each launch. --kernels prints every kernel, not only the worst ones.

Most kernels have been rewritten since that run: the table of docs/cuda.md is for commit 7c6379f, built beside this one
and named with --build.
"""

import argparse
import collections
import csv
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS = [("efficientdet_d0", 16, "d0_batch16"), ("efficientdet_d0", 32, "d0_batch32"), ("efficientnet_b0", 128, "b0_batch128")]
# Their code has changed since: sums without double, and one weight at a time.
CHANGED = ("coefficients_from_chunks", "gradients_from_chunks", "fusion_backward", "focal_loss", "add_chunks", "reduce_naive")


def measured(path, batch):
    """The graph's milliseconds, and for each kernel its launches and milliseconds."""
    kernels, graph = {}, None
    for line in path.read_text().splitlines():
        if match := re.match(r"training step\s+([\d.]+) ms/image", line):
            graph = float(match[1]) * batch
        if match := re.match(r"(\S.*?)\s{2,}(\d+)\s+[\d.]+\s+[\d.]+\s+([\d.]+)\s+[\d.]+%", line):
            kernels[match[1].strip()] = (int(match[2]), float(match[3]))
    return graph, kernels


def predicted(build, model, batch):
    with tempfile.TemporaryDirectory() as folder:
        rows = pathlib.Path(folder) / "launches.csv"
        command = [build / "fovea", "bench", model, "--batch-size", str(batch), "--device", "cuda", "--profile",
                   "--gpu", "h200", "--launches", rows]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        kernels = collections.Counter()
        launches = 0
        for row in csv.DictReader(rows.open()):
            kernels[row["kernel"]] += float(row["predicted_us"]) / 1e3
            launches += 1
    return launches, kernels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--kernels", action="store_true")
    arguments = parser.parse_args()
    if not (arguments.build / "fovea").exists():
        sys.exit(f"{arguments.build} holds no program fovea: build it, or name its folder with --build")
    print(f"{'step':<28} {'launches':>8} {'predicted':>10} {'measured':>9} {'error':>7}   by kernel: {'median':>6} {'worst':>6}")
    errors = []
    for model, batch, name in STEPS:
        graph, kernels = measured(ROOT / "bench" / "results" / f"h200_step_{name}.txt", batch)
        launches, prediction = predicted(arguments.build, model, batch)
        event = (kernels["all"][1] - graph) / kernels["all"][0]
        rows = []
        for kernel, (count, milliseconds) in kernels.items():
            net = milliseconds - count * event
            # For shorter ones, the events' own cost is most of the measured time.
            if kernel == "all" or kernel not in prediction or net < 0.02 or kernel.startswith(CHANGED):
                continue
            rows.append((prediction[kernel] / net - 1, kernel, net, prediction[kernel]))
        total = sum(prediction.values())
        rows.sort(key=lambda row: abs(row[0]))
        errors += [abs(row[0]) for row in rows]
        print(f"{model + ', ' + str(batch):<28} {launches:>8} {total:>7.2f} ms {graph:>6.2f} ms {total / graph - 1:>+7.1%}"
              f"   {len(rows):>9} {statistics.median(abs(r[0]) for r in rows):>7.0%} {abs(rows[-1][0]):>6.0%}")
        for error, kernel, net, of_kernel in rows if arguments.kernels else rows[-3:]:
            print(f"    {kernel:<48} {of_kernel:>7.3f} ms {net:>6.3f} ms {error:>+7.0%}")
    print(f"all three, by kernel: median {statistics.median(errors):.0%}, {sum(e > 0.25 for e in errors)} of {len(errors)} beyond 25 %")


if __name__ == "__main__":
    main()
