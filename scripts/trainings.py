"""Trainings that scripts compare: each runs once, resumes if it was stopped, and is read back."""
import argparse
import csv
import json
import re
import signal
import statistics
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def stop(text):
    sys.exit(f"{Path(sys.argv[0]).name}: {text}")


def run(command):
    """Returns what the command prints."""
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        stop(f"stopped or failed: {' '.join(map(str, command))}")
    return result.stdout


def same(asked, kept):
    try:
        return float(asked) == float(kept)
    except ValueError:
        return asked == str(kept)


def require_settings(folder, settings):
    """Stops if the folder holds a run with other settings."""
    kept = json.loads((folder / "config.json").read_text())
    for option, value in zip(settings[::2], settings[1::2]):
        name = option.removeprefix("--").replace("-", "_")
        if name in kept and not isinstance(kept[name], bool) and not same(value, kept[name]):
            stop(f"{folder} holds a run with {option} {kept[name]}, not {value}: give another folder by --runs, or "
                 "remove this one")


def train(fovea, folder, settings):
    """Trains in the folder with these settings of `fovea train`, unless the run is complete; one that was stopped
    continues."""
    begun = (folder / "config.json").exists()
    if begun:
        require_settings(folder, settings)
    if not (folder / "report.html").exists():
        print(folder, file=sys.stderr)
        run([fovea, "train", *(["--resume", folder] if begun else ["--run", folder, *settings])])


def figures_of(folder):
    """AP and AP50 of the last validation, since the best would be too optimistic; seconds; images per second."""
    values, seconds = {}, 0
    with open(folder / "metrics.csv") as file:
        for row in csv.DictReader(file):
            values.setdefault(row["name"], []).append(float(row["value"]))
            seconds = float(row["seconds"])
    return (values["validation/AP"][-1], values["validation/AP50"][-1], seconds,
            statistics.median(values["train/images_per_second"]))


def trained_as(folder):
    """The configuration of a run, as it was resolved, and how many classes its model knows."""
    with open(folder / "last.safetensors", "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        metadata = json.loads(file.read(length))["__metadata__"]
    return json.loads(metadata["config"]), len(json.loads(metadata["class_names"]))


def size_of(fovea, folder):
    """Parameters and multiply-adds of a run's model, as `fovea info` counts them."""
    config, classes = trained_as(folder)
    text = run([fovea, "info", config["model"], "--summary", "--fpn", config["fpn"], "--fusion", config["fusion"],
                "--image-size", config["image_size"], "--classes", str(classes)])
    return [int(re.search(rf"^{word}\s+(\d+)", text, re.M)[1]) for word in ("parameters", "multiply-adds")]


def parser_of(description, runs):
    """The options that these scripts share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Further options, as --image-size 256, go to `fovea train`.",
                                     allow_abbrev=False)
    parser.add_argument("--data", required=True, help="folder of the data set")
    parser.add_argument("--steps", type=int, default=2000, help="steps of each training (%(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each row, seeds 1, 2, ... (%(default)s)")
    parser.add_argument("--runs", type=Path, default=Path(runs), help="folder of the runs (%(default)s)")
    parser.add_argument("--fovea", type=Path, default=ROOT / "build/fovea", help="the program (%(default)s)")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    return parser


def parse(parser):
    """The script's options, and in `settings` those for `fovea train`: --name value --name value."""
    options, further = parser.parse_known_args()
    settings = [part for argument in further for part in argument.split("=", 1)]
    if len(settings) % 2 or not all(option.startswith("--") for option in settings[::2]):
        parser.error(f"further options must be pairs such as --image-size 256, got {' '.join(settings)}")
    if not options.fovea.exists():
        parser.error(f"there is no program {options.fovea}: build it (scripts/test), or name it with --fovea")
    if options.seeds < 1:
        parser.error(f"--seeds is {options.seeds}: it must be at least 1")
    # Ctrl-C stops the training, which saves its state; the script then ends by the training's exit status.
    signal.signal(signal.SIGINT, lambda *_: None)
    options.settings = settings
    return options


def circumstances(options):
    """What the rows of the table have in common."""
    return (f"{options.steps} steps{', ' if options.settings else ''}{' '.join(options.settings)}; "
            f"{'one seed' if options.seeds == 1 else f'mean (least to most) of {options.seeds} seeds'}")


def spread(values, digits):
    text = f"{statistics.mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"
