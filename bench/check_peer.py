#!/usr/bin/env python3
"""Checks bench/peer_efficientdet.py against effdet: the same parameters by name and shape, the same outputs, losses,
anchors and boxes for the same weights. Needs torch, timm and effdet; prints the largest differences.

    python3 bench/check_peer.py
"""
import effdet
import torch
from effdet.anchors import Anchors
from effdet.loss import DetectionLoss

import peer_efficientdet as peer


def close(what, ours, theirs, tolerance):
    difference = (ours - theirs).abs().max().item() / theirs.abs().max().item()
    print(f"  {what}: largest difference {difference:.1e} of the largest value")
    assert difference <= tolerance, f"{what} differ by {difference}: at most {tolerance} is allowed"


def flat(levels, last):
    return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, last) for x in levels], 1)


def check(name, image_size=256):
    config = effdet.get_efficientdet_config(name)
    config.image_size = (image_size, image_size)
    config.backbone_args.drop_path_rate = 0.0
    theirs = effdet.EfficientDet(config, pretrained_backbone=False)
    ours = peer.EfficientDetD0(name, config.num_classes)
    count = sum(p.numel() for p in ours.parameters())
    print(f"{name}: {count:,} parameters")
    assert count == sum(p.numel() for p in theirs.parameters())

    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in theirs.parameters():  # otherwise norms and fusion weights would all be equal
            parameter.add_(torch.randn_like(parameter) * 0.02)
        theirs.class_net.predict.conv_pw.weight.mul_(50)  # spread out, so that rounding changes no order
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(2, 3, image_size, image_size)
    for training in (False, True):
        ours.train(training), theirs.train(training)
        logits, codes = ours(images)
        their_logits, their_codes = theirs(images)
        mode = "training" if training else "evaluation"
        close(f"class logits, {mode}", logits, flat(their_logits, config.num_classes), 1e-4)
        close(f"box codes, {mode}", codes, flat(their_codes, 4), 1e-4)

    class_targets = [torch.full((2, *x.shape[2:], 9), -1) for x in their_logits]
    box_targets = [torch.zeros(2, *x.shape[2:], 36) for x in their_logits]
    for classes, boxes in zip(class_targets, box_targets):
        objects = torch.rand(classes.shape) < 0.02
        classes[objects] = torch.randint(config.num_classes, (int(objects.sum()),))
        boxes.view(*classes.shape, 4)[objects] = torch.randn(int(objects.sum()), 4)
    positives = sum((level >= 0).sum((1, 2, 3)) for level in class_targets)
    loss = DetectionLoss(config)(their_logits, their_codes, class_targets, box_targets, positives.float())[0]
    own_targets = torch.cat([x.reshape(2, -1) for x in class_targets], 1)
    own_boxes = torch.cat([x.reshape(2, -1, 4) for x in box_targets], 1)
    close("loss", peer.total_loss((logits, codes), own_targets, own_boxes, positives.sum() + 1), loss, 1e-5)

    anchors = peer.anchors_of(image_size, image_size, "cpu")
    close("anchors", anchors, Anchors.from_config(config).boxes, 1e-6)
    theirs.eval(), ours.eval()
    with torch.no_grad():
        bench = effdet.DetBenchPredict(theirs)
        size = torch.tensor([float(image_size)] * 4)
        expected = bench(images, {"img_scale": torch.ones(2), "img_size": torch.tensor([[image_size] * 2] * 2)})
        found = peer.detections(*peer.best_candidates(ours(images), anchors, size), least_score=0)
    for rows, their_rows in zip(found, expected):
        close("boxes", rows[:, [1, 0, 3, 2]], their_rows[: len(rows), :4], 1e-3)
        close("scores", rows[:, 4], their_rows[: len(rows), 4], 1e-4)
        assert (rows[:, 5] + 1 == their_rows[: len(rows), 5]).all(), "classes differ"


if __name__ == "__main__":
    for model in ("efficientdet_d0", "tf_efficientdet_d0"):
        check(model)
