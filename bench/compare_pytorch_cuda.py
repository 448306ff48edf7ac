#!/usr/bin/env python3
"""Times Fovea and PyTorch side by side on one GPU: training steps, detection and single ops; bench/README.md explains how.

    bench/compare_pytorch_cuda.py --build build-cuda --output bench/results/h100.md
    bench/compare_pytorch_cuda.py --build build --dry-run        # tiny sizes on the CPU: only shows that everything runs

Each measurement is a separate process. Each result is printed, and appended to --output, as soon as it is available.
Exit code: 0, 1 if Fovea failed or the networks are not the same, 124 if there was not enough time for everything.
"""
import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

# model, batch, image size, what; and the targets: speed as a multiple of eager's and torch.compile's
STEPS = [
    ("efficientnet_b0", 128, 224, "training", 3, 1.5),
    ("efficientdet_d0", 16, 512, "training", 3, 1.5),
    ("efficientdet_d0", 32, 512, "training", 3, 1.5),
    ("efficientdet_d0", 1, 512, "detection", 1, 2),
    ("efficientdet_d0", 32, 512, "detection", 1, 1.3),
]
TINY_STEPS = [
    ("efficientnet_b0", 2, 64, "training", 3, 1.5),
    ("efficientdet_d0", 1, 128, "training", 3, 1.5),
    ("efficientdet_d0", 1, 128, "detection", 1, 2),
]
COMPILE_MODES = ["reduce-overhead", "max-autotune"]  # both replay CUDA graphs; the second tries several kernels first
OPS_SHOWN = "depthwise_conv2d|batch_norm.*training|global_average_pool|squeeze_excite|bifpn_node|focal_loss"


# --- PyTorch, in a separate process ---


class Device:
    """The device on which PyTorch runs, and how its time and memory are measured."""

    def __init__(self, dry_run):
        import torch

        self.torch, self.name = torch, "cpu" if dry_run else "cuda"
        self.gpu = not dry_run
        self.dtype = torch.bfloat16 if self.gpu else torch.float32
        torch.manual_seed(1)
        if self.gpu:
            torch.backends.cudnn.benchmark = True
            self.other = torch.empty(256 << 20, dtype=torch.int8, device="cuda")

    def synchronize(self):
        if self.gpu:
            self.torch.cuda.synchronize()

    def empty_caches(self):
        """Writes more than the second-level cache holds; meanwhile the host queues the work to be timed."""
        if self.gpu:
            self.other.zero_()

    def times(self, f, repeats, before=None, host_waits=False, warm_ups=3):
        """Seconds of each repeat, between two events on a GPU, or by the clock if the host waits for the result."""
        times = []
        for i in range(-warm_ups, repeats):
            if before:
                before()
            if self.gpu and not host_waits:
                begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                f()
                end.record()
                end.synchronize()
                seconds = begin.elapsed_time(end) / 1e3
            else:
                self.synchronize()
                start = time.perf_counter()
                f()
                self.synchronize()
                seconds = time.perf_counter() - start
            if i >= 0:
                times.append(seconds)
        return times

    def reset_peak(self):
        if self.gpu:
            self.torch.cuda.reset_peak_memory_stats()

    def peak_mb(self):
        return self.torch.cuda.max_memory_allocated() / 1e6 if self.gpu else 0.0

    def images(self, batch, size):
        images = self.torch.randn(batch, 3, size, size, device=self.name)
        return images.to(self.dtype).contiguous(memory_format=self.torch.channels_last)

    def autocast(self):
        return self.torch.autocast(self.name, self.torch.bfloat16, enabled=self.gpu)


def make_model(name):
    import timm

    import peer_efficientdet as peer

    if name.startswith("efficientdet"):
        return peer.EfficientDetD0(name)
    return timm.create_model(name, pretrained=False, num_classes=1000, drop_rate=0.0, drop_path_rate=0.0)


def compiled(device, f, mode):
    if mode == "eager":
        return f
    options = {"mode": mode} if device.gpu else {"backend": "aot_eager"}
    return device.torch.compile(f, **options)


def training_step(device, name, model, images, mode):
    torch, batch = device.torch, len(images)
    import peer_efficientdet as peer

    if name.startswith("efficientdet"):
        count = len(peer.anchors_of(*images.shape[2:], "cpu"))
        objects = torch.rand(batch, count) < 0.005
        classes = torch.where(objects, torch.randint(90, (batch, count)), -1).to(device.name)
        boxes = (torch.randn(batch, count, 4) * objects.unsqueeze(-1)).to(device.name)
        normalizer = float(objects.sum()) + 1

        def loss(x):
            with device.autocast():
                return peer.total_loss(model(x), classes, boxes, normalizer)

    else:
        labels = torch.randint(1000, (batch,), device=device.name)

        def loss(x):
            with device.autocast():
                return torch.nn.functional.cross_entropy(model(x), labels)

    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, fused=device.gpu)
    loss = compiled(device, loss, mode)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss(images).backward()
        optimizer.step()

    return step


def detection(device, model, images, mode):
    torch = device.torch
    import peer_efficientdet as peer

    model.eval()
    anchors = peer.anchors_of(*images.shape[2:], device.name)
    size = torch.tensor([float(images.shape[2]), float(images.shape[3])] * 2, device=device.name)

    def candidates(x):
        with device.autocast():
            outputs = model(x)
        return peer.best_candidates(outputs, anchors, size)

    if mode != "eager" and device.gpu:
        import torch._inductor.config as inductor

        inductor.freezing = True  # weights become constants: converted once, norms folded
    candidates = compiled(device, candidates, mode)

    def detect():
        with torch.no_grad():
            return peer.detections(*candidates(images))

    return detect


def measure_step(name, batch, size, what, mode, repeats, dry_run):
    device = Device(dry_run)
    model = make_model(name).to(device.name).to(memory_format=device.torch.channels_last)
    images = device.images(batch, size)
    step = training_step(device, name, model, images, mode) if what == "training" else detection(device, model, images, mode)
    start = time.perf_counter()
    for _ in range(3):
        step()
    device.synchronize()
    first = time.perf_counter() - start
    device.reset_peak()
    times = device.times(step, repeats, host_waits=what == "detection")
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": times,
        "tensors_peak_mb": device.peak_mb(),
        "first_steps_seconds": first,
    }


# --- single ops, with the names that op_bench prints ---


class Ops:
    """For one of op_bench's names: PyTorch's versions of it, as {direction: [candidates]}, of which the fastest counts."""

    def __init__(self, device):
        self.device, self.torch, self.F = device, device.torch, device.torch.nn.functional

    def random(self, *shape, dtype=None):
        return self.torch.randn(*shape, device=self.device.name).to(dtype or self.device.dtype)

    def image(self, n, h, w, c):
        return self.random(n, c, h, w).contiguous(memory_format=self.torch.channels_last)

    def candidates(self, name):
        kind = name.split()[0]
        numbers = [int(x) for x in re.findall(r"\d+", re.sub(r"conv2d|conv1x1|3x3", "", name))]
        make = getattr(self, kind, None)
        return make(name, numbers) if make else None

    def by_autograd(self, inputs, f):
        """Forward without a tape; backward on the tape of one forward."""
        leaves = [x.detach().requires_grad_() for x in inputs]

        def forward():
            with self.torch.no_grad():
                f(*leaves)

        output = f(*leaves)
        cotangent = self.torch.full_like(output, 1e-3)
        return {
            "forward": [forward],
            "backward": [lambda: self.torch.autograd.grad(output, leaves, cotangent, retain_graph=True)],
        }

    def depthwise_conv2d(self, name, numbers):
        """cuDNN, in both layouts."""
        n, h, w, c, k, s = numbers
        result = {"forward": [], "input gradient": [], "weight gradient": []}
        for layout in (self.torch.channels_last, self.torch.contiguous_format):
            x = self.random(n, c, h, w).contiguous(memory_format=layout)
            weight = self.random(c, 1, k, k).contiguous(memory_format=layout)
            pad = [k // 2, k // 2]
            dy = self.torch.full_like(self.F.conv2d(x, weight, None, s, pad, 1, c), 1e-3)

            def gradient(mask, x=x, weight=weight, dy=dy):
                self.torch.ops.aten.convolution_backward(
                    dy, x, weight, None, [s, s], pad, [1, 1], False, [0, 0], c, mask
                )

            result["forward"].append(lambda x=x, weight=weight: self.F.conv2d(x, weight, None, s, pad, 1, c))
            result["input gradient"].append(lambda gradient=gradient: gradient([True, False, False]))
            result["weight gradient"].append(lambda gradient=gradient: gradient([False, True, False]))
        return result

    def batch_norm(self, name, numbers):
        c = numbers[3]
        mean, variance = self.torch.zeros(c, device=self.device.name), self.torch.ones(c, device=self.device.name)
        weight, bias = (self.random(c, dtype=self.torch.float32) for _ in range(2))
        training = "training" in name
        return self.by_autograd(
            [self.image(*numbers[:4]), weight, bias],
            lambda x, w, b: self.F.silu(self.F.batch_norm(x, mean, variance, w, b, training, 0.01, 1e-3)),
        )

    def global_average_pool(self, name, numbers):
        return self.by_autograd([self.image(*numbers)], lambda x: x.mean((2, 3)))

    def squeeze_excite(self, name, numbers):
        n, h, w, c, s = numbers
        layers = [self.random(s, c, 1, 1), self.random(s), self.random(c, s, 1, 1), self.random(c)]

        def f(x, w_reduce, b_reduce, w_expand, b_expand):
            hidden = self.F.silu(self.F.conv2d(x.mean((2, 3), keepdim=True), w_reduce, b_reduce))
            return x * self.torch.sigmoid(self.F.conv2d(hidden, w_expand, b_expand))

        return self.by_autograd([self.image(n, h, w, c), *layers], f)

    def bifpn_node(self, name, numbers):
        n, h, w, c = numbers
        kinds = [kind.strip() for kind in name.split(":")[1].split(",")]
        shapes = {"same": (n, h, w, c), "upsample": (n, h // 2, w // 2, c), "pool": (n, 2 * h, 2 * w, c)}
        softmax = "softmax" in name
        weights = self.torch.ones(len(kinds), device=self.device.name)

        def f(v, *inputs):
            v = self.torch.softmax(v, 0) if softmax else self.torch.relu(v)
            v = (v if softmax else v / (v.sum() + 1e-4)).to(inputs[0].dtype)
            total = 0
            for k, (kind, x) in enumerate(zip(kinds, inputs)):
                if kind == "pool":
                    x = self.F.max_pool2d(x, 3, 2, 1)
                if kind == "upsample":
                    x = self.F.interpolate(x, (h, w), mode="nearest")
                total = total + x * v[k]
            return self.F.silu(total)

        return self.by_autograd([weights] + [self.image(*shapes[kind]) for kind in kinds], f)

    def focal_loss(self, name, numbers):
        import peer_efficientdet as peer

        targets = self.torch.full(numbers[:2], -1, device=self.device.name)
        return self.by_autograd([self.random(*numbers)], lambda x: peer.focal_loss(x, targets, 100.0))


def measure_ops(rows, repeats, seconds, dry_run):
    """PyTorch's lowest median for each (name, direction) of op_bench; ops for which no time is left are left out."""
    device = Device(dry_run)
    ops, results, deadline, made = Ops(device), [], time.perf_counter() + seconds, {}
    for name, what in rows:
        if time.perf_counter() > deadline:
            break
        if name not in made:
            made = {name: ops.candidates(name)}
        if not made[name] or what not in made[name]:
            continue
        times = [
            statistics.median(device.times(f, repeats, before=device.empty_caches)) for f in made[name][what]
        ]
        results.append([name, what, min(times)])
    return results


# --- the comparison ---


class Report:
    """Writes lines to standard output and, at once, to the file: a run that is cut off loses nothing."""

    def __init__(self, path):
        self.path = path
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, text):
        print(text, flush=True)
        if self.path:
            with self.path.open("a") as file:
                file.write(text + "\n")


class NoTime(str):
    """The reason why something was not measured: there was not enough time."""


def run_json(command, timeout):
    """All lines of JSON that the command prints, or a sentence that says why there are none."""
    try:
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=max(1, timeout))
    except subprocess.TimeoutExpired:
        return NoTime(f"not done in {timeout:.0f} s")
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith(("{", "["))]
    if result.returncode or not lines:
        return (result.stderr.strip().splitlines() or ["no output"])[-1]
    return lines


class Comparison:
    def __init__(self, options):
        self.options, self.report = options, Report(options.output)
        self.deadline = time.monotonic() + options.seconds
        self.failed = self.incomplete = False

    def note(self, result, is_fovea=False):
        """Records what a result of run_json means for the exit code."""
        self.incomplete |= isinstance(result, NoTime)
        self.failed |= is_fovea and isinstance(result, str) and not isinstance(result, NoTime)
        return result

    def left(self):
        return self.deadline - time.monotonic()

    def fovea(self, name, batch, size, what):
        o = self.options
        command = [o.build / "fovea", "bench", name, "--batch-size", batch, "--image-size", size, "--only", what]
        command += ["--repeats", o.repeats, "--json", "--device", "cpu" if o.dry_run else "cuda"]
        return run_json(command, self.left())

    def pytorch(self, *arguments):
        return run_json([sys.executable, __file__, "--child", json.dumps([*arguments, self.options.dry_run])], self.left())

    def steps(self):
        self.report.add(
            "| model | what | Fovea, ms | images/s | eager, ms | torch.compile, ms | eager / Fovea (target)"
            " | compile / Fovea (target) | peak MB: Fovea | eager | compile | Fovea / eager (target) |\n"
            "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
        )
        missing = []
        for name, batch, size, what, eager_target, compile_target in TINY_STEPS if self.options.dry_run else STEPS:
            if self.options.models and name not in self.options.models:
                continue
            candidates = {"Fovea": self.note(self.fovea(name, batch, size, what), is_fovea=True)}
            for mode in ["eager", *self.options.compile_modes]:
                enough = self.left() > 5
                arguments = ("step", name, batch, size, what, mode, self.options.repeats)
                candidates[mode] = self.note(self.pytorch(*arguments) if enough else NoTime("no time left"))
            label = f"{name} {batch} x {size} px, {what}"
            missing += [f"- {label}: {c}: {said}" for c, said in candidates.items() if isinstance(said, str)]
            done = {c: lines[-1] for c, lines in candidates.items() if not isinstance(lines, str)}
            if len({run["parameters"] for run in done.values()}) > 1:
                counts = {c: run["parameters"] for c, run in done.items()}
                missing.append(f"- {label}: NOT THE SAME NETWORK: parameters {counts}")
                self.failed = True
            self.report.add(self.step_row(name, batch, size, what, done, eager_target, compile_target))
        self.report.add("\n".join(["", *missing]) if missing else "")

    @staticmethod
    def step_row(name, batch, size, what, done, eager_target, compile_target):
        ms = {c: statistics.median(run["seconds"]) * 1e3 for c, run in done.items()}
        modes = [c for c in done if c not in ("Fovea", "eager")]
        best = min(modes, key=ms.get) if modes else None

        def cell(candidate, value, form="{:.2f}"):
            return form.format(value(candidate)) if candidate in done else "-"

        def ratio(candidate, target):
            if candidate not in done or "Fovea" not in done:
                return "-"
            return f"**{ms[candidate] / ms['Fovea']:.2f}** ({target})"

        memory = {c: run["tensors_peak_mb"] for c, run in done.items()}
        share = memory["Fovea"] / memory["eager"] if memory.get("eager") and "Fovea" in memory else None
        cells = [
            f"{name}, {batch} x {size} px", what,
            cell("Fovea", ms.get), cell("Fovea", lambda c: batch / ms[c] * 1e3, "{:.0f}"),
            cell("eager", ms.get), cell(best, lambda c: ms[c]) + (f" ({best})" if best else ""),
            ratio("eager", eager_target), ratio(best, compile_target),
            *(cell(c, memory.get, "{:.0f}") for c in ("Fovea", "eager", best)),
            f"{share:.2f} (0.6)" if share and what == "training" else "-",
        ]
        return "| " + " | ".join(cells) + " |"

    def ops(self):
        o = self.options
        command = [o.build / "bench/op_bench", "cpu" if o.dry_run else "cuda", "float32" if o.dry_run else "bfloat16"]
        lines = self.note(run_json([*command, o.op_repeats, 1 if o.dry_run else 32, "", "--json"], self.left()), is_fovea=True)
        if isinstance(lines, str):
            return self.report.add(f"op_bench: {lines}")
        ceilings = {line["op"]: line for line in lines if "what" not in line}
        rate = ceilings["copy"]["bytes_per_second"]
        facts = f"a plain copy moves {rate / 1e9:.0f} GB/s, read and written"
        if "gemm" in ceilings:
            facts += f"; a matrix product of 8192 x 8192 x 8192 runs at {ceilings['gemm']['flops_per_second'] / 1e12:.0f} TFLOP/s"
        self.report.add(f"{facts}\n")
        ours = [line for line in lines if "what" in line and not line["op"].endswith(", cuDNN")]
        rows = [line for line in ours if re.match(OPS_SHOWN, line["op"])]
        reached = self.note(self.pytorch("ops", [[r["op"], r["what"]] for r in rows], o.op_repeats, self.left() - 10))
        theirs = {} if isinstance(reached, str) else {(n, w): s for n, w, s in reached[-1]}
        if isinstance(reached, str):
            self.report.add(f"PyTorch's ops: {reached}\n")
        self.report.add(
            "| op | direction | Fovea, us | of the copy's rate | PyTorch, us | PyTorch / Fovea |\n|---|---|---:|---:|---:|---:|"
        )
        summary = {}
        for row in rows:
            seconds, bound = row["seconds"], row["bytes"] / rate
            other = theirs.get((row["op"], row["what"]))
            summary.setdefault((row["op"].split()[0], row["what"]), []).append((bound / seconds, other and other / seconds))
            cells = [row["op"], row["what"], f"{seconds * 1e6:.1f}", f"{bound / seconds:.2f}"]
            cells += [f"{other * 1e6:.1f}", f"{other / seconds:.2f}"] if other else ["-", "-"]
            self.report.add("| " + " | ".join(cells) + " |")
        self.report.add("\n| geometric means | direction | of the copy's rate | PyTorch / Fovea |\n|---|---|---:|---:|")
        for (kind, what), pairs in summary.items():
            means = [self.geometric_mean([p[i] for p in pairs if p[i]]) for i in (0, 1)]
            self.report.add(f"| {kind}, {len(pairs)} shapes | {what} | " + " | ".join(means) + " |")

    @staticmethod
    def geometric_mean(values):
        return f"{math.exp(sum(map(math.log, values)) / len(values)):.2f}" if values else "-"


def facts(options):
    import torch

    versions = f"PyTorch {torch.__version__}"
    if options.dry_run:
        return f"- a dry run on the CPU, tiny sizes: the figures below mean nothing; {versions}"
    device = torch.cuda.get_device_properties(0)
    return "\n".join([
        f"- {device.name}, {device.multi_processor_count} multiprocessors; {versions}, cuDNN {torch.backends.cudnn.version()}",
        "- PyTorch: bfloat16 by autocast, channels_last, cudnn.benchmark, fused SGD; torch.compile in the faster of its modes"
        " " + " and ".join(COMPILE_MODES) + ", which replay CUDA graphs",
        f"- medians of {options.repeats} steps; of {options.op_repeats} runs of each op, its caches emptied before each",
    ])


def parse_arguments():
    parser = argparse.ArgumentParser(description="Fovea and PyTorch side by side on a GPU")
    parser.add_argument("--build", type=Path, default=Path("build-cuda"), help="folder with fovea and bench/op_bench")
    parser.add_argument("--only", choices=["steps", "ops"], help="one of the two parts")
    parser.add_argument("--models", nargs="+", help="time the steps of only these models")
    parser.add_argument("--compile-modes", nargs="*", default=None, help=f"(default: {' '.join(COMPILE_MODES)})")
    parser.add_argument("--seconds", type=float, default=1800, help="time limit; the rest is left out (%(default)s)")
    parser.add_argument("--repeats", type=int, default=30, help="timed steps (%(default)s)")
    parser.add_argument("--op-repeats", type=int, default=30, help="timed runs of an op (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--output", type=Path, help="also append the tables to this file")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile_modes is None:
        options.compile_modes = ["aot_eager"] if options.dry_run else COMPILE_MODES
    if options.dry_run:
        options.repeats, options.op_repeats = min(options.repeats, 2), 1
    return options


def main():
    options = parse_arguments()
    if options.child:
        kind, *arguments = options.child
        print(json.dumps(measure_step(*arguments) if kind == "step" else measure_ops(*arguments)))
        return
    for program in ("fovea", "bench/op_bench"):
        if not (options.build / program).is_file():
            sys.exit(f"{options.build / program} does not exist: build it, or name its folder with --build")
    comparison = Comparison(options)
    comparison.report.add(facts(options) + "\n")
    if options.only != "steps":
        comparison.ops()
    comparison.report.add("")
    if options.only != "ops":
        comparison.steps()
    sys.exit(1 if comparison.failed else 124 if comparison.incomplete else 0)


if __name__ == "__main__":
    main()
