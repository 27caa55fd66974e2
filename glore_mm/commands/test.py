"""Test a checkpoint of any task.

glore-test glore_mm::seg/glore_cityscapes.py CHECKPOINT
"""

import re

from glore_mm.utils.cli import cli_entry_point, make_runner_parser


@cli_entry_point
def main(doc: str | None = __doc__) -> None:
    """Parse, test."""
    parser = make_runner_parser(doc)
    parser.add_argument('checkpoint', help='weights')
    parser.add_argument(
        '--tta', action='store_true', help='average over augmented views: flips, scales'
    )
    parser.add_argument(
        '--submission-dir', help='write the files that the benchmark server takes here'
    )
    parser.add_argument('--show-dir', help='write pictures of the predictions here')
    parser.add_argument(
        '--dump',
        metavar='FILE.npz',
        help='write what a comparison of two models needs: the confusion matrix of '
        'every segmented image, the scores of every image or video classified',
    )
    parser.add_argument(
        '--views',
        metavar='CLIPSxCROPS',
        help='video: average over clips and crops, such as 10x3 or 10x5',
    )
    args = parser.parse_args()
    views = args.views and re.fullmatch(r'(\d+)x(\d+)', args.views)
    if args.views and not views:
        parser.error(f'--views must be such as 10x3, not {args.views}')

    from glore_mm.apis.tasks import get_task
    from glore_mm.apis.test import add_test_outputs, test
    from glore_mm.config.load import load_config

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    if args.submission_dir or args.show_dir or args.dump:
        add_test_outputs(cfg, args.submission_dir, args.show_dir, args.dump)
    if views:
        get_task(cfg).set_views(cfg, *map(int, views.groups()))
    test(cfg, args.checkpoint, args.tta, args.compile)
