"""Show the projection maps of a network's nodes on images or videos.

python tools/visualize_nodes.py CONFIG CHECKPOINT street.jpg --out-dir nodes

For each input it writes a page to explore in a browser, a picture of the highest-ranked
maps, and one of all maps.
"""

from glore_mm.utils.cli import cli_entry_point, make_inputs_parser


@cli_entry_point
def main() -> None:
    """Parse, visualize, print what was found and written."""
    parser = make_inputs_parser(__doc__)
    parser.add_argument('--out-dir', default='nodes', help='(default: nodes)')
    parser.add_argument('--unit', help='one unit only: its path, or the end of it')
    parser.add_argument(
        '--top-k',
        type=int,
        default=4,
        metavar='K',
        help='maps in a picture (default: 4)',
    )
    parser.add_argument(
        '--frames',
        type=int,
        default=8,
        metavar='N',
        help='frames of a video that a network for images is run on (default: 8)',
    )
    args = parser.parse_args()

    from glore_mm.apis.visualize import visualize_nodes
    from glore_mm.config.load import load_config

    cfg = load_config(args.config, args.cfg_options)
    for found in visualize_nodes(
        cfg,
        args.checkpoint,
        args.inputs,
        args.out_dir,
        args.unit,
        args.top_k,
        args.frames,
    ):
        for unit, shown in found['units'].items():
            size = '×'.join(map(str, shown['size']))
            nodes = (f'{node} ({score:.0%})' for node, score in shown['nodes'])
            print(f'{found["input"]}: {unit}, {size}: nodes {", ".join(nodes)}')
        print(f'written: {", ".join(map(str, found["files"]))}', flush=True)


if __name__ == '__main__':
    main()
