"""Show a network in the browser: drop a file, see the prediction and the nodes.

glore-demo CONFIG CHECKPOINT
"""

import time

from glore_mm.utils.cli import cli_entry_point, make_config_parser


@cli_entry_point
def main(doc: str | None = __doc__) -> None:
    """Parse, load the network, serve the page until Ctrl-C."""
    parser = make_config_parser(doc)
    parser.add_argument('checkpoint', help='weights')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen on; 0.0.0.0: other machines can open the page '
        '(default: 127.0.0.1, this machine only)',
    )
    parser.add_argument(
        '--port', type=int, help='(default: the first free one from 7860 on)'
    )
    parser.add_argument(
        '--max-size',
        type=int,
        default=100,
        metavar='MB',
        help='largest file that can be uploaded (default: 100)',
    )
    parser.add_argument(
        '--open', action='store_true', help='open the page in the browser'
    )
    args = parser.parse_args()
    if args.max_size < 1:
        parser.error('--max-size must be at least 1')

    from glore_mm.apis.browser_demo import BrowserDemo, serve
    from glore_mm.config.load import load_config

    cfg = load_config(args.config, args.cfg_options)
    demo = BrowserDemo(cfg, args.checkpoint)
    with serve(demo, args.host, args.port, args.max_size, args.open) as url:
        print(f'{url} shows {demo.name}; Ctrl-C ends it', flush=True)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            print('ended', flush=True)
