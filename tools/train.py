"""Train a config of any task.

python tools/train.py configs/seg/glore_cityscapes.py
"""

import argparse

from mmengine.config import DictAction

from glore_mm.engine import load_config, plain_errors, train


@plain_errors
def main() -> None:
    """Parse, train."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='for logs and checkpoints (default: work_dirs/<config>)'
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on from the newest checkpoint in the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--seed', type=int, help='of Python, NumPy and torch')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override keys of the config: optim_wrapper.optimizer.lr=0.02',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    args = parser.parse_args()

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    train(cfg, resume=args.resume, amp=args.amp, seed=args.seed)


if __name__ == '__main__':
    main()
