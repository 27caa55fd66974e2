"""Run a fuzz test with coverage guidance, by atheris.

python scripts/fuzz_with_atheris.py TARGET

The cases are those of the test; atheris selects them by the lines of the reader that
they reach. So a target needs a reader in Python: lists, pickles in checkpoints. The
readers of images, videos and zip files are C extensions, and those of configs are
mostly constructors of other packages.
"""

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

import atheris

#: Test file and reader module of each target.
TARGETS = {
    'lists_of_samples': ('test_fuzz_lists', 'glore_mm.utils.annotations'),
    'files_of_classes': ('test_fuzz_lists', 'glore_mm.utils.annotations'),
    'annotations_of_kinetics': ('test_fuzz_lists', 'glore_mm.utils.kinetics'),
    'hostile_pickles': ('test_fuzz_checkpoints', 'torch._weights_only_unpickler'),
}


def main() -> None:
    """Parse the arguments, instrument the reader, run the target."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n')[0],
        epilog='Further arguments are those of libFuzzer.',
    )
    parser.add_argument('target', choices=TARGETS)
    parser.add_argument('--seconds', type=int, default=60, help='default: 60')
    args, rest = parser.parse_known_args()

    tests = Path(__file__).parent.parent / 'tests'
    sys.path[:0] = [str(tests / 'fuzz'), str(tests / 'helpers')]
    module, reader = TARGETS[args.target]
    with atheris.instrument_imports(include=[reader]):
        importlib.import_module(reader)
    importlib.import_module('fuzzing').Guard.here = True
    module = importlib.import_module(module)
    if hasattr(module, 'write_folders'):
        module.write_folders()
    options = [f'-max_total_time={args.seconds}', '-max_len=8192', '-rss_limit_mb=8000']
    options += [f'-artifact_prefix={tempfile.gettempdir()}/', *rest]
    target = getattr(module, f'test_{args.target}').hypothesis.fuzz_one_input
    atheris.Setup([sys.argv[0], *options], target)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
