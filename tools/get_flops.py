"""Count parameters and multiply-accumulate operations of configs, as Markdown.

python tools/get_flops.py configs/video/glore_r50_8x8_kinetics400.py

Units are counted as they run: in the order of their products that takes fewer
operations at the size of their input, or in that of --order.
"""

from glore_mm.utils.cli import add_cfg_options, cli_entry_point, make_parser


@cli_entry_point
def main() -> None:
    """Parse, count, print a row per config."""
    parser = make_parser(__doc__)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument(
        '--order',
        choices=['direct', 'reassociated'],
        help="the order of the units' products (default: as they run)",
    )
    add_cfg_options(parser)
    args = parser.parse_args()

    from glore_mm.apis.cost import network_cost
    from glore_mm.apis.tasks import get_task
    from glore_mm.config.build import build_model
    from glore_mm.config.load import load_config
    from glore_mm.insertion import find_units

    rows = ['| config | input | parameters | GMACs | units: parameters | GMACs |']
    rows.append('|---|---|---|---|---|---|')
    for path in args.configs:
        cfg = load_config(path, args.cfg_options)
        shape = list(get_task(cfg).example_inputs(cfg)['inputs'].squeeze().shape)
        # the channels; (T, 3, H, W) of 2D networks for video
        del shape[1 if len(shape) == 4 and shape[1] == 3 else 0]
        size = '×'.join(map(str, shape))
        model = build_model(cfg)
        if args.order:
            for unit in find_units(model).values():
                unit.order = args.order
        cost = network_cost(cfg, model)
        rows.append(
            f'| {path} | {size} | {cost.parameters:,} | {cost.macs / 1e9:.3f} '
            f'| {cost.unit_parameters:,} | {cost.unit_macs / 1e9:.3f} |'
        )
    print('\n'.join(rows))


if __name__ == '__main__':
    main()
