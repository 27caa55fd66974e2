"""Train and compare baseline and GloRe on a small generated data set.

python tools/demo.py seg | cls | video
"""

import importlib
from pathlib import Path

from glore_mm.utils.cli import add_cfg_options, cli_entry_point, make_parser


@cli_entry_point
def main() -> None:
    """Parse, run the demo of the task."""
    parser = make_parser(__doc__)
    parser.add_argument('task', choices=['seg', 'cls', 'video'])
    add_cfg_options(parser)
    args = parser.parse_args()

    demo = importlib.import_module(f'glore_mm.demos.{args.task}')
    demo.run(str(Path(__file__).parent.parent / 'configs'), args.cfg_options)


if __name__ == '__main__':
    main()
