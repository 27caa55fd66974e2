"""Train a network without and with a GloRe unit on generated data, and compare them.

python tools/demo.py long_range

long_range: strips whose regions have the class of a distant cue. cls, video, seg: small
data sets in the layouts of ImageNet, Kinetics and Cityscapes.
"""

from pathlib import Path

from glore_mm.utils.cli import add_cfg_options, cli_entry_point, make_parser


@cli_entry_point
def main() -> None:
    """Parse, run the demo."""
    parser = make_parser(__doc__)
    parser.add_argument('demo', choices=['long_range', 'cls', 'video', 'seg'])
    parser.add_argument('--seed', type=int, default=0, help='(default: 0)')
    add_cfg_options(parser)
    args = parser.parse_args()

    from importlib import import_module

    from glore_mm.demos.comparison import run_demo

    demo = import_module(f'glore_mm.demos.{args.demo}').DEMO
    configs = Path(__file__).parent.parent / 'configs'
    run_demo(demo, args.demo, configs, args.cfg_options, args.seed)


if __name__ == '__main__':
    main()
