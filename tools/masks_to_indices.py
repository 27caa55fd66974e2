"""Convert colour masks or COCO annotations to masks of class indices.

python tools/masks_to_indices.py colors masks --palette label_colors.txt

The masks are palette PNGs, and classes.txt beside them has the names of the classes.
Without --palette or --config the colours are listed and nothing is written.
"""

from pathlib import Path

from glore_mm.utils.cli import cli_entry_point, make_parser
from glore_mm.utils.errors import UserError


def _parse_color(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(',') if part.strip().isdecimal()]
    if len(numbers) != 3 or text.count(',') != 2 or max(numbers) > 255:
        raise UserError(
            f'--palette {text}: expected R,G,B from 0 to 255, a file of colours, or '
            '"found"'
        )
    return numbers


@cli_entry_point
def main() -> None:
    """Parse, convert or list."""
    parser = make_parser(__doc__)
    parser.add_argument('masks', help='folder of colour masks, or a COCO file, *.json')
    parser.add_argument('out', help='folder to write the masks to')
    palette = parser.add_mutually_exclusive_group()
    palette.add_argument('--config', help='take colours and names of its test set')
    palette.add_argument(
        '--palette',
        nargs='+',
        metavar='R,G,B',
        help='the colours of the classes, in their order; or a file with lines such as '
        '"128 64 128 road"; or "found": each colour of the masks is a class, black '
        'first',
    )
    parser.add_argument(
        '--others',
        type=int,
        metavar='INDEX',
        help='index for other colours, such as 255 (default: an error)',
    )
    args = parser.parse_args()
    is_coco = args.masks.endswith('.json')
    if is_coco and (args.palette or args.config or args.others is not None):
        parser.error('a COCO file has its classes: leave out the other options')
    if args.others is not None and not 0 <= args.others <= 255:
        parser.error(f'--others must be from 0 to 255, got {args.others}')

    from glore_mm.apis.masks import (
        convert_coco,
        convert_masks,
        count_colors,
        read_color_file,
    )
    from glore_mm.config.datasets import dataset_metainfo
    from glore_mm.config.load import load_config

    classes: list[str] = []
    if is_coco:
        written = convert_coco(args.masks, args.out)
        print(f'{len(list(written))} masks written to {args.out}')
        return
    if args.config:
        metainfo = dataset_metainfo(load_config(args.config))
        colors, classes = metainfo['palette'], metainfo['classes']
    elif args.palette == ['found']:
        colors = sorted(count_colors(args.masks))
    elif args.palette and len(args.palette) == 1 and Path(args.palette[0]).is_file():
        colors, classes = read_color_file(args.palette[0])
    elif args.palette:
        colors = list(map(_parse_color, args.palette))
    else:
        for color, count in count_colors(args.masks).items():
            print(f'{",".join(map(str, color))}: {count} pixels')
        return
    written = convert_masks(args.masks, args.out, colors, classes, args.others)
    pixels = [counts for _, counts in written]
    print(f'{len(pixels)} masks written to {args.out}')
    shares = sum(pixels) / sum(map(sum, pixels))
    for index, name in enumerate(classes or colors):
        print(f'{index} {name}: {shares[index]:.2%} of the pixels')
    if args.others is not None and args.others >= len(colors):
        print(f'{args.others} other colours: {shares[args.others]:.2%} of the pixels')


if __name__ == '__main__':
    main()
