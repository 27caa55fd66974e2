"""Compare context modules on frozen features of a pretrained network, on CamVid.

The features of EfficientNet-Lite0 are computed once. A small head is trained on them
for each level of the network, each module and each seed; only the module differs.

    python scripts/frozen_features.py /data/camvid docs/evidence/frozen_camvid

Writes a JSON file of all runs for each level, table.md and plot.png. Interrupted, it
resumes. Several processes can work on different levels.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from mmcv.cnn import ContextBlock, ConvModule, NonLocal2d
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

import glore_mm
from glore_mm import GloRe2d
from glore_mm.analysis.ablation import Run, Summary, markdown, summarize
from glore_mm.analysis.cost import count_flops
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.utils.atomic_write import write_text
from glore_mm.utils.device import device_name
from glore_mm.visualization.figures import write_figure

CONFIG = Path(__file__).parents[1] / 'configs/seg/fcn_lite0_camvid.py'
CLASSES = 11
WIDTH = 64  # channels of the head
BATCH = 8
NORM = dict(type='BN')
HALF = 0.5  # points of mIoU


class Level(NamedTuple):
    """A place in the network. Fine levels take longest, so they have two savings."""

    index: int  # of the features
    key_pooling: int = 1  # of Non-local: pairs with stride 16
    bfloat16: bool = False


LEVELS = dict(
    stride4=Level(1, 4, bfloat16=True),
    stride8=Level(2, 2, bfloat16=True),
    stride16=Level(3),
    end=Level(4),
)


class PyramidPooling(nn.Module):
    """Pyramid pooling of PSPNet, with a 1×1 convolution back to the same channels."""

    def __init__(self, channels: int) -> None:
        from mmseg.models.decode_heads.psp_head import PPM  # glore_mm must be first

        super().__init__()
        scales = (1, 2, 3, 6)
        width = channels // len(scales)
        self.pools = PPM(scales, channels, width, None, NORM, dict(type='ReLU'), False)
        self.merge = ConvModule(2 * channels, channels, 1, norm_cfg=NORM)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return self.merge(torch.cat([x, *self.pools(x)], 1))


def glore(nodes: int) -> Callable[[int], nn.Module]:
    """Return a function that builds a unit for a number of channels."""
    return lambda width: GloRe2d(width, width // 2, nodes, normalize=True)


MODULES: dict[str, Callable[[int], nn.Module]] = {
    'none': lambda width: nn.Identity(),
    'pointwise': lambda width: ConvModule(width, width, 1, norm_cfg=NORM),
    'convolution': lambda width: ConvModule(width, width, 3, padding=1, norm_cfg=NORM),
    'wider': lambda width: nn.Identity(),  # as many operations as with 32 nodes
    'glore_16': glore(16),
    'glore_32': glore(32),
    'glore_64': glore(64),
    'non_local': lambda width: NonLocal2d(width, reduction=2),
    'context_block': lambda width: ContextBlock(width, ratio=1 / 4),
    'pyramid_pooling': PyramidPooling,
}


class Head(nn.Module):
    """1×1 convolution, module, classifier."""

    def __init__(self, channels: int, module: str, width: int = WIDTH) -> None:
        super().__init__()
        self.reduce = ConvModule(channels, width, 1, norm_cfg=NORM)
        self.classify = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(width, CLASSES, 1))
        # built last, so that the other layers start equal in all variants
        self.module = MODULES[module](width)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to logits (N, classes, H, W)."""
        return self.classify(self.module(self.reduce(x)))


def make_head(features: Tensor, level: Level, module: str) -> Head:
    """Build the head of a module for features (N, C, H, W) of a level."""
    channels = features.shape[1]
    if module != 'wider':
        head = Head(channels, module)
        if module == 'non_local':
            block, pool = head.module, nn.MaxPool2d(level.key_pooling)
            block.g = nn.Sequential(block.g, pool)
            block.phi = nn.Sequential(block.phi, pool)
        return head
    macs = count_flops(Head(channels, 'glore_32').eval(), features[:1]).macs
    per_channel = features[0, 0].numel() * (channels + CLASSES)
    return Head(channels, module, round(macs / per_channel))


@torch.no_grad()
def compute_features(data_root: str, index: int) -> list[tuple[Tensor, Tensor]]:
    """Compute the features and labels of all images.

    Args:
        data_root (str): Folder of CamVid.
        index (int): Of the level.

    Returns:
        list[tuple[Tensor, Tensor]]: For training images, their mirror images, and test
        images: features (N, C, H, W) and labels (N, 360, 480).
    """
    cfg = load_config(str(CONFIG), dict(data_root=data_root))
    model = build_model(cfg).eval()
    MMLogger.get_current_instance().setLevel('ERROR')  # else it lists all weights
    model.backbone.init_weights()
    parts = []
    for split, mirrored in (('train', False), ('train', True), ('test', False)):
        dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, split=split))
        features, labels = [], []
        for sample in dataset:
            batch = model.data_preprocessor({k: [v] for k, v in sample.items()})
            image = batch['inputs'].flip(-1) if mirrored else batch['inputs']
            truth = batch['data_samples'][0].gt_sem_seg.data[0].byte()
            features.append(model.backbone(image)[index][0])
            labels.append(truth.flip(-1) if mirrored else truth)
        parts.append((torch.stack(features), torch.stack(labels)))
    return parts


def train(
    head: Head,
    parts: list[tuple[Tensor, Tensor]],
    seed: int,
    iters: int,
    lr: float,
    bfloat16: bool,
) -> None:
    """Train a head on the training images; half of the samples are mirrored."""
    generator = torch.Generator().manual_seed(seed)  # the same order for all modules
    optimizer = torch.optim.AdamW(head.parameters(), lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, iters, 0.9)
    features, labels = (
        torch.stack(tensors) for tensors in zip(*parts[:2], strict=True)
    )
    if bfloat16:
        features = features.bfloat16()
    features = features.movedim(2, -1).contiguous()  # channels last is fastest
    # the resolution of the finest features saves time
    labels = labels[..., ::4, ::4].long()
    count = features.shape[1]
    order: list[int] = []
    head.train().to(memory_format=torch.channels_last)
    for _ in range(iters):
        while len(order) < BATCH:
            order += torch.randperm(count, generator=generator).tolist()
        chosen, order = order[:BATCH], order[BATCH:]
        mirrored = (torch.rand(BATCH, generator=generator) < 0.5).long()
        x, y = features[mirrored, chosen].movedim(-1, 1), labels[mirrored, chosen]
        with torch.autocast('cpu', torch.bfloat16, bfloat16):
            logits = head(x).float()
        logits = interpolate(logits, y.shape[-2:], mode='bilinear')
        optimizer.zero_grad()
        cross_entropy(logits, y, ignore_index=255).backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def score(head: Head, features: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the mean IoU and the accuracy of the pixels, in percent."""
    from mmseg.evaluation import IoUMetric  # glore_mm must be first

    head.eval()
    areas = torch.zeros(4, CLASSES, dtype=torch.double)
    for x, y in zip(features.split(BATCH), labels.split(BATCH), strict=True):
        logits = interpolate(head(x), y.shape[-2:], mode='bilinear')
        counts = IoUMetric.intersect_and_union(logits.argmax(1), y, CLASSES, 255)
        areas += torch.stack(counts)
    metrics = IoUMetric.total_area_to_metrics(*areas, ['mIoU'])
    return dict(
        mIoU=round(100 * float(metrics['IoU'].mean()), 3),
        aAcc=round(100 * float(metrics['aAcc']), 3),
    )


def run_level(args: argparse.Namespace, level: str) -> None:
    """Train the runs of a level that are not in its file."""
    file = args.out / 'runs' / f'{level}.json'
    runs = read_runs(file)
    bfloat16 = args.bfloat16 or LEVELS[level].bfloat16
    recipe = (
        f'{args.iters} iterations, learning rate {args.lr:g}' + ', bfloat16' * bfloat16
    )
    if others := {run.config for run in runs} - {recipe}:
        raise SystemExit(
            f'{file} has runs of {min(others)}, not of {recipe}: remove it'
        )
    done = {(run.variant, run.seed) for run in runs}
    jobs = [job for job in product(args.modules, range(args.seeds)) if job not in done]
    jobs.sort(key=lambda job: job[1])  # an unfinished table has all modules
    if not jobs:
        return
    parts = compute_features(args.data_root, LEVELS[level].index)
    for module, seed in jobs:
        torch.manual_seed(seed)
        head = make_head(parts[0][0], LEVELS[level], module)
        cost = count_flops(head.eval(), parts[0][0][:1])
        begin = time.perf_counter()
        train(head, parts, seed, args.iters, args.lr, bfloat16)
        seconds = round(time.perf_counter() - begin, 1)
        metrics = score(head, *parts[2])
        run = Run(
            module,
            seed,
            metrics,
            cost.parameters,
            cost.macs,
            seconds,
            recipe,
            {},
            device_name(),
            f'torch {torch.__version__}, glore_mm {glore_mm.__version__}',
        )
        print(f'{level} {module} {seed}: {metrics} in {seconds} s', flush=True)
        runs.append(run)
        record = [asdict(run) for run in runs]
        write_text(file, json.dumps(record, indent=1) + '\n')


def read_runs(file: Path) -> list[Run]:
    """Read the runs in a file; none if there is no file."""
    return [Run(**run) for run in json.loads(file.read_text())] if file.exists() else []


def write_results(out: Path) -> None:
    """Write the table of all levels, and the plot of the gains."""
    summaries = {}
    text = ['# Modules on frozen features of CamVid\n']
    for level in LEVELS:
        if runs := read_runs(out / 'runs' / f'{level}.json'):
            names = [name for name in MODULES if name in {run.variant for run in runs}]
            summaries[level] = summary = summarize(runs, names, 'mIoU')
            text += [f'## {level}\n', markdown(summary), excluded(summary)]
            if 'wider' in names:
                names.sort(key=lambda name: name != 'wider')  # the baseline is first
                text += [
                    f'### {level}, minus the wider head\n',
                    markdown(summarize(runs, names, 'mIoU')),
                ]
    write_text(out / 'table.md', '\n'.join(text))
    write_figure(plot(summaries), str(out / 'plot.png'))


def excluded(summary: Summary) -> str:
    """Say for which modules the interval excludes a gain of half a point."""
    names = [
        row.variant
        for row in summary.rows
        if row.difference and row.difference.high < HALF
    ]
    return (
        f'The interval excludes a gain of {HALF} points for: '
        f'{", ".join(names) or "no module"}.\n'
    )


def plot(summaries: dict[str, Summary]) -> plt.Figure:
    """Draw the gain of each module at each level, with its interval."""
    figure, axes = plt.subplots(figsize=(9, 4.5), layout='constrained')
    names = [name for name in MODULES if name != 'none']
    for k, name in enumerate(names):
        gains = [
            (i, row.difference)
            for i, summary in enumerate(summaries.values())
            for row in summary.rows
            if row.variant == name and row.difference
        ]
        middle = np.array([gain.value for _, gain in gains])
        low = np.array([gain.low for _, gain in gains])
        high = np.array([gain.high for _, gain in gains])
        x = [i + (k - len(names) / 2 + 0.5) * 0.09 for i, _ in gains]
        axes.errorbar(x, middle, [middle - low, high - middle], fmt='o', label=name)
    axes.axhline(0, color='0.5', linewidth=1)
    axes.set_xticks(range(len(summaries)), list(summaries))
    axes.set_ylabel('gain of mIoU over no module, 95 % interval')
    axes.grid(axis='y', alpha=0.3)
    axes.legend(ncols=2)
    return figure


def main() -> None:
    """Train, and write table and plot."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('data_root')
    parser.add_argument('out', type=Path)
    parser.add_argument('--levels', nargs='+', choices=LEVELS, default=[*LEVELS])
    parser.add_argument('--modules', nargs='+', choices=MODULES, default=[*MODULES])
    parser.add_argument('--seeds', type=int, default=10)
    parser.add_argument('--iters', type=int, default=2000)
    parser.add_argument('--lr', type=float, default=3e-2)
    parser.add_argument('--bfloat16', action='store_true', help='at all levels')
    args = parser.parse_args()
    for level in args.levels:
        run_level(args, level)
    write_results(args.out)


if __name__ == '__main__':
    main()
