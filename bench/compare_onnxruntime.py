#!/usr/bin/env python3
"""Compares the forward pass of Fovea's detectors with onnxruntime, which runs the same network as exported by `fovea export`,
on the CPU; bench/README.md explains what and why.

    bench/compare_onnxruntime.py --program build/fovea --output bench/results/onnxruntime.md
"""
import argparse
import importlib.metadata
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare_pytorch import processor_name, run_json

# model, image size, batches
CASES = [("efficientdet_d-2", 256, (1, 8)), ("efficientdet_d0", 512, (1, 8))]
CLASSES = 3
WARM_UP = 3  # passes before timing starts


def measure_onnxruntime(path, batch, image_size, repeats, threads):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = numpy.random.default_rng(1).standard_normal((batch, 3, image_size, image_size), dtype=numpy.float32)
    seconds = []
    for _ in range(WARM_UP + repeats):
        start = time.perf_counter()
        session.run(None, {"images": images})
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:]


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{shlex.join(map(str, command))} failed:\n{result.stderr.strip()}")


def exported(program, name, image_size, folder):
    """The network as an ONNX file, after one step of training: times do not depend on the weights."""
    data, run_folder, path = folder / "shapes", folder / name, folder / f"{name}.onnx"
    if not data.exists():
        run(program, "data", "synth", data, "--train", 8, "--val", 2, "--classes", CLASSES)
    run(program, "train", "--data", data, "--model", name, "--image-size", image_size, "--steps", 1, "--batch-size", 2,
        "--run", run_folder)
    run(program, "export", run_folder / "best.safetensors", "--output", path)
    return path


def measure(candidate, name, image_size, batch, path, options):
    if candidate == "Fovea":
        settings = {"batch-size": batch, "image-size": image_size, "classes": CLASSES, "repeats": options.repeats}
        command = [options.program, "bench", name, *(f"--{k}={v}" for k, v in settings.items())]
        command += ["--only", "forward", "--json"]
        return run_json(command, options.threads)["seconds"]
    arguments = [str(path), batch, image_size, options.repeats, options.threads]
    command = [sys.executable, str(Path(__file__).resolve()), "--measure-onnxruntime", json.dumps(arguments)]
    return run_json(command, options.threads)


def table_row(name, image_size, batch, path, options):
    times = {"Fovea": [], "onnxruntime": []}
    for i in range(options.rounds):  # each in turn goes first
        for candidate in list(times) if i % 2 == 0 else reversed(times):
            seconds = measure(candidate, name, image_size, batch, path, options)
            times[candidate].append(statistics.median(seconds) * 1e3 / batch)
            print(f"{name}, batch {batch}, round {i + 1} of {options.rounds}: {candidate}", file=sys.stderr)
    ratios = [theirs / ours for theirs, ours in zip(times["onnxruntime"], times["Fovea"])]
    ours, theirs = (statistics.median(times[candidate]) for candidate in times)
    spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| {name}, {batch} x {image_size} px | {ours:.2f} | {theirs:.2f} | **{statistics.median(ratios):.2f}** {spread} |"


def main():
    parser = argparse.ArgumentParser(description="Fovea and onnxruntime side by side on the CPU")
    parser.add_argument("--program", default="build/fovea", help="the program, built (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each candidate (%(default)s)")
    parser.add_argument("--repeats", type=int, default=20, help="timed passes in a run (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each candidate (%(default)s)")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    parser.add_argument("--measure-onnxruntime", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_onnxruntime:
        print(json.dumps(measure_onnxruntime(*options.measure_onnxruntime)))
        return
    load = os.getloadavg()[0]
    lines = ["| forward pass | Fovea, ms/image | onnxruntime, ms/image | onnxruntime / Fovea |", "|---|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, image_size, batches in CASES:
            path = exported(options.program, name, image_size, Path(folder))
            lines += [table_row(name, image_size, batch, path, options) for batch in batches]
    lines += ["", f"- {processor_name()}, {os.cpu_count()} cores seen; {options.threads} threads each, float32",
              f"- onnxruntime {importlib.metadata.version('onnxruntime')}",
              f"- medians of {options.rounds} rounds of {options.repeats} passes; in brackets, the ratio's range",
              f"- load average of the machine before the first round: {load:.1f}",
              f"- command: `{shlex.join(['bench/compare_onnxruntime.py', *sys.argv[1:]])}`"]
    table = "\n".join(lines) + "\n"
    print(table)
    if options.output:
        options.output.write_text("# Fovea and onnxruntime on the CPU\n\n" + table)


if __name__ == "__main__":
    main()
