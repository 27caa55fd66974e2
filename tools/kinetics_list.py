"""Write the list file of a downloaded split of Kinetics.

python tools/kinetics_list.py train.csv videos_train train_list.txt
"""

from glore_mm.utils.cli import cli_entry_point, make_parser


@cli_entry_point
def main() -> None:
    """Parse, write, print how many videos are missing."""
    parser = make_parser(__doc__)
    parser.add_argument('annotations', help='CSV file of the split')
    parser.add_argument('videos', help='folder of its videos')
    parser.add_argument('output', help='list file to write')
    parser.add_argument(
        '--classes',
        metavar='FILE',
        help='text file with one class name per line; default: Kinetics-400',
    )
    args = parser.parse_args()

    from glore_mm.utils.annotations import read_class_names
    from glore_mm.utils.kinetics import write_kinetics_list

    classes = read_class_names(args.classes, '') if args.classes else None
    listed, missing = write_kinetics_list(
        args.annotations, args.videos, args.output, classes
    )
    print(f'{args.output}: {listed} videos; {missing} of the CSV are not there')


if __name__ == '__main__':
    main()
