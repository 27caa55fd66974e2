"""Run a checkpoint on pictures or clips.

glore-infer CONFIG CHECKPOINT street.jpg
"""

from glore_mm.engine import (
    check_checkpoint,
    expand_inputs,
    inputs_parser,
    load_config,
    plain_errors,
    task_of,
    write_csv,
    write_json,
)


@plain_errors
def main() -> None:
    """Parse, infer, print and write what was found."""
    parser = inputs_parser(__doc__)
    parser.add_argument(
        '--out-dir', help='write the inputs with the results drawn in here'
    )
    parser.add_argument('--json', metavar='FILE', help='write the results as JSON')
    parser.add_argument('--csv', metavar='FILE', help='write the results as CSV')
    parser.add_argument('--top-k', type=int, default=5, help='classes to report')
    args = parser.parse_args()
    if args.top_k < 1:
        parser.error('--top-k must be at least 1')

    cfg = load_config(args.config, args.cfg_options)
    check_checkpoint(cfg, args.checkpoint)
    task = task_of(cfg)
    records = []
    files = expand_inputs(args.inputs, task.INPUT_SUFFIXES)
    try:
        for record in task.infer(cfg, args.checkpoint, files, args.out_dir, args.top_k):
            found = (f'{c["label"]} {c["score"]:.1%}' for c in record['classes'])
            print(f'{record["input"]}: {", ".join(found)}', flush=True)
            records.append(record)
    finally:  # what was found before an input that cannot be read
        if args.json and records:
            write_json(args.json, records)
        if args.csv and records:
            rows = [
                dict(input=record['input'], rank=rank, **found)
                for record in records
                for rank, found in enumerate(record['classes'], start=1)
            ]
            write_csv(args.csv, ['input', 'rank', 'label', 'score'], rows)
