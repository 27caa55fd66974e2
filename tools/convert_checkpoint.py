"""Convert a checkpoint of the GloRe release into ours, or ours into the release's form.

python tools/convert_checkpoint.py CONFIG resnet50_w-glore_2-3.tar glore.pth
"""

from glore_mm.utils.cli import cli_entry_point, make_config_parser


@cli_entry_point
def main() -> None:
    """Parse, convert, report what was converted and what was left out."""
    parser = make_config_parser(__doc__)
    parser.add_argument('checkpoint', help='file to convert, in either form')
    parser.add_argument(
        'output', help='file to write, in the other form (.pth or .safetensors)'
    )
    parser.add_argument(
        '--format-only',
        action='store_true',
        help='keep the names of the tensors, change the file format only',
    )
    args = parser.parse_args()

    from glore_mm.apis.convert import convert_checkpoint
    from glore_mm.config.load import load_config

    cfg = load_config(args.config, args.cfg_options)
    done = convert_checkpoint(cfg, args.checkpoint, args.output, args.format_only)
    print(f'{args.checkpoint}: {done.kind}, {len(done.state_dict)} tensors converted')
    if done.dropped:
        print(f'left out: {", ".join(done.dropped)}')
    if done.untouched:
        print(f'not in the file, initialised as before: {", ".join(done.untouched)}')
    print(f'written: {args.output}, and its SHA-256: {args.output}.sha256')


if __name__ == '__main__':
    main()
