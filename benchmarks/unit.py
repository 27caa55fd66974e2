"""Compare the unit with the release's unit and other context blocks.

python benchmarks/unit.py            # the table: time, memory, cost at several places
python benchmarks/unit.py --growth   # how cost grows with the size of the input
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator

import harness
import matplotlib.pyplot as plt
import numpy as np
import torch
from reference import ReferenceGloRe
from torch import Tensor, nn

from glore_mm import GloRe2d, GloRe3d

#: Batch size, C, S, K and spatial size of each place.
PLACES = {
    '2D 512/128/64, 128×256, batch 1': (1, 512, 128, 64, (128, 256)),
    '2D 512/128/64, 64×128, batch 2': (2, 512, 128, 64, (64, 128)),
    '3D 512/256/128, 8×28×28, batch 2': (2, 512, 256, 128, (8, 28, 28)),
    '3D 1024/512/256, 8×14×14, batch 4': (4, 1024, 512, 256, (8, 14, 14)),
    '2D 512/256/128, 28×28, batch 8': (8, 512, 256, 128, (28, 28)),
    '2D 1024/512/256, 14×14, batch 8': (8, 1024, 512, 256, (14, 14)),
}
PRODUCTS = 'its three products alone'
GROWTH = [32, 45, 64, 91, 128, 181, 256, 362, 512]


def units(dim: int, channels: int, states: int, nodes: int) -> dict[str, nn.Module]:
    """Build GloRe units with the same weights."""
    unit = {2: GloRe2d, 3: GloRe3d}[dim]
    sizes = channels, states, nodes
    found = {
        'GloRe, as released': ReferenceGloRe(dim, *sizes, normalize=True),
        'GloRe, ours': unit(*sizes, normalize=True),
        "ours, order='direct'": unit(*sizes, normalize=True, order='direct'),
    }
    state = weights(found['GloRe, ours'])
    for network in found.values():
        network.load_state_dict(state)
    return found


class Products(nn.Module):
    """Only the three products along positions of a reassociated unit."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.proj = nn.Parameter(unit.conv_proj.weight.detach().flatten(1))
        self.back = nn.Parameter(torch.randn(unit.in_channels, unit.num_nodes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute W X = B, X Bᵀ and M B."""
        x = x.flatten(2)
        b = self.proj.expand(len(x), -1, -1) @ x
        return x @ b.transpose(1, 2), self.back.expand(len(x), -1, -1) @ b


def peers(dim: int, channels: int) -> dict[str, nn.Module]:
    """Build other context blocks, from mmcv."""
    from mmcv.cnn.bricks import ContextBlock, GeneralizedAttention
    from mmcv.cnn.bricks.non_local import NonLocal2d, NonLocal3d

    if dim == 3:
        return {'Non-local (mmcv)': NonLocal3d(channels, norm_cfg=dict(type='BN3d'))}
    return {
        'Non-local (mmcv)': NonLocal2d(channels),
        'ContextBlock (mmcv)': ContextBlock(channels, ratio=1 / 4),
        'GeneralizedAttention (mmcv)': GeneralizedAttention(channels, num_heads=8),
    }


def weights(unit: nn.Module) -> dict[str, Tensor]:
    """Return a state dict with which the unit is not the identity."""
    unit = copy.deepcopy(unit)
    nn.init.uniform_(unit.blocker.weight, 0.5, 1.5)
    nn.init.normal_(unit.blocker.bias)
    return unit.state_dict()


def check(units: dict[str, nn.Module], x: Tensor) -> None:
    """Check that all units have the same output, before they are timed."""
    limit = 1e-4 if x.dtype == torch.float32 else 5e-2
    for training in (True, False):
        with torch.no_grad():
            (_, first), *others = (
                (name, copy.deepcopy(unit).train(training)(x) - x)
                for name, unit in units.items()
            )
        for name, y in others:
            error = ((y - first).norm() / first.norm()).item()
            assert error < limit, f'{name} differs by {error:.1e}'


def measure_place(place: str, args: argparse.Namespace, family: str) -> list[dict]:
    """Measure the units, or the other context blocks, at a place."""
    harness.set_up(args)
    if args.device == 'cpu':
        harness.limit_memory(args.memory)
    batch, channels, states, nodes, size = PLACES[place]
    x = harness.prepare(torch.randn(batch, channels, *size), args)
    baseline = 'GloRe, as released'
    found = units(len(size), channels, states, nodes)
    for unit in found.values():
        unit.to(x.device, x.dtype)
    check(found, x)
    if family == 'peers':
        found = {baseline: found[baseline], **peers(len(size), channels)}
    else:
        found[PRODUCTS] = Products(found['GloRe, ours'])
    networks = {name: (net.to(x.device, x.dtype), (x,)) for name, net in found.items()}
    rows = list(harness.measure(networks, args, baseline, place=place))
    if family == 'peers':
        return [row for row in rows if row['name'] != baseline]
    alone = {row['mode']: row['ms'] for row in rows if row['name'] == PRODUCTS}
    return [dict(row, per_products=row['ms'] / alone[row['mode']]) for row in rows]


def point(name: str, side: int, args: argparse.Namespace) -> dict[str, float]:
    """Measure one inference at side × side, with C 128, S 32, K 16."""
    harness.set_up(args)
    found = {**units(2, 128, 32, 16), **peers(2, 128)}
    network = found[name].eval()
    x = torch.randn(1, 128, side, side)
    run = harness.step(network, (x,), 'inference')
    harness.limit_memory(args.memory)
    try:
        run()
        peak = harness.peak(run, 'cpu')
        times = harness.interleaved({name: run}, args.rounds, 'cpu')[name]
    except MemoryError:
        return dict(failed='out of memory')
    except RuntimeError as error:
        if 'memory' not in str(error):
            raise
        return dict(failed='out of memory')
    return dict(ms=1e3 * statistics.median(times), peak_mb=peak / 2**20)


def points(args: argparse.Namespace) -> Iterator[dict]:
    """Run `point` for each network and size in a separate process."""
    for name in ('GloRe, as released', 'GloRe, ours', 'Non-local (mmcv)'):
        for side in GROWTH:
            command = [sys.executable, __file__, '--point', name, str(side)]
            command += [f'--threads={args.threads}', f'--memory={args.memory}']
            command.append(f'--rounds={args.rounds}')
            command += ['--keep-heap'] if args.keep_heap else []
            ran = subprocess.run(command, capture_output=True, text=True)
            if ran.returncode > 0:
                raise SystemExit(ran.stderr)
            if ran.returncode < 0:  # killed or aborted, as no memory was left
                found = dict(failed='out of memory')
            else:
                found = json.loads(ran.stdout.splitlines()[-1])
            print(f'{name}, {side}²: {found}', file=sys.stderr)
            yield dict(name=name, side=side, **found)


def growth(args: argparse.Namespace) -> None:
    """Print, write and plot the growth of time and memory with the positions."""
    rows = list(points(args))
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout='constrained')
    lines = ['| | ' + ' | '.join(f'{side}²' for side in GROWTH) + ' | exponent |']
    lines.append('|' + '---|' * (len(GROWTH) + 2))
    for key, axis, unit in (('ms', axes[0], 'ms'), ('peak_mb', axes[1], 'MB')):
        for i, name in enumerate(dict.fromkeys(row['name'] for row in rows)):
            own = [row for row in rows if row['name'] == name]
            done = [row for row in own if 'failed' not in row]
            x = np.array([row['side'] ** 2 for row in done])
            y = np.array([row[key] for row in done])
            large = x >= 64**2  # below, costs that do not depend on the size dominate
            slope, offset = np.polyfit(np.log(x[large]), np.log(y[large]), 1)
            label = f'{name}: L to the {slope:.2f}'
            axis.loglog(x, y, 'o', color=f'C{i}', label=label)
            axis.loglog(x, np.exp(offset) * x**slope, color=f'C{i}', linewidth=0.8)
            failed = [row['side'] ** 2 for row in own if 'failed' in row]
            if failed:
                height = [np.exp(offset) * side**slope for side in failed]
                what = f'{name}: more than {args.memory:g} GB'
                axis.loglog(failed, height, 'x', color=f'C{i}', label=what)
            cells = [f'{row[key]:.1f}' if key in row else '✗' for row in own]
            lines.append(f'| {name}, {unit} | {" | ".join(cells)} | {slope:.2f} |')
        axis.set_xlabel('positions L')
        axis.set_ylabel(f'{unit}, inference, C 128, S 32, K 16')
        axis.legend(fontsize=8)
    about = dict(harness.machine(args), memory=f'at most {args.memory:g} GB')
    harness.write('growth', about, lines, rows, figure, args)


def main() -> None:
    """Measure the table, the growth, or one point of the growth."""
    parser = harness.parser(__doc__)
    parser.add_argument(
        '--memory', type=float, default=10, help='limit for a step, GB (default: 10)'
    )
    parser.add_argument('--units', action='store_true', help='leave the peers out')
    parser.add_argument('--growth', action='store_true', help='from 32² to 512²')
    parser.add_argument('--point', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.point:
        print(json.dumps(point(args.point[0], int(args.point[1]), args)))
    elif args.growth:
        if (
            args.only
            or args.channels_last
            or (args.dtype, args.device) != ('float32', 'cpu')
        ):
            parser.error('--growth is measured in float32, contiguous, on the CPU')
        growth(args)
    else:
        families = ['units'] if args.units else ['units', 'peers']
        harness.compare('unit', PLACES, measure_place, args, families)


if __name__ == '__main__':
    main()
