"""Test a checkpoint of any task.

python tools/test.py CONFIG CHECKPOINT
"""

import argparse

from mmengine.config import DictAction

from glore_mm.engine import load_config, plain_errors, task_of, test


@plain_errors
def main() -> None:
    """Parse, test."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='weights')
    parser.add_argument('--work-dir', help='for the log (default: work_dirs/<config>)')
    parser.add_argument(
        '--tta', action='store_true', help='average over scales and flips'
    )
    parser.add_argument(
        '--format-dir', help='write predictions here as the benchmark server wants them'
    )
    parser.add_argument('--show-dir', help='write pictures of the predictions here')
    parser.add_argument(
        '--dump',
        metavar='FILE.npz',
        help='write what a comparison of two models needs: names and, for '
        'segmentation, the confusion matrix of every image',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override keys of the config',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    args = parser.parse_args()

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    task_of(cfg).add_outputs(cfg, args.format_dir, args.show_dir, args.dump)
    test(cfg, args.checkpoint, tta=args.tta)


if __name__ == '__main__':
    main()
