"""Export a network with its weights as one file for ONNX Runtime or for torch.

python tools/export.py configs/seg/glore_cityscapes.py iter_80000.pth --format onnx

The file takes float images (N, 3, H, W) or clips (N, 3, T, H, W) of any N, T, H and W:
(pixel - mean) / std. Its metadata has the order of the channels and the names of the
classes. It returns logits: (N, classes), of a segmentor (N, classes, H, W).
docs/export.md has an example.
"""

from collections import Counter

from glore_mm.utils.cli import cli_entry_point, make_config_parser


@cli_entry_point
def main() -> None:
    """Parse, export, print what was written."""
    parser = make_config_parser(__doc__)
    parser.add_argument('checkpoint', help='weights')
    parser.add_argument(
        '--format', choices=['onnx', 'torchscript', 'pt2'], required=True
    )
    parser.add_argument(
        '--out',
        metavar='FILE',
        help='file to write (default: beside the checkpoint)',
    )
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='size for which each unit takes the cheaper order of its products '
        "(default: the config's); the file takes other sizes, too",
    )
    parser.add_argument(
        '--fixed-size',
        action='store_true',
        help='the file takes one image or clip of this size only; for networks such as '
        'Swin and ViT, which cannot be exported otherwise',
    )
    args = parser.parse_args()

    from glore_mm.apis.export import export
    from glore_mm.config.load import load_config

    cfg = load_config(args.config, args.cfg_options)
    done = export(
        cfg, args.checkpoint, args.format, args.out, args.size, args.fixed_size
    )
    axes = ' → '.join(f'{name} {axes}' for name, axes in done.axes.items())
    orders = Counter(done.metadata['unit_orders'].values())
    units = ', '.join(f'{count} {order}' for order, count in orders.items())
    print(f'written: {done.path} | {axes} | units: {units or "none"}')
    print(
        f'largest difference to eager at {" and ".join(done.sizes)}: '
        f'{done.difference:.1e}, {done.relative:.1e} of the largest logit'
    )


if __name__ == '__main__':
    main()
