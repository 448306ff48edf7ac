"""EfficientDet (arXiv 1911.09070) in plain PyTorch on a timm backbone: what Fovea is compared with if effdet is not
installed. Parameters have effdet's names, so that its weights load; bench/check_peer.py compares the two.

Fast where that is simple: fusion does not stack its inputs, and targets are compared instead of one-hot encoded.
"""
import math

import timm
import torch
import torch.nn.functional as F
from timm.layers import create_conv2d, create_pool2d
from torch import nn

IMAGE_SIZE, CHANNELS, CELLS, REPEATS, LEVELS = 512, 64, 3, 3, 5  # D0's; levels P3 to P7
ANCHORS_PER_CELL = 9
ANCHOR_SCALE = 4
# The level of each node and the ids of its inputs: 0 to 4 are the cell's inputs.
NODES = [(3, (3, 4)), (2, (2, 5)), (1, (1, 6)), (0, (0, 7)), (1, (1, 7, 8)), (2, (2, 6, 9)), (3, (3, 5, 10)), (4, (4, 11))]


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class ConvNorm(nn.Module):
    def __init__(self, channels_in, channels_out, bias):
        super().__init__()
        self.conv = create_conv2d(channels_in, channels_out, 1, bias=bias)
        self.bn = norm(channels_out)

    def forward(self, x):
        return self.bn(self.conv(x))


class SeparableConv(nn.Module):
    def __init__(self, channels_in, channels_out, padding, bias, with_norm=False):
        super().__init__()
        self.conv_dw = create_conv2d(channels_in, channels_in, 3, padding=padding, depthwise=True)
        self.conv_pw = create_conv2d(channels_in, channels_out, 1, bias=bias)
        self.bn = norm(channels_out) if with_norm else nn.Identity()

    def forward(self, x):
        return self.bn(self.conv_pw(self.conv_dw(x)))


class Resample(nn.Module):
    """Converts to the node's channels, then to its size: by one level at most."""

    def __init__(self, channels, level, target, padding, bias):
        super().__init__()
        self.conv = ConvNorm(channels, CHANNELS, bias) if channels != CHANNELS else nn.Identity()
        self.pool = create_pool2d("max", 3, stride=2, padding=padding) if level < target else None
        self.upsample = level > target

    def forward(self, x, size):
        x = self.conv(x)
        if self.pool is not None:
            x = self.pool(x)
        return F.interpolate(x, size, mode="nearest") if self.upsample else x


class Combine(nn.Module):
    def __init__(self, target, inputs, padding, bias, softmax):
        super().__init__()
        self.inputs, self.softmax = [id for id, _, _ in inputs], softmax
        self.resample = nn.ModuleDict({str(id): Resample(c, level, target, padding, bias) for id, level, c in inputs})
        self.edge_weights = nn.Parameter(torch.ones(len(inputs)))

    def forward(self, features, size):
        if self.softmax:
            weights = torch.softmax(self.edge_weights, 0)
        else:
            weights = torch.relu(self.edge_weights)
            weights = weights / (weights.sum() + 1e-4)
        resampled = [resample(features[id], size) for id, resample in zip(self.inputs, self.resample.values())]
        weights = weights.to(resampled[0].dtype)
        return sum(x * weights[k] for k, x in enumerate(resampled))


class Node(nn.Module):
    def __init__(self, target, inputs, padding, bias, softmax):
        super().__init__()
        self.target = target
        self.combine = Combine(target, inputs, padding, bias, softmax)
        self.after_combine = nn.ModuleDict({"conv": SeparableConv(CHANNELS, CHANNELS, padding, bias, with_norm=True)})

    def forward(self, features):
        return self.after_combine["conv"](F.silu(self.combine(features, features[self.target].shape[2:])))


class Cell(nn.Module):
    def __init__(self, channels, padding, bias, softmax):
        super().__init__()
        known = list(enumerate(channels))  # level and channels by id
        self.fnode = nn.ModuleList()
        for target, ids in NODES:
            self.fnode.append(Node(target, [(id, *known[id]) for id in ids], padding, bias, softmax))
            known.append((target, CHANNELS))

    def forward(self, features):
        features = list(features)
        for node in self.fnode:
            features.append(node(features))
        return features[-LEVELS:]


class BiFpn(nn.Module):
    def __init__(self, channels, padding, bias, softmax):
        super().__init__()
        self.resample = nn.ModuleDict({
            "3": Resample(channels[-1], 2, 3, padding, bias), "4": Resample(CHANNELS, 3, 4, padding, bias)
        })
        wide = channels + [CHANNELS] * 2
        self.cell = nn.ModuleList(
            Cell(wide if i == 0 else [CHANNELS] * LEVELS, padding, bias, softmax) for i in range(CELLS)
        )

    def forward(self, features):
        for resample in self.resample.values():
            features = features + [resample(features[-1], None)]
        for cell in self.cell:
            features = cell(features)
        return features


class Head(nn.Module):
    def __init__(self, outputs, padding, bias):
        super().__init__()
        self.outputs = outputs
        self.conv_rep = nn.ModuleList(SeparableConv(CHANNELS, CHANNELS, padding, bias) for _ in range(REPEATS))
        self.bn_rep = nn.ModuleList(
            nn.ModuleList(nn.ModuleDict({"bn": norm(CHANNELS)}) for _ in range(LEVELS)) for _ in range(REPEATS)
        )
        self.predict = SeparableConv(CHANNELS, outputs * ANCHORS_PER_CELL, padding, True)

    def forward(self, features):
        levels = []
        for level, x in enumerate(features):
            for conv, norms in zip(self.conv_rep, self.bn_rep):
                x = F.silu(norms[level]["bn"](conv(x)))
            x = self.predict(x)
            levels.append(x.permute(0, 2, 3, 1).reshape(len(x), -1, self.outputs))
        return torch.cat(levels, 1)


class EfficientDetD0(nn.Module):
    """images (N, 3, H, W) -> class logits (N, anchors, classes), box codes (N, anchors, 4).

    name: efficientdet_d0 (symmetric padding) or tf_efficientdet_d0 (SAME padding, a bias before each norm).
    """

    def __init__(self, name="efficientdet_d0", classes=90, softmax=False):
        super().__init__()
        tensorflow = name.startswith("tf_")
        padding, bias = ("same", True) if tensorflow else ("", False)
        self.backbone = timm.create_model(
            "tf_efficientnet_b0" if tensorflow else "efficientnet_b0",
            features_only=True, out_indices=(2, 3, 4), pretrained=False, drop_path_rate=0.0,
        )
        self.fpn = BiFpn(self.backbone.feature_info.channels(), padding, bias, softmax)
        self.class_net = Head(classes, padding, bias)
        self.box_net = Head(4, padding, bias)
        self.initialise()

    def initialise(self):
        """Initializes as effdet does: heads by fan in, BiFPN Glorot uniform, each anchor an object with probability 0.01."""
        for name, module in self.named_modules():
            if name.startswith("backbone") or not isinstance(module, nn.Conv2d):
                continue
            fan_in = module.weight[0].numel()
            if name.startswith("fpn"):
                fan_out = module.out_channels * module.weight[0, 0].numel() // module.groups
                bound = math.sqrt(6 / (fan_in + fan_out))
                nn.init.uniform_(module.weight, -bound, bound)
            else:
                nn.init.normal_(module.weight, std=math.sqrt(1 / fan_in))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.constant_(self.class_net.predict.conv_pw.bias, -math.log(0.99 / 0.01))

    def forward(self, images):
        features = self.fpn(self.backbone(images))
        return self.class_net(features), self.box_net(features)


def focal_loss(logits, targets, normalizer, alpha=0.25, gamma=1.5):
    """targets (N, anchors): a class, -1 for background, -2 for an anchor that does not count."""
    logits = logits.float()
    positive = targets.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none")
    probability = torch.sigmoid(logits)
    miss = torch.where(positive, 1 - probability, probability)
    loss = torch.where(positive, alpha, 1 - alpha) * miss**gamma * cross_entropy
    return (loss * (targets != -2).unsqueeze(-1)).sum() / normalizer


def huber_loss(codes, targets, normalizer, delta=0.1):
    """The loss over the numbers whose target is not 0."""
    error = (codes.float() - targets).abs()
    quadratic = error.clamp(max=delta)
    loss = 0.5 * quadratic**2 + delta * (error - quadratic)
    return (loss * (targets != 0)).sum() / (4 * normalizer)


def total_loss(outputs, class_targets, box_targets, normalizer):
    logits, codes = outputs
    return focal_loss(logits, class_targets, normalizer) + 50 * huber_loss(codes, box_targets, normalizer)


def anchors_of(height, width, device):
    """(anchors, 4): ymin, xmin, ymax, xmax, in the order of the outputs."""
    levels = []
    for level in range(3, 8):
        rows, columns = math.ceil(height / 2**level), math.ceil(width / 2**level)
        y = (torch.arange(rows) + 0.5) * (height / rows)
        x = (torch.arange(columns) + 0.5) * (width / columns)
        halves = torch.tensor([
            (ANCHOR_SCALE * height / rows * 2 ** (octave / 3) * h / 2, ANCHOR_SCALE * width / columns * 2 ** (octave / 3) * w / 2)
            for octave in range(3)
            for w, h in ((1, 1), (1.4, 0.7), (0.7, 1.4))
        ])
        centres = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1)[:, :, None]
        levels.append(torch.cat([centres - halves, centres + halves], -1).reshape(-1, 4))
    return torch.cat(levels).to(device)


def best_candidates(outputs, anchors, size, count=5000):
    """The best (anchor, class) pairs of each image: boxes (N, count, 4) clipped to the image, scores, classes."""
    logits, codes = outputs
    classes = logits.shape[-1]
    logits, index = logits.flatten(1).float().topk(min(count, logits[0].numel()))
    anchor, label = index // classes, index % classes
    code = codes.float().gather(1, anchor.unsqueeze(-1).expand(-1, -1, 4))
    box = anchors[anchor]
    centre, extent = (box[..., :2] + box[..., 2:]) / 2, box[..., 2:] - box[..., :2]
    centre, extent = centre + code[..., :2] * extent, extent * code[..., 2:].exp()
    boxes = torch.cat([centre - extent / 2, centre + extent / 2], -1)
    return boxes.clamp(min=0).minimum(size), logits.sigmoid(), label


def greedy_nms(boxes, scores, threshold):
    """Used if torchvision is missing: boxes, best first -> indices of those kept."""
    top, bottom = torch.maximum(boxes[:, None, :2], boxes[None, :, :2]), torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = (bottom - top).clamp(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    overlap = ((both / (area[:, None] + area[None] - both)) > threshold).cpu()
    kept = torch.ones(len(boxes), dtype=torch.bool)
    for i in range(len(boxes)):
        if kept[i]:
            kept[i + 1 :] &= ~overlap[i, i + 1 :]
    return kept.nonzero().squeeze(1).to(boxes.device)


def detections(boxes, scores, labels, threshold=0.5, most=100, least_score=0.001):
    """Hard NMS by class, for each image; (n, 6) on the CPU: box, score, class."""
    try:
        from torchvision.ops import nms
    except ImportError:
        nms = greedy_nms
    found = []
    for box, score, label in zip(boxes, scores, labels):
        apart = label.unsqueeze(-1) * (box.max() + 1)  # classes do not overlap
        kept = nms(box + apart, score, threshold)[:most]
        rows = torch.cat([box[kept], score[kept, None], label[kept, None].float()], 1)
        found.append(rows[rows[:, 4] > least_score])
    return [rows.cpu() for rows in found]
