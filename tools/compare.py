"""Compare two networks on one data set, from the dumps that tools/test.py wrote.

python tools/compare.py fcn.npz glore.npz --names FCN GloRe --out comparison.html

It prints the difference with its interval and p value. For segmentation it also writes
a page: the IoU of each class, the images on which the two differ most, the confusion
matrices.
"""

from glore_mm.utils.cli import cli_entry_point, make_parser


@cli_entry_point
def main() -> None:
    """Parse, compare, print, write the page."""
    parser = make_parser(__doc__)
    parser.add_argument('dumps', nargs=2, metavar='DUMP.npz', help='baseline, other')
    parser.add_argument(
        '--names', nargs=2, metavar='NAME', help='(default: the names of the files)'
    )
    pages = parser.add_argument_group('segmentation')
    pages.add_argument(
        '--show-dirs',
        nargs=2,
        metavar='DIR',
        help='pictures that tools/test.py --show-dir wrote of both',
    )
    pages.add_argument(
        '--images', type=int, default=24, help='how many to show (default: 24)'
    )
    pages.add_argument('--out', default='comparison.html', help='page to write')
    args = parser.parse_args()

    import numpy as np

    from glore_mm.analysis.dumps import ConfusionDump, check_same_data, read_dump
    from glore_mm.analysis.significance import (
        compare_miou,
        compare_top1,
        format_difference,
    )
    from glore_mm.utils.atomic_write import write_text
    from glore_mm.visualization.comparison_page import comparison_page

    dumps = [read_dump(path) for path in args.dumps]
    check_same_data(*dumps)
    names = args.names or args.dumps
    count = len(dumps[0].names)
    if not isinstance(dumps[0], ConfusionDump):
        difference, (gained, lost) = compare_top1(*(dump.right for dump in dumps))
        top1 = [100 * dump.right.mean() for dump in dumps]
        print(
            f'top-1: {names[0]} {top1[0]:.2f}, {names[1]} {top1[1]:.2f} '
            f'({format_difference(difference, scale=100)}) | {count} samples, {gained} '
            f'right by {names[1]} alone, {lost} by {names[0]} alone'
        )
        return
    difference = compare_miou(*(dump.confusion for dump in dumps))
    page = comparison_page(dumps, names, difference, args.show_dirs, args.images)
    write_text(args.out, page)
    miou = [100 * np.nanmean(dump.iou) for dump in dumps]
    print(
        f'mIoU: {names[0]} {miou[0]:.2f}, {names[1]} {miou[1]:.2f} '
        f'({format_difference(difference, scale=100)}) | {count} images | '
        f'page: {args.out}'
    )


if __name__ == '__main__':
    main()
