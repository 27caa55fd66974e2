"""Compare two networks on one data set, from what tools/test.py --dump wrote of each.

python tools/compare.py fcn.npz glore.npz --names FCN GloRe --out comparison.html

The page has the IoU of each class, the images on which the two differ most, and the
confusion matrices.
"""

import argparse

import numpy as np

from glore_mm.analysis import read_dump
from glore_mm.analysis.comparison_page import comparison_page
from glore_mm.engine import plain_errors, write_text


@plain_errors
def main() -> None:
    """Parse, compare, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('dumps', nargs=2, metavar='DUMP.npz', help='baseline, other')
    parser.add_argument(
        '--names', nargs=2, metavar='NAME', help='(default: the names of the files)'
    )
    parser.add_argument(
        '--show-dirs',
        nargs=2,
        metavar='DIR',
        help='pictures that tools/test.py --show-dir wrote of both',
    )
    parser.add_argument(
        '--images', type=int, default=24, help='how many to show (default: 24)'
    )
    parser.add_argument('--out', default='comparison.html', help='page to write')
    args = parser.parse_args()

    dumps = [read_dump(path) for path in args.dumps]
    names = args.names or args.dumps
    page = comparison_page(dumps, names, args.show_dirs, args.images)
    write_text(args.out, page)
    miou = [100 * np.nanmean(dump.iou) for dump in dumps]
    print(
        f'mIoU: {names[0]} {miou[0]:.2f}, {names[1]} {miou[1]:.2f} '
        f'({miou[1] - miou[0]:+.2f}) | {len(dumps[0].names)} images | page: {args.out}'
    )


if __name__ == '__main__':
    main()
