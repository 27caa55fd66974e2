"""Train and compare baseline and GloRe on a small generated data set.

python tools/demo.py seg | cls | video
"""

import importlib
from pathlib import Path

from glore_mm.engine import add_cfg_options, parser_of, plain_errors


@plain_errors
def main() -> None:
    """Parse, run the demo of the task."""
    parser = parser_of(__doc__)
    parser.add_argument('task', choices=['seg', 'cls', 'video'])
    add_cfg_options(parser)
    args = parser.parse_args()

    demo = importlib.import_module(f'glore_mm.{args.task}.demo')
    demo.run(str(Path(__file__).parent.parent / 'configs'), args.cfg_options)


if __name__ == '__main__':
    main()
