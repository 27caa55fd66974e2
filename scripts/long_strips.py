"""Train on strips of 64×640 and test on strips ten times as long, in three ways.

In the long strips the cue of a region is 6,000 pixels or more away. They are tested
whole, in windows, and in windows that share their nodes (mode 'global_slide').

    python scripts/long_strips.py docs/evidence/long_strips

Writes runs.json, table.md and picture.png. Interrupted, it resumes.
"""

import argparse
import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image
from scipy import stats

from glore_mm.apis.ablate import Ablation, read_ablation, train_one
from glore_mm.apis.infer import load_predictor
from glore_mm.apis.test import test
from glore_mm.seg.visualization import colorize
from glore_mm.synthetic.long_range_strips import write_long_range_strips
from glore_mm.utils.atomic_write import write_text
from glore_mm.utils.device import device_name
from glore_mm.visualization.drawing import add_title, hstack, save_image, vstack

CONFIG = Path(__file__).parents[1] / 'configs/ablation/long_range.py'
VARIANTS = (
    'plain',
    'non_local_res4',
    'context_res4',
    'glore_res4',
    'glore_res4_normalize',
)
WINDOWS = dict(crop_size=(64, 640), stride=(64, 512))
MODES: dict[str, dict[str, Any]] = {
    'whole': dict(mode='whole'),
    'slide': dict(mode='slide', **WINDOWS),
    'global_slide': dict(mode='global_slide', **WINDOWS),
}
LONG = 'data/long_strips'
SHOWN = f'{LONG}/images/val/000002.png'
_END = 320  # pixels of each end in the picture


def main() -> None:
    """Train, test, and write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--seeds', type=int, default=5)
    args = parser.parse_args()
    write_long_range_strips('data/long_range_strips')
    write_long_range_strips(LONG, num_train=1, num_val=32, width=6400, distance=6000)
    ablation = read_ablation(str(CONFIG))  # the networks of `make evidence`
    file = args.out / 'runs.json'
    runs = json.loads(file.read_text())['runs'] if file.exists() else []
    done = {(run['variant'], run['seed'], run['mode']) for run in runs}
    for seed in range(args.seeds):
        for variant in VARIANTS:
            for mode in MODES:
                if mode == 'global_slide' and not variant.startswith('glore'):
                    continue  # only GloRe units share nodes
                if (variant, seed, mode) in done:
                    continue
                train_one(ablation, variant, seed)
                run = score(ablation, variant, seed, mode)
                print(run, flush=True)
                runs.append(run)
                runs.sort(key=lambda run: run['seed'])
                record = dict(hardware=device_name(), runs=runs)
                write_text(file, json.dumps(record, indent=1) + '\n')
    write_text(args.out / 'table.md', table(runs, ablation.solved_at))
    train_one(ablation, 'glore_res4', 0)
    save_image(picture(ablation), args.out / 'picture.png')


def config(ablation: Ablation, variant: str, seed: int, mode: str) -> Config:
    """Return the config of a run for a test on the long strips."""
    cfg = ablation.config(variant, seed)
    cfg.model.test_cfg = MODES[mode]
    cfg.test_dataloader.batch_size = 1
    cfg.test_dataloader.dataset.data_root = LONG
    return cfg


def checkpoint(ablation: Ablation, variant: str, seed: int) -> str:
    """Return the path of the weights of a run."""
    return str(Path(ablation.config(variant, seed).work_dir, 'iter_450.pth'))


def score(ablation: Ablation, variant: str, seed: int, mode: str) -> dict[str, Any]:
    """Test a run on the long strips."""
    cfg = config(ablation, variant, seed, mode)
    begin = time.perf_counter()
    with open(os.devnull, 'w') as null, contextlib.redirect_stdout(null):
        metrics = test(cfg, checkpoint(ablation, variant, seed))
    return dict(
        variant=variant,
        seed=seed,
        mode=mode,
        trained=round(ablation.run(variant, seed).metrics['acc'], 2),
        acc=round(float(metrics['acc']), 2),
        acc_erased=round(float(metrics['acc_erased']), 2),
        seconds=round(time.perf_counter() - begin, 1),
    )


def table(runs: list[dict[str, Any]], solved_at: float) -> str:
    """Return the accuracies of all runs, by variant and mode."""
    lines = [
        '# Strips of 6,400 pixels\n',
        '| variant | tested | accuracy of each run, % | without the cue, % '
        f'| runs of {solved_at} % or more | exact 95 % interval |',
        '|---|---|---|---|---|---|',
    ]
    for variant in VARIANTS:
        short = sorted(
            {(r['seed'], r['trained']) for r in runs if r['variant'] == variant}
        )
        trained = ', '.join(f'{acc:.1f}' for _, acc in short)
        lines.append(f'| {variant} | 640 pixels, whole | {trained} | | | |')
        for mode in MODES:
            found = [r for r in runs if (r['variant'], r['mode']) == (variant, mode)]
            if not found:
                continue
            erased = [r['acc_erased'] for r in found]
            solved = sum(r['acc'] >= solved_at for r in found)
            share = stats.binomtest(solved, len(found)).proportion_ci(method='exact')
            each = ', '.join(f'{r["acc"]:.1f}' for r in found)
            lines.append(
                f'| {variant} | {mode} | {each} | {min(erased):.1f} to '
                f'{max(erased):.1f} | {solved} of {len(found)} | {share.low:.0%} to '
                f'{share.high:.0%} |'
            )
    return '\n'.join(lines) + '\n'


def picture(ablation: Ablation) -> Image.Image:
    """Show both ends of a long strip, with the predictions of one GloRe network."""
    strip = np.asarray(Image.open(SHOWN))
    truth = np.asarray(Image.open(SHOWN.replace('images', 'labels')))
    rows = [('both ends of a strip of 6,400 pixels', strip)]
    region, pale = truth != 255, 192 + strip // 4
    labels = {'truth': truth}
    for mode, title in (
        ('slide', 'windows of 640 pixels'),
        ('global_slide', 'windows that share their nodes'),
    ):
        cfg = config(ablation, 'glore_res4', 0, mode)
        predictor = load_predictor(cfg, checkpoint(ablation, 'glore_res4', 0))
        labels[title] = predictor.predict(SHOWN)
    for title, found in labels.items():
        colours = colorize(found, predictor.palette)
        name = predictor.classes[int(np.bincount(found[region]).argmax())]
        shown = np.where(region[..., None], colours, pale)
        rows.append((f'{title}: {name}', shown))
    return vstack([add_title(_ends(image), title) for title, image in rows], gap=6)


def _ends(image: np.ndarray) -> Image.Image:
    ends = [Image.fromarray(part) for part in (image[:, :_END], image[:, -_END:])]
    return hstack(ends, gap=16)


if __name__ == '__main__':
    main()
