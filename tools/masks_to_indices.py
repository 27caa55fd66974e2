"""Convert colour masks to class indices.

python tools/masks_to_indices.py ann indices --config fields_glore.py

Without --config or --palette it lists the colours and writes nothing.
"""

import argparse

from glore_mm.utils.cli import cli_entry_point, make_parser


def _color(text: str) -> list[int]:
    numbers = [int(number) for number in text.split(',')]
    if len(numbers) != 3 or not all(0 <= number <= 255 for number in numbers):
        raise argparse.ArgumentTypeError(f'{text}: expected R,G,B from 0 to 255')
    return numbers


@cli_entry_point
def main() -> None:
    """Parse, convert or list."""
    parser = make_parser(__doc__)
    parser.add_argument('masks', help='folder of colour masks')
    parser.add_argument('out', help='folder to write the indices to')
    palette = parser.add_mutually_exclusive_group()
    palette.add_argument('--config', help='take the palette of its test set')
    palette.add_argument(
        '--palette',
        nargs='+',
        type=_color,
        metavar='R,G,B',
        help='the colours of the classes, in their order',
    )
    parser.add_argument(
        '--others',
        type=int,
        metavar='INDEX',
        help='index for other colours, such as 255 (default: an error)',
    )
    args = parser.parse_args()

    from glore_mm.apis.masks import convert_masks, count_colors
    from glore_mm.config.datasets import dataset_metainfo
    from glore_mm.config.load import load_config

    if args.config:
        args.palette = dataset_metainfo(load_config(args.config))['palette']
    if not args.palette:
        for color, count in count_colors(args.masks).items():
            print(f'{",".join(map(str, color))}: {count} pixels')
        return
    written = list(convert_masks(args.masks, args.out, args.palette, args.others))
    print(f'{len(written)} masks written to {args.out}')


if __name__ == '__main__':
    main()
