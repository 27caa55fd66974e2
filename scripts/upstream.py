"""Run a library's own test suite on the installed version of it, and sort what fails.

python scripts/upstream.py mmseg path/to/a/clone/of/mmsegmentation [--without]

Of the clone only PARTS are used. They are copied to a temporary folder, with the
installed package in the place of the clone's. `glore_mm` is imported in each Python
process that the suite starts or, with --without, in none. Optional packages that are
not to be installed may be on the PYTHONPATH.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PARTS = ('tests', 'configs', 'tools', 'demo', 'model-index.yml')
#: Causes of failures, each with what is then printed; the first that fits is taken.
CAUSES = {
    'The network': 'URLError|HTTPError|ConnectionError|ConnectTimeout|on the Hub',
    'An operator of the full mmcv': r'mmcv-lite|mmcv\._ext',
    'A checkpoint that weights_only refuses': 'Weights only load failed',
    'An optional package': "No module named '(?!numpy)|pip install|Please install",
    'A tool that is not beside the tests': "can't open file",
    'It hung, or ended the process': 'worker .* crashed',
}


def main() -> None:
    """Run one suite, and print a row of a table and the failures by cause."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('package', help='the name it is imported by, such as mmseg')
    parser.add_argument('suite', type=Path, help='folder that has its tests')
    parser.add_argument('--without', action='store_true', help='without glore_mm')
    parser.add_argument('--skip', nargs='*', default=[], help='tests to leave out')
    parser.add_argument('--limit', type=int, default=120, help='seconds for a test')
    args = parser.parse_args()
    spec = find_spec(args.package)
    if spec is None or spec.origin is None:
        parser.error(f'{args.package} is not installed')
    if not (args.suite / 'tests').is_dir():
        parser.error(f'{args.suite} has no folder tests')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in PARTS:
            if (args.suite / part).is_dir():
                shutil.copytree(args.suite / part, folder / part, symlinks=True)
            elif (args.suite / part).exists():
                shutil.copy(args.suite / part, folder)
        (folder / args.package).symlink_to(Path(spec.origin).parent)
        if not args.without:
            (folder / 'start').mkdir()
            (folder / 'start/sitecustomize.py').write_text('import glore_mm\n')
        run(folder, args.skip, args.limit)
        report = ElementTree.parse(folder / 'report.xml')
    print_results(args.package + (' without' if args.without else ''), report)


def run(folder: Path, skip: list[str], limit: int) -> None:
    """Run the suite with one thread, in a process that is replaced when it hangs.

    Args:
        folder: Folder of the suite and of the package; gets pytest's report.xml.
        skip: Tests or folders of tests to leave out, relative to the folder.
        limit: Seconds that a test may take.
    """
    command = [
        *(sys.executable, '-m', 'pytest', 'tests', '-n1', '-q', '--color=no'),
        *('--rootdir=.', '-c', os.devnull, '--junitxml=report.xml'),
        *('-o', 'junit_logging=all', '-o', f'faulthandler_timeout={limit}'),
        *('-o', 'faulthandler_exit_on_timeout=true'),
        *(f'--ignore={each}' for each in ['tests/data', *skip]),
    ]
    paths = [folder / 'start', folder, ROOT, os.environ.get('PYTHONPATH', '')]
    environment = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
        'PYTHONPATH': os.pathsep.join(map(str, paths)).rstrip(os.pathsep),
    }
    subprocess.run(command, cwd=folder, env=environment, stdout=sys.stderr)


def print_results(title: str, report: ElementTree.ElementTree) -> None:
    """Print a row of the table, and each failure below its cause.

    Args:
        title: What the row is called.
        report: What pytest wrote.
    """
    counts = dict.fromkeys(('passed', 'failure', 'error', 'skipped'), 0)
    failures = defaultdict(list)
    for case in report.iter('testcase'):
        result = next((each for each in case if each.tag in counts), None)
        outcome = 'passed' if result is None else result.tag
        counts[outcome] += 1
        if result is not None and outcome != 'skipped':
            message = ' '.join(result.get('message', '').split())
            cause = cause_of(message + ''.join(case.itertext()))
            test = f'{case.get("classname")}.{case.get("name")}'.lstrip('.')
            failures[cause].append(f'- {test.removeprefix("tests.")}: {message[:200]}')
    print('| suite | passed | failed | errors | skipped |\n|---|---|---|---|---|')
    print(f'| {title} |', *(f'{count} |' for count in counts.values()))
    for cause, tests in sorted(failures.items()):
        print(f'\n{cause}: {len(tests)}', *sorted(tests), sep='\n')


def cause_of(text: str) -> str:
    """Name the first cause that what a test has printed fits."""
    fits = (cause for cause, pattern in CAUSES.items() if re.search(pattern, text))
    return next(fits, 'A fault')


if __name__ == '__main__':
    main()
