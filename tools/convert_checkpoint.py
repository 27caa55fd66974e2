"""Convert a checkpoint of the GloRe release into ours, or ours into the release's form.

python tools/convert_checkpoint.py configs/video/glore_r50_8x8_kinetics400.py \
    resnet50-lite_3d_8x8_w-glore_2-3_ep-0000.pth glore_r50.pth
"""

from glore_mm.apis.convert import convert_checkpoint
from glore_mm.config.load import load_config
from glore_mm.utils.cli import cli_entry_point, make_config_parser


@cli_entry_point
def main() -> None:
    """Parse, convert, say what became of the file's content."""
    parser = make_config_parser(__doc__)
    parser.add_argument('checkpoint', help='file to convert, in either form')
    parser.add_argument(
        'output', help='file to write, in the other form (.pth or .safetensors)'
    )
    parser.add_argument(
        '--format-only',
        action='store_true',
        help='change the format alone, such as that of a trained checkpoint',
    )
    args = parser.parse_args()

    cfg = load_config(args.config, args.cfg_options)
    done = convert_checkpoint(cfg, args.checkpoint, args.output, args.format_only)
    print(f'{args.checkpoint}: {done.kind}, {len(done.state_dict)} tensors converted')
    if done.dropped:
        print(f'left out: {", ".join(done.dropped)}')
    if done.untouched:
        print(f'not in it, left to their initialisation: {", ".join(done.untouched)}')
    print(f'written: {args.output}, and its SHA-256: {args.output}.sha256')


if __name__ == '__main__':
    main()
