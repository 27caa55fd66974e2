"""Train a config of any task.

glore-train glore_mm::seg/glore_cityscapes.py
"""

from glore_mm.utils.cli import cli_entry_point, make_runner_parser


@cli_entry_point
def main(doc: str | None = __doc__) -> None:
    """Parse, train."""
    parser = make_runner_parser(doc)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='latest',
        choices=['latest', 'auto'],
        help='resume from the latest complete checkpoint in the work dir; auto: start '
        'from the beginning if there is none',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size, from auto_scale_lr of the '
        'config',
    )
    parser.add_argument('--seed', type=int, help='of Python, NumPy and torch')
    parser.add_argument(
        '--check',
        action='store_true',
        help='check config, weights and data, and look at some samples; do not train',
    )
    args = parser.parse_args()

    from glore_mm.apis.train import check, train
    from glore_mm.config.load import load_config

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    if args.check:
        check(cfg, args.resume, args.amp, args.seed, args.auto_scale_lr)
        print('no errors found')
        return
    train(cfg, args.resume, args.amp, args.seed, args.compile, args.auto_scale_lr)
