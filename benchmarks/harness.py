"""Measure networks in interleaved rounds, in pairs with a baseline, on one machine.

Times of different runs cannot be compared, but ratios within a run can. In each round
every network runs twice, and the second run counts: the first one brings caches and
allocator into the state of this network. The ratio of a network is the median over
rounds of its time divided by the baseline's time in the same round. Each comparison
runs in a separate process, as earlier allocations change the times, too.

On the CPU, much of the time is spent on memory that the C library returns to the system
after each step and requests again in the next. With `--keep-heap` it keeps this memory.
"""

import argparse
import ctypes
import gc
import json
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor, nn

from glore_mm.analysis.cost import count_flops
from glore_mm.utils.device import cpu_name

SLOW = 1.0  # seconds; slower steps run once per round, in three rounds
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MODES = ('inference', 'training')


def parser(doc: str) -> argparse.ArgumentParser:
    """Create a parser with the options of all benchmarks."""
    result = argparse.ArgumentParser(description=doc.partition('\n')[0])
    result.add_argument('--out', default='work_dirs/benchmarks', help='where to write')
    result.add_argument(
        '--rounds', type=int, default=11, help='at least 2 (default: 11)'
    )
    result.add_argument('--threads', type=int, default=torch.get_num_threads())
    result.add_argument('--device', default='cpu', help='cpu or cuda (default: cpu)')
    result.add_argument('--dtype', default='float32', help='(default: float32)')
    result.add_argument('--channels-last', action='store_true')
    result.add_argument('--keep-heap', action='store_true', help='return no memory')
    result.add_argument('--only', nargs='+', metavar='PLACE', help='places to measure')
    return result


def machine(args: argparse.Namespace) -> dict[str, str]:
    """Return the hardware, versions and settings of the measurement."""
    name = cpu_name()
    if args.device.startswith('cuda'):
        name = torch.cuda.get_device_name(args.device)
    return dict(
        device=name,
        threads=str(args.threads),
        dtype=args.dtype,
        layout='channels last' if args.channels_last else 'contiguous',
        heap='kept' if args.keep_heap else 'as it is',
        torch=torch.__version__,
        python=platform.python_version(),
        date=time.strftime('%Y-%m-%d'),
    )


def run_in_process(function: Callable, *args: object) -> object:
    """Run a function of a module in a separate process and return its result."""
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(function, args)


def set_up(args: argparse.Namespace) -> None:
    """Set threads, seed and heap of a process."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.keep_heap:
        library = ctypes.CDLL(None)
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            library.mallopt(option, 2**31 - 1)


def limit_memory(gigabytes: float) -> None:
    """Let allocations fail beyond the present memory plus a limit, on Linux."""
    status = Path('/proc/self/statm')
    if status.exists():
        now = int(status.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (now + int(gigabytes * 2**30), hard))


def prepare(tensor: Tensor, args: argparse.Namespace) -> Tensor:
    """Move an input to the device, with the dtype and layout of the arguments."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    layout = layouts[tensor.dim()] if args.channels_last else torch.contiguous_format
    return tensor.to(args.device, getattr(torch, args.dtype)).contiguous(
        memory_format=layout
    )


def step(network: nn.Module, inputs: tuple[Tensor, ...], mode: str) -> Callable:
    """Return a function that runs a network once: forward, or forward and backward.

    The backward pass starts from gradients of ones and computes those of inputs and
    parameters.
    """
    network.train(mode == 'training')
    leaves = [x.detach().requires_grad_() for x in inputs]

    def infer() -> None:
        with torch.no_grad():
            network(*inputs)

    def train() -> None:
        network.zero_grad(set_to_none=True)
        for leaf in leaves:
            leaf.grad = None
        outputs = network(*leaves)
        outputs = outputs if isinstance(outputs, tuple | list) else [outputs]
        torch.autograd.backward(outputs, [torch.ones_like(out) for out in outputs])

    return train if mode == 'training' else infer


def measure(
    networks: dict[str, tuple[nn.Module, tuple[Tensor, ...]]],
    args: argparse.Namespace,
    baseline: str,
    **labels: str,
) -> Iterator[dict]:
    """Measure time, memory and cost of networks.

    Args:
        networks (dict[str, tuple[nn.Module, tuple[Tensor, ...]]]): Networks with their
            inputs, by name.
        args (argparse.Namespace): From `parser`.
        baseline (str): Name of the network whose times the others are divided by.
        labels (str): Labels to add to each row of the result.

    Yields:
        dict: For each mode and network the labels, `mode`, `name`, `parameters`, and
        either `failed` or: `ms` (median), `ratio` (median), `low` and `high` (quartiles
        of the ratio), `peak_mb` (peak memory above that before the step), `kept_mb`
        (memory for the backward pass without parameters and inputs), `macs` (of
        inference).
    """
    costs = {}
    for mode in MODES:
        steps = {name: step(*both, mode) for name, both in networks.items()}
        peaks, failed = {}, {}
        for name, run in steps.items():
            try:
                run()  # permanent allocations do not count as memory of a step
                peaks[name] = peak(run, args.device)
            except RuntimeError as error:
                if 'memory' not in str(error):
                    raise
                failed[name] = 'out of memory'
        if baseline in failed:
            where = ', '.join(map(str, labels.values()))
            raise SystemExit(
                f'{where}: {baseline} is out of memory. Measure other places: --only'
            )
        running = {name: run for name, run in steps.items() if name not in failed}
        times = interleaved(running, max(args.rounds, 2), args.device)
        for name, (network, inputs) in networks.items():
            parameters = sum(p.numel() for p in network.parameters())
            row = dict(labels, mode=mode, name=name, parameters=parameters)
            if name in failed:
                yield dict(row, failed=failed[name])
                continue
            if name not in costs:
                costs[name] = count_flops(network, *inputs)
            pairs = zip(times[name], times[baseline], strict=False)
            ratios = sorted(a / b for a, b in pairs)
            low, middle, high = statistics.quantiles(ratios, n=4, method='inclusive')
            yield dict(
                row,
                ms=1e3 * statistics.median(times[name]),
                ratio=middle,
                low=low,
                high=high,
                peak_mb=peaks[name] / 2**20,
                kept_mb=kept(network, inputs) / 2**20 if mode == 'training' else 0,
                macs=costs[name].macs,
            )


def interleaved(
    steps: dict[str, Callable], rounds: int, device: str
) -> dict[str, list[float]]:
    """Return the seconds of each step in each round."""
    times = {name: [] for name in steps}
    slow = set()
    for i in range(rounds):
        for name, run in steps.items():
            if name in slow and i >= 3:
                continue
            if name not in slow:
                run()
            _wait(device)
            start = time.perf_counter()
            run()
            _wait(device)
            times[name].append(time.perf_counter() - start)
            if times[name][-1] > SLOW:
                slow.add(name)
    return times


def _wait(device: str) -> None:
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)


def peak(run: Callable, device: str) -> int:
    """Return the peak memory of a step above that before it, in bytes."""
    gc.collect()
    if device.startswith('cuda'):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    if platform.system() != 'Linux':
        raise SystemExit('peak memory on the CPU is measured on Linux only')
    ctypes.CDLL(None).malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')  # resets the peak
    before = _status('VmRSS')
    run()
    return _status('VmHWM') - before


def kept(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Return the memory that a forward pass keeps for the backward pass, in bytes.

    Parameters, buffers and inputs are not counted.
    """
    not_counted = *inputs, *network.parameters(), *network.buffers()
    known = {tensor.untyped_storage().data_ptr() for tensor in not_counted}
    sizes = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    leaves = [x.detach().requires_grad_() for x in inputs]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = network.train()(*leaves)
    del outputs
    return sum(size for place, size in sizes.items() if place not in known)


def _status(key: str) -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f'{key}:'))
    return int(line.split()[1]) * 1024


def compare(
    name: str,
    places: Iterable[str],
    measure_place: Callable[..., list[dict]],
    args: argparse.Namespace,
    families: Iterable[str] | None = None,
) -> None:
    """Measure several places, each in a separate process, and write the results.

    Args:
        name (str): Name of the result files.
        places (Iterable[str]): Names of the places.
        measure_place (Callable): Takes a place, the arguments and, if given, a family;
            returns rows.
        args (argparse.Namespace): From `parser`.
        families (Iterable[str], optional): Families of networks that are measured in
            separate processes at each place.
    """
    rows = []
    for place in places:
        if args.only and not any(part in place for part in args.only):
            continue
        for family in [()] if families is None else [(name,) for name in families]:
            rows += run_in_process(measure_place, place, args, *family)
        print(f'{place}: measured', file=sys.stderr)
    lines = []
    for place in dict.fromkeys(row['place'] for row in rows):
        here = [row for row in rows if row['place'] == place]
        lines += ['', f'**{place}**', '', *_table(here)]
    write(name, machine(args), lines[1:], rows, _plot(rows), args)


def write(
    name: str,
    about: dict[str, str],
    lines: list[str],
    rows: list[dict],
    figure: Figure,
    args: argparse.Namespace,
) -> None:
    """Print the table; write the table, the rows as JSON, and the plot."""
    about_line = ', '.join(f'{key} {value}' for key, value in about.items())
    text = '\n'.join([about_line, '', *lines])
    print(text)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / f'{name}.md').write_text(text + '\n')
    content = dict(machine=about, rows=rows)
    (out / f'{name}.json').write_text(json.dumps(content, indent=1) + '\n')
    figure.savefig(out / f'{name}.png', dpi=120)
    print(f'\nwritten to {out}/{name}.md, .json and .png')


def _table(rows: list[dict]) -> list[str]:
    head = ['', 'parameters', 'GMACs']
    limits = any('per_products' in row for row in rows)
    keys = ['ms', 'ratio', *['÷ its products'] * limits, 'peak MB']
    head += [f'{mode}: {key}' for mode in MODES for key in keys]
    head.append('kept MB')
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    names = {}
    for row in rows:
        names.setdefault(row['name'], {})[row['mode']] = row
    for name, modes in names.items():
        macs = [row['macs'] for row in modes.values() if 'macs' in row]
        cells = [name, f'{modes["inference"]["parameters"] / 1e6:.3f} M']
        cells.append(f'{macs[0] / 1e9:.2f}' if macs else '')
        for mode in MODES:
            row = modes[mode]
            if 'failed' in row:
                cells += [row['failed'], *[''] * (len(keys) - 1)]
                continue
            spread = f'{row["ratio"]:.2f} ({row["low"]:.2f}–{row["high"]:.2f})'
            cells += [f'{row["ms"]:.1f}', spread]
            if limits:
                cells.append(
                    f'{row["per_products"]:.2f}' if 'per_products' in row else ''
                )
            cells.append(f'{row["peak_mb"]:.0f}')
        cells.append(f'{row["kept_mb"]:.1f}' if 'kept_mb' in row else '')
        lines.append('| ' + ' | '.join(cells) + ' |')
    return lines


def _plot(rows: list[dict]) -> Figure:
    places = list(dict.fromkeys(row['place'] for row in rows))
    names = list(dict.fromkeys(row['name'] for row in rows))
    colors = {name: f'C{i % 10}' for i, name in enumerate(names)}
    figure, grid = plt.subplots(
        len(places),
        len(MODES),
        figsize=(11, 0.6 + sum(0.5 + 0.22 * len(names) for _ in places)),
        squeeze=False,
        layout='constrained',
    )
    for place, axes in zip(places, grid, strict=True):
        for mode, axis in zip(MODES, axes, strict=True):
            shown = [r for r in rows if (r['place'], r['mode']) == (place, mode)][::-1]
            for i, row in enumerate(shown):
                if 'failed' in row:
                    left = axis.get_yaxis_transform()
                    text = f'  {row["failed"]}'
                    axis.text(0, i, text, va='center', fontsize=8, transform=left)
                    continue
                ratio = row['ratio']
                spread = [[ratio - row['low']], [row['high'] - ratio]]
                axis.errorbar(ratio, i, xerr=spread, fmt='o', color=colors[row['name']])
                axis.text(row['high'], i, f'  {ratio:.2f}', va='center', fontsize=8)
            axis.set_yticks(range(len(shown)), [row['name'] for row in shown])
            axis.set_xscale('log')
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter('{x:g}')
            axis.xaxis.set_minor_locator(NullLocator())
            axis.axvline(1, color='0.6', linewidth=0.8)
            axis.set_title(f'{place}: {mode}', fontsize=9)
            axis.set_ylim(-0.7, len(shown) - 0.3)
            axis.margins(x=0.2)
    figure.supxlabel('time ÷ time of the baseline')
    return figure
