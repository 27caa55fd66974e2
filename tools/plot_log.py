"""Draw the loss and the metrics of training runs from their logs.

python tools/plot_log.py work_dirs/fcn_mini work_dirs/glore_mini --out curves.png

It draws a panel for each key and a line for each run.
"""

from glore_mm.utils.cli import cli_entry_point, make_parser


@cli_entry_point
def main() -> None:
    """Parse, read, draw, print a line per run."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'work_dirs', nargs='+', metavar='WORK_DIR', help='folders that training wrote'
    )
    parser.add_argument(
        '--out', default='curves.png', help='picture to write (default: curves.png)'
    )
    parser.add_argument(
        '--keys',
        nargs='+',
        metavar='KEY',
        help='what to draw (default: loss, and all that validation measured)',
    )
    parser.add_argument(
        '--smooth',
        type=int,
        default=1,
        metavar='N',
        help='draw means over N logged values of training (default: 1)',
    )
    args = parser.parse_args()
    if args.smooth < 1:
        parser.error('--smooth must be at least 1')

    from glore_mm.analysis.logs import read_runs
    from glore_mm.visualization.curves import default_keys, draw_curves
    from glore_mm.visualization.figures import write_figure

    runs = read_runs(args.work_dirs)
    keys = args.keys or default_keys(runs)
    write_figure(draw_curves(runs, keys, args.smooth), args.out)
    for name, curves in runs.items():
        found = (curves[k].summary() if k in curves else f'no {k}' for k in keys)
        print(f'{name}: {" | ".join(found)}')
    print(f'picture: {args.out}')


if __name__ == '__main__':
    main()
