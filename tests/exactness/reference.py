"""timm's and effdet's models and their outputs: the reference of the exactness tests and of compare.py."""
import copy
import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

warnings.filterwarnings("ignore")
import effdet  # noqa: E402
import timm  # noqa: E402
from effdet.anchors import AnchorLabeler, Anchors  # noqa: E402
from effdet.loss import DetectionLoss  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402

import formula  # noqa: E402

CLASSIFIERS = [f"{prefix}efficientnet_b{i}" for prefix in ("tf_", "") for i in range(8)]
DETECTORS = [f"tf_efficientdet_d{i}" for i in list(range(8)) + ["7x"]] + [f"efficientdet_d{i}" for i in range(4)]
LITE_CLASSIFIERS = [f"tf_efficientnet_lite{i}" for i in range(5)]
LITE_DETECTORS = [f"tf_efficientdet_lite{i}" for i in ("0", "1", "2", "3", "3x", "4")]
# effdet has no weights for these, and no such models: its D4 and D5 of these names are half of one family, half of the other.
LARGE_PLAIN_DETECTORS = [f"efficientdet_d{i}" for i in (4, 5, 6, 7, "7x")]


def is_detector(name):
    return "efficientdet" in name


def image_size(name):
    """The model's own size: timm's files for classifiers also have the sizes they were tested at."""
    if is_detector(name):
        return tuple(detector_config(name).image_size)
    sizes = [224, 240, 260, 280, 300] if "lite" in name else [224, 240, 260, 300, 380, 456, 528, 600]
    return (sizes[int(name[-1])],) * 2


def below_d0(name, image_size, classes):
    """Fovea's own small detectors, built by effdet."""
    spec = importlib.util.spec_from_file_location("bench", Path(__file__).parents[2] / "bench/compare_pytorch.py")
    bench = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = bench  # timm's registry looks for the module of each function it keeps
    spec.loader.exec_module(bench)
    model = bench.make_detector(name, image_size, classes)
    model.config = OmegaConf.merge(model.config, {"anchor_scale": 4 * image_size / 512})  # as in models/anchors.h
    return model


def detector_config(name):
    if name not in LARGE_PLAIN_DETECTORS:
        return effdet.get_efficientdet_config(name)
    config = effdet.get_efficientdet_config("tf_" + name)
    config.backbone_name = config.backbone_name.removeprefix("tf_")
    config.pad_type, config.redundant_bias = "", False  # as in the smaller ones
    return config


def make(name, image_size=None):
    """Without dropout and stochastic depth, whose random numbers cannot be equal."""
    norm = {"bn_momentum": 0.01} if name.startswith("tf_") else {}  # TensorFlow's, for which timm takes PyTorch's 0.1
    if not is_detector(name):
        return timm.create_model(name, drop_rate=0.0, drop_path_rate=0.0, **norm)
    config = detector_config(name)
    config.backbone_args.update(drop_path_rate=0.0, **norm)
    if image_size:
        config.image_size = image_size
    return effdet.EfficientDet(config, pretrained_backbone=False)


def give_formula_weights(model):
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                tensor.copy_(torch.from_numpy(formula.weight(name, tuple(tensor.shape))))


def flat(levels, last):
    """A head's outputs (N, anchors * last, H, W) of each level as (N, all anchors, last)."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, last) for level in levels], 1)


def outputs(model, images):
    """With the names that exactness_run gives them, channels last."""
    if not hasattr(model, "fpn"):
        return {"logits": model(images)}
    levels = model.fpn(model.backbone(images))
    result = {f"level {3 + i}": level.permute(0, 2, 3, 1) for i, level in enumerate(levels)}
    result["class_logits"] = flat(model.class_net(levels), model.config.num_classes)
    result["box_codes"] = flat(model.box_net(levels), 4)
    return result


def pool_margin(model, images):
    """How clearly the max pools choose: the least difference of any window's largest two numbers, over the numbers'
    deviation. Where it is below rounding, which grows through the layers to some 1e-6, two implementations may choose
    differently, and from there on back all gradients differ, by up to some per cent."""
    margins = []

    def look(module, inputs):
        x = inputs[0]
        windows = torch.nn.functional.pad(x, (1, 2, 1, 2), value=-torch.inf)
        windows = windows[..., int("Same" in type(module).__name__):, int("Same" in type(module).__name__):]
        first, second = windows.unfold(2, 3, 2).unfold(3, 3, 2).flatten(4).topk(2).values.unbind(-1)
        gaps = (first - second)[first != second]  # only copies of one number, made by an earlier pool, are equal
        if len(gaps):
            margins.append((gaps.min() / x.std()).item())

    pools = [m for m in model.modules() if "MaxPool2d" in type(m).__name__]
    hooks = [pool.register_forward_pre_hook(look) for pool in pools]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return min(margins)


def clear_images(model, batch, size, candidates):
    """The name for formula.images() of images for which the max pools of a model in training have the clearest maxima."""
    names = [f"images {i}" for i in range(candidates)]
    trial = copy.deepcopy(model)
    return max(names, key=lambda name: pool_margin(trial, torch.from_numpy(formula.images(batch, *size, name))))


def gradients(model, loss, images):
    """The losses, and the gradient of each parameter."""
    model.zero_grad()
    losses = loss(*model(images))
    losses[0].backward()
    return losses, {name: p.grad.clone() for name, p in model.named_parameters()}


def norm_of(tensors):
    return torch.stack([tensor.double().norm() for tensor in tensors]).norm().item()


def exact_gradients(model, loss, images):
    """In float64; the model does not change."""
    return gradients(copy.deepcopy(model).double(), loss, images.double())[1]


def without_gradient(exact):
    """Of such gradients the parameters whose is 0: biases that a batch norm further on takes away again. In float32 both
    sides have rounding there, and nothing to compare."""
    whole = norm_of(exact.values())
    return [name for name, gradient in exact.items() if gradient.norm().item() < 1e-10 * whole]


class Loss:
    """effdet's loss for a detector on formula.objects()."""

    def __init__(self, model, batch):
        config = model.config
        height, width = config.image_size
        anchors = Anchors.from_config(config)
        labeler = AnchorLabeler(anchors, config.num_classes, match_threshold=0.5)
        boxes, labels = formula.objects(batch, height, width, config.num_classes)
        self.targets = labeler.batch_label_anchors(
            [torch.from_numpy(b) for b in boxes], [torch.from_numpy(label + 1) for label in labels]
        )
        self.loss = DetectionLoss(config)

    def __call__(self, class_outputs, box_outputs):
        """total, class, box"""
        return self.loss(class_outputs, box_outputs, *self.targets)


def multiply_adds(name):
    """For one image of the model's own size, counted from the shapes of each convolution and linear layer."""
    total = 0

    def count(module, _, output):
        nonlocal total
        weight = module.weight
        total += output.numel() * weight[0].numel()

    with torch.device("meta"):
        model = make(name).eval()
    model = model.to("meta")
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.empty(1, 3, *image_size(name), device="meta"))
    return total


def parameters(name):
    with torch.device("meta"):
        return sum(p.numel() for p in make(name).parameters())
