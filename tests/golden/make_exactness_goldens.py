"""Writes exactness/*.safetensors and exactness/counts.json beside this file: samples of what timm's and effdet's models
compute from the weights of tests/exactness/formula.py. The tests read the files and need no Python.

    pip install torch timm effdet safetensors && python make_exactness_goldens.py
"""
import json
import sys
from pathlib import Path

import safetensors.numpy
import torch

FOLDER = Path(__file__).parent / "exactness"
sys.path.insert(0, str(FOLDER.parents[1] / "exactness"))
import formula  # noqa: E402
import reference  # noqa: E402

# Small images, one of them odd and not square: sizes are proved here, full sizes by tests/exactness/compare.py.
CLASSIFIER_SIZES = {name: (64 + 8 * int(name[-1]), 64 + 8 * int(name[-1])) for name in reference.CLASSIFIERS}
CLASSIFIER_SIZES["tf_efficientnet_b0"] = (97, 130)
CLASSIFIER_SIZES["efficientnet_b0"] = (97, 130)
LITE_SIZES = {name: (65 + 16 * i, 96) for i, name in enumerate(reference.LITE_CLASSIFIERS)}
# Of the detectors one: with these weights in the larger ones float32 and float64 differ by 1.5e-4 in PyTorch itself.
LITE_SIZES.update({name: (256, 384) for name in reference.LITE_DETECTORS[:1]})
DETECTOR_SIZES = {name: (256, 384) for name in reference.DETECTORS if name[-2:] in ("d0", "d1", "d2", "d3")}


def samples(values, prefix, count=256):
    return {f"{prefix}/{name}": formula.sample(name, value.detach().numpy(), count) for name, value in values.items()}


def write(name, tensors, metadata=None):
    safetensors.numpy.save_file(tensors, FOLDER / f"{name}.safetensors", metadata)
    print(f"{name}: {(FOLDER / f'{name}.safetensors').stat().st_size} bytes", flush=True)


def make_outputs(file, sizes):
    """In training, where batch norm takes the batch's statistics, and then in evaluation with those as running averages:
    with statistics from a formula the larger networks would be chaotic, and any rounding would grow without bound."""
    kept = {}
    for name, size in sizes.items():
        model = reference.make(name, size)
        reference.give_formula_weights(model)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        images = torch.from_numpy(formula.images(2, *size))
        with torch.no_grad():
            for mode in ("training", "evaluation"):
                model.train(mode == "training")
                kept.update(samples(reference.outputs(model, images), f"{name} {size[0]}x{size[1]}/{mode}"))
    write(file, kept)


def make_resnets():
    """timm's small ResNets, by the same rules: logits and the features of strides 8, 16 and 32."""
    kept = {}
    for name, size in {"resnet18": (97, 130), "resnet34": (64, 64)}.items():
        model = reference.make(name)
        reference.give_formula_weights(model)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        images = torch.from_numpy(formula.images(2, *size))
        with torch.no_grad():
            for mode in ("training", "evaluation"):
                model.train(mode == "training")
                outputs = {"logits": model(images)}
                if mode == "evaluation":
                    x = model.layer1(model.maxpool(model.act1(model.bn1(model.conv1(images)))))
                    for stride, layer in ((8, model.layer2), (16, model.layer3), (32, model.layer4)):
                        x = layer(x)
                        outputs[f"stride {stride}"] = x.permute(0, 2, 3, 1)
                kept.update(samples(outputs, f"{name} {size[0]}x{size[1]}/{mode}"))
    write("resnets", kept)


def make_gradients():
    """Loss, gradients and running statistics of one training step."""
    name, size = "efficientdet_d0", (256, 256)
    model = reference.make(name, size)
    reference.give_formula_weights(model)
    model.train()
    loss = reference.Loss(model, 2)
    chosen = reference.clear_images(model, 2, size, 40)
    images = torch.from_numpy(formula.images(2, *size, chosen))
    none = reference.without_gradient(reference.exact_gradients(model, loss, images))
    (total, class_loss, box_loss), gradients = reference.gradients(model, loss, images)
    kept = samples({"total": total, "class": class_loss, "box": box_loss}, "loss")
    kept.update(samples({n: g * (n not in none) for n, g in gradients.items()}, "gradient", 24))
    buffers = {n: b for n, b in model.named_buffers() if not n.endswith("num_batches_tracked")}
    kept.update(samples(buffers, "statistics", 24))
    write("training_step", kept, {"images": chosen})


def make_training():
    """The losses of 20 steps of SGD."""
    name, size, classes = "efficientdet_d-2", 256, 3
    model = reference.below_d0(name, size, classes)
    reference.give_formula_weights(model)
    model.train()
    loss = reference.Loss(model, 2)
    images = torch.from_numpy(formula.images(2, size, size))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        total = loss(*model(images))[0]
        total.backward()
        optimizer.step()
        losses.append(total.item())
    print("losses:", *[f"{x:.4f}" for x in losses])
    write("training", {"losses": torch.tensor(losses).numpy()})


def make_counts():
    rows = [
        {"model": name, "parameters": reference.parameters(name), "multiply_adds": reference.multiply_adds(name)}
        for name in reference.CLASSIFIERS + reference.DETECTORS + reference.LITE_CLASSIFIERS + reference.LITE_DETECTORS
    ]
    text = ",\n".join(json.dumps(row) for row in rows)
    (FOLDER / "counts.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(0)
    make_counts()
    make_training()
    make_gradients()
    make_outputs("outputs", {**CLASSIFIER_SIZES, **DETECTOR_SIZES})
    make_outputs("outputs_lite", LITE_SIZES)
    make_resnets()
