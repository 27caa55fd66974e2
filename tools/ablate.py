"""Train variants of one config with several seeds, and compare them.

python tools/ablate.py configs/ablation/camvid_r18.py --seeds 3

Started again, it keeps the finished runs (one JSON each) and trains the others.
"""

import argparse
import sys

from glore_mm.utils.cli import cli_entry_point, make_config_parser


def _parser() -> argparse.ArgumentParser:
    parser = make_config_parser(__doc__)
    parser.add_argument(
        '--seeds', type=int, default=5, help='runs of each variant (default: 5)'
    )
    parser.add_argument(
        '--work-dir', help='for logs and checkpoints (default: work_dirs/<config>)'
    )
    parser.add_argument(
        '--out', help='for finished runs, table and plot (default: the work dir)'
    )
    parser.add_argument(
        '--baseline',
        metavar='VARIANT',
        help='to compare the others with (default: the first variant of the config)',
    )
    parser.add_argument(
        '--test',
        choices=['t', 'wilcoxon'],
        default='t',
        help='test for the p values: the paired t test (default), or the signed-rank '
        'test, which needs 6 seeds',
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        '--gpus', nargs='+', metavar='ID', help='one run at a time on each of these'
    )
    where.add_argument(
        '--slurm',
        metavar='PARTITION',
        help='each run as a Slurm job on one GPU; CPUS_PER_TASK and SRUN_ARGS in the '
        'environment change the job',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='how many runs at a time, as processes here or as Slurm jobs '
        '(default: one, in this process)',
    )
    parser.add_argument(
        '--only', nargs=2, metavar=('VARIANT', 'SEED'), help='train this run alone'
    )
    return parser


@cli_entry_point
def main() -> None:
    """Parse, train, print the table."""
    parser = _parser()
    args = parser.parse_args()
    if args.seeds < 1 or (args.jobs is not None and args.jobs < 1):
        parser.error('--seeds and --jobs must be 1 or more')
    if args.gpus and args.jobs:
        parser.error('--gpus says how many runs go at a time: leave out --jobs')

    from glore_mm.analysis.ablation import markdown
    from glore_mm.apis.ablate import ablate, read_ablation, train_one
    from glore_mm.apis.parallel import in_processes

    ablation = read_ablation(
        args.config, args.cfg_options, args.work_dir, args.out, args.baseline
    )
    if args.only:
        variant, seed = args.only
        if variant not in ablation.variants or not seed.isdigit():
            parser.error(f'--only takes one of {", ".join(ablation.variants)}, a seed')
        train_one(ablation, variant, int(seed))
        return
    workers = ()
    if args.gpus or args.slurm or args.jobs:
        command = [sys.executable, *sys.argv]
        workers = in_processes(command, args.jobs or 1, args.gpus or (), args.slurm)
    summary = ablate(ablation, range(args.seeds), workers, args.test)
    print(markdown(summary), end='')
    print(f'\ntable.md, .csv, .json, plot.png and runs are in {ablation.out}')


if __name__ == '__main__':
    main()
