"""Kill trainings at random moments, resume them, and check that nothing is lost.

python scripts/soak.py --kills 50 --seed 0 WORK_FOLDER
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from glore_mm.checkpoints.files import read_checkpoint
from glore_mm.engine.resume import find_latest_checkpoint
from glore_mm.synthetic.mini_cityscapes import write_mini_cityscapes
from glore_mm.synthetic.mini_imagenet import write_mini_imagenet
from glore_mm.utils.errors import UserError

ROOT = Path(__file__).parent.parent

# Trainings that take seconds and use all sources of randomness: augmentation in
# workers, dropout, mixing of images in the main process. {root} is the repository.
CONFIGS = dict(
    iterations="""
_base_ = '{root}/configs/seg/glore_mini.py'
norm = dict(type='GN', num_groups=4, requires_grad=True)
narrow = dict(channels=8, norm_cfg=norm)
model = dict(
    data_preprocessor=dict(size=(32, 64)),
    backbone=dict(base_channels=8, stem_channels=8, norm_cfg=norm),
    decode_head=dict(in_channels=64, num_nodes=4, **narrow),
    auxiliary_head=dict(in_channels=32, **narrow),
)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(96, 48))
train_pipeline[3].update(crop_size=(32, 64))
scenes = dict(data_root='scenes')
train_dataloader = dict(num_workers=2, dataset=dict(pipeline=train_pipeline, **scenes))
val_dataloader = test_dataloader = dict(dataset=scenes)
train_cfg = dict(max_iters={length}, val_interval=20)
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=4, max_keep_ckpts=2, save_best='mIoU'),
)
""",
    epochs="""
_base_ = '{root}/configs/cls/glore_mini.py'
model = dict(
    backbone=dict(backbone=dict(base_channels=4), unit=dict(num_nodes=4)),
    head=dict(in_channels=128),
    data_preprocessor=dict(num_classes=10),
    train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)),
)
train_pipeline = _base_.train_pipeline
train_pipeline.insert(1, dict(type='RandomFlip', prob=0.5))
train_pipeline[3].update(crop_size=32)
train_pipeline[2].update(scale=32)
photographs = dict(data_root='photographs')
train_dataloader = dict(
    batch_size=4, num_workers=2, dataset=dict(pipeline=train_pipeline, **photographs)
)
val_dataloader = test_dataloader = dict(batch_size=8, dataset=photographs)
train_cfg = dict(max_epochs={length}, val_interval=2)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, T_max={length})]
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=1, max_keep_ckpts=2, save_best='accuracy/top1'),
)
""",
)  # fmt: skip


@dataclass
class Scenario:
    """A training to kill.

    Attributes:
        name (str): Name in the table.
        config (str): Key of `CONFIGS`.
        length (int): Number of iterations or epochs.
        processes (int): Number of processes. Default: 1.
    """

    name: str
    config: str
    length: int
    processes: int = 1


SCENARIOS = (
    Scenario('by iterations', 'iterations', 240),
    Scenario('by epochs', 'epochs', 60),
    Scenario('two processes', 'iterations', 120, 2),
)


@dataclass
class Outcome:
    """The result of a scenario.

    Attributes:
        scenario (str): Name of the scenario.
        kills (int): Number of kills.
        writing (int): Number of kills that left an incomplete checkpoint, in a
            temporary file.
        lost (int): Number of kills after which the latest checkpoint was an earlier one
            than before.
        trainings (int): Number of completed trainings.
        identical (int): Number of completed trainings with the same weights, optimizer
            state, losses and scores as the uninterrupted training.
    """

    scenario: str
    kills: int = 0
    writing: int = 0
    lost: int = 0
    trainings: int = 0
    identical: int = 0


def prepare(folder: Path, scenario: Scenario, num_val: int = 2) -> Path:
    """Write the data and the config of a scenario; return the path of the config."""
    size = (48, 96)
    write_mini_cityscapes(folder / 'scenes', num_train=10, num_val=num_val, size=size)
    write_mini_imagenet(folder / 'photographs', num_train=60, num_val=10, scale=0.2)
    config = folder / f'{scenario.config}_{scenario.length}.py'
    text = CONFIGS[scenario.config]
    config.write_text(text.format(root=ROOT, length=scenario.length))
    return config


def launch(
    folder: Path,
    config: Path,
    work_dir: str,
    processes: int = 1,
    *options: str,
    node: tuple[int, int, int] | None = None,
) -> subprocess.Popen:
    """Start tools/train.py, or tools/dist_train.sh for several processes or nodes.

    Args:
        folder (Path): Working directory. The output goes to `<work_dir>.log` there, or
            to `<work_dir>.<node>.log`.
        config (Path): From `prepare`.
        work_dir (str): Work dir, relative to the folder.
        processes (int): Number of processes on this node. Default: 1.
        options (str): Further options of train.py.
        node (tuple[int, int, int], optional): Rank of this node, number of nodes, port.
    """
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(config)]
    if processes > 1 or node:
        command = [str(ROOT / 'tools' / 'dist_train.sh'), str(config), str(processes)]
    command += ['--seed', '0', '--work-dir', work_dir, *options]
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable)
    log = f'{work_dir}.log'
    rank, nodes, port = node or (0, 1, free_port())
    environment |= dict(NODE_RANK=f'{rank}', NNODES=f'{nodes}', MASTER_PORT=f'{port}')
    if node:
        log = f'{work_dir}.{rank}.log'
    with open(folder / log, 'a') as file:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=file
        )


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def kill(process: subprocess.Popen) -> None:
    """Send SIGKILL to a process and its descendants.

    Not to its process group, as the processes of torchrun have their own groups.
    """
    parents = {}
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            fields = (folder / 'stat').read_text().rpartition(')')[2].split()
        except OSError:  # the process has ended
            continue
        parents[int(folder.name)] = int(fields[1])
    pids = {process.pid}
    while more := {p for p, parent in parents.items() if parent in pids} - pids:
        pids |= more
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def logged(work_dir: Path, key: str = 'loss') -> dict[int, set[float]]:
    """Read the logged values of a key in all starts of a run, by iteration or epoch."""
    found: dict[int, set[float]] = {}
    for file in work_dir.glob('*/vis_data/scalars.json'):
        for line in file.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # the incomplete last line of a killed run
                continue
            if key in record:
                found.setdefault(record['step'], set()).add(record[key])
    return found


def last_checkpoint(work_dir: Path) -> dict:
    """Read the last checkpoint of a training."""
    return read_checkpoint((work_dir / 'last_checkpoint').read_text())


def same(one: object, other: object) -> bool:
    """Whether the contents of two checkpoints are bitwise equal."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def differences(run: Path, reference: Path) -> list[str]:
    """Return the parts in which a killed run differs from an uninterrupted one."""
    ours, theirs = last_checkpoint(run), last_checkpoint(reference)
    parts = ('state_dict', 'optimizer', 'param_schedulers', 'random_states')
    found = [part for part in parts if not same(ours[part], theirs[part])]
    for key in ('loss', 'mIoU', 'accuracy/top1'):
        if logged(run, key) != logged(reference, key):
            found.append(key)
    best = [sorted(p.name for p in each.glob('best_*')) for each in (run, reference)]
    return found + ['best checkpoint'] * (best[0] != best[1])


def soak(
    folder: Path, scenario: Scenario, kills: int, moments: random.Random
) -> Outcome:
    """Kill and resume trainings until a number of kills is reached."""
    config = prepare(folder, scenario)
    start = time.monotonic()
    reference = folder / f'{scenario.name.replace(" ", "_")}'
    code = launch(folder, config, reference.name, scenario.processes).wait()
    assert code == 0, reference.with_suffix('.log').read_text()[-3000:]
    duration = time.monotonic() - start

    outcome = Outcome(scenario.name)
    while True:
        run = reference.with_name(f'{reference.name}_{outcome.trainings}')
        reached = 0
        while True:
            resume = ['--resume'] if reached else []
            process = launch(folder, config, run.name, scenario.processes, *resume)
            delay = moments.uniform(0, 0.7 * duration)
            try:
                code = process.wait(delay if outcome.kills < kills else 600)
                break
            except subprocess.TimeoutExpired:
                kill(process)
            outcome.kills += 1
            outcome.writing += bool(list(run.glob('*.pth.*.part')))
            try:
                _, content, passed_over = find_latest_checkpoint(str(run), str(run))
                now = content['meta']['iter']
            except UserError as error:
                now, passed_over = 0, ['Skipped'] * ('Skipped:' in str(error))
            outcome.lost += now < reached or bool(passed_over)
            reached = now
        log = run.with_suffix('.log').read_text()
        assert code == 0, log[-3000:]
        outcome.trainings += 1
        differ = differences(run, reference)
        outcome.identical += not differ
        if differ:
            print(f'{run} differs in {", ".join(differ)}', flush=True)
        if outcome.kills >= kills:
            return outcome


def main() -> None:
    """Parse the arguments, run the scenarios, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('folder', type=Path, help='folder for work dirs and logs')
    parser.add_argument(
        '--kills', type=int, default=50, help='number of kills, over all scenarios'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments')
    args = parser.parse_args()

    folder = args.folder.resolve()  # absolute, as trainings have another directory
    folder.mkdir(parents=True, exist_ok=True)
    moments = random.Random(args.seed)
    shares = [args.kills // len(SCENARIOS)] * len(SCENARIOS)
    shares[0] += args.kills - sum(shares)
    outcomes = []
    print('| training | kills | while writing | lost | ended | identical |')
    print('|---|---|---|---|---|---|')
    for scenario, kills in zip(SCENARIOS, shares, strict=True):
        outcomes.append(outcome := soak(folder, scenario, kills, moments))
        print('|', ' | '.join(map(str, asdict(outcome).values())), '|', flush=True)
    record = json.dumps([asdict(outcome) for outcome in outcomes], indent=2)
    (folder / 'soak.json').write_text(record + '\n')
    failed = any(o.lost or o.identical < o.trainings for o in outcomes)
    sys.exit(int(failed))


if __name__ == '__main__':
    main()
