"""Run a checkpoint on pictures or clips.

glore-infer CONFIG CHECKPOINT street.jpg
"""

import sys
from typing import Any

from glore_mm.utils.cli import cli_entry_point, make_inputs_parser
from glore_mm.utils.errors import UserError


@cli_entry_point
def main(doc: str | None = __doc__) -> None:
    """Parse, infer, print and write what was found."""
    parser = make_inputs_parser(doc)
    parser.add_argument(
        '--out-dir', help='write the inputs with the results drawn in here'
    )
    parser.add_argument('--json', metavar='FILE', help='write the results as JSON')
    parser.add_argument('--csv', metavar='FILE', help='write the results as CSV')
    parser.add_argument('--top-k', type=int, default=5, help='classes to report')
    parser.add_argument(
        '--global',
        dest='share_nodes',
        action='store_true',
        help='classify a long video in clips that share their nodes',
    )
    args = parser.parse_args()
    if args.top_k < 1:
        parser.error('--top-k must be at least 1')

    from glore_mm.apis.infer import infer
    from glore_mm.config.load import load_config
    from glore_mm.utils.atomic_write import write_csv, write_json

    cfg = load_config(args.config, args.cfg_options)
    records, unreadable = [], []
    try:
        for record in infer(
            cfg,
            args.checkpoint,
            args.inputs,
            args.out_dir,
            args.top_k,
            args.share_nodes,
        ):
            records.append(record)
            if 'error' in record:
                unreadable.append(record['error'])
                print(f'left out: {record["error"]}', file=sys.stderr, flush=True)
                continue
            print(f'{record["input"]}: {_best(record)}', flush=True)
            for clip in record.get('clips', ()):
                first, stop = clip['frames']
                span = f'frames {first} to {stop - 1}'
                if 'start' in clip:
                    span = f'{clip["start"]:g} to {clip["end"]:g} s'
                print(f'  {span}: {_best(clip)}')
    finally:  # also what was found before an interruption
        if args.json and records:
            write_json(args.json, records)
        if args.csv and records:
            rows = [
                dict(input=record['input'], rank=rank, **label)
                for record in records
                for rank, label in enumerate(record.get('classes', ()), start=1)
            ]
            write_csv(args.csv, ['input', 'rank', 'label', 'score'], rows)
    if unreadable:
        raise UserError(
            f'{len(unreadable)} of {len(records)} inputs could not be read, the first: '
            f'{unreadable[0]}'
        )


def _best(found: dict[str, Any]) -> str:
    return ', '.join(f'{c["label"]} {c["score"]:.1%}' for c in found['classes'])
