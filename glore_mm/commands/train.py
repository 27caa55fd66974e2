"""Train a config of any task.

glore-train glore_mm::seg/glore_cityscapes.py
"""

from glore_mm.engine import load_config, plain_errors, runner_parser, train


@plain_errors
def main() -> None:
    """Parse, train."""
    parser = runner_parser(__doc__)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='newest',
        choices=['newest', 'if-any'],
        help='go on from the newest whole checkpoint in the work dir; with if-any, '
        'begin where there is none',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--seed', type=int, help='of Python, NumPy and torch')
    args = parser.parse_args()

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    train(cfg, args.resume, args.amp, args.seed, args.compile)
