"""Kill trainings at random moments, resume them, and see that nothing was lost.

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

# Trainings of seconds in which all that is random happens: augmentation in workers,
# dropout, mixing of images in the main process. {root} is the repository's.
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
        name (str): For the table.
        config (str): Of `CONFIGS`.
        length (int): Iterations or epochs.
        processes (int): Default: 1.
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
    """What came of a scenario.

    Attributes:
        scenario (str): Its name.
        kills (int): How often it was killed.
        writing (int): How many of these left a checkpoint half-written, under the name
            of a draft.
        lost (int): After how many less was left to go on from than before.
        trainings (int): How many came to their end.
        identical (int): Of these, how many ended with the weights, the state of the
            optimizer, the losses and the scores of the training that was left alone.
    """

    scenario: str
    kills: int = 0
    writing: int = 0
    lost: int = 0
    trainings: int = 0
    identical: int = 0


def prepare(folder: Path, scenario: Scenario, num_val: int = 2) -> Path:
    """Write data and config of a scenario, and return the config."""
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
        folder (Path): Where; what is said goes to `<work_dir>.log` there, or to
            `<work_dir>.<node>.log`.
        config (Path): From `prepare`.
        work_dir (str): In the folder.
        processes (int): On this node. Default: 1.
        options (str): More of train.py's.
        node (tuple[int, int, int], optional): This one, of how many, and a port.
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
    """A port that no process listens at."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def kill(process: subprocess.Popen) -> None:
    """SIGKILL a process and all that it started; torchrun's have their own groups."""
    parents = {}
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            fields = (folder / 'stat').read_text().rpartition(')')[2].split()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)] = int(fields[1])
    doomed = {process.pid}
    while more := {p for p, parent in parents.items() if parent in doomed} - doomed:
        doomed |= more
    for pid in doomed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def logged(work_dir: Path, key: str = 'loss') -> dict[int, set[float]]:
    """What was logged under a key, by iteration or epoch, by all starts of a run."""
    found: dict[int, set[float]] = {}
    for file in work_dir.glob('*/vis_data/scalars.json'):
        for line in file.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # the last one, of a killed run
                continue
            if key in record:
                found.setdefault(record['step'], set()).add(record[key])
    return found


def last_checkpoint(work_dir: Path) -> dict:
    """The content of the checkpoint that training ended with."""
    return read_checkpoint((work_dir / 'last_checkpoint').read_text())


def same(one: object, other: object) -> bool:
    """Whether two contents of checkpoints are the same to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def differences(run: Path, reference: Path) -> list[str]:
    """In what a run that was killed differs from one that was left alone."""
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
    """Kill a training so many times."""
    config = prepare(folder, scenario)
    begun = time.monotonic()
    reference = folder / f'{scenario.name.replace(" ", "_")}'
    code = launch(folder, config, reference.name, scenario.processes).wait()
    assert code == 0, reference.with_suffix('.log').read_text()[-3000:]
    duration = time.monotonic() - begun

    outcome = Outcome(scenario.name)
    while True:
        run = reference.with_name(f'{reference.name}_{outcome.trainings}')
        reached = 0
        while True:
            resume = ['--resume'] if reached else []
            process = launch(folder, config, run.name, scenario.processes, *resume)
            patience = moments.uniform(0, 0.7 * duration)
            try:
                code = process.wait(patience if outcome.kills < kills else 600)
                break
            except subprocess.TimeoutExpired:
                kill(process)
            outcome.kills += 1
            outcome.writing += bool(list(run.glob('*.pth.*.part')))
            try:
                _, content, passed_over = find_latest_checkpoint(str(run))
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
    """Parse, kill, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('folder', type=Path, help='where to work, and leave the logs')
    parser.add_argument('--kills', type=int, default=50, help='of all scenarios')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    args = parser.parse_args()

    folder = args.folder.resolve()  # from which the trainings run
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
