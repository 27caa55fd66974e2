"""Run a library's test suite on its installed version and group the failures by cause.

python scripts/upstream.py mmseg path/to/a/clone/of/mmsegmentation [--without]

The script copies PARTS of the clone to a temporary folder, and uses the installed
package instead of the clone's. Each Python process of the suite imports `glore_mm`, or
none with --without. Optional packages may be on the PYTHONPATH instead of being
installed.
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
#: Causes of failures, each with a pattern of the output; the first match counts.
CAUSES = {
    'The network': 'URLError|HTTPError|ConnectionError|ConnectTimeout|on the Hub',
    'An operator of the full mmcv': r'mmcv-lite|mmcv\._ext',
    'A checkpoint that weights_only refuses': 'Weights only load failed',
    'An optional package': "No module named '(?!numpy)|pip install|Please install",
    'A tool that is not beside the tests': "can't open file",
    'It hung, or ended the process': 'worker .* crashed',
}


def main() -> None:
    """Run one suite; print a row of a table and the failures by cause."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('package', help='name to import, such as mmseg')
    parser.add_argument('suite', type=Path, help='clone of its repository')
    parser.add_argument('--without', action='store_true', help='without glore_mm')
    parser.add_argument('--skip', nargs='*', default=[], help='tests to leave out')
    parser.add_argument('--limit', type=int, default=120, help='seconds per test')
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
    """Run the suite with one thread, in a process that is replaced if it hangs.

    Args:
        folder (Path): Folder of the suite and of the package. pytest writes report.xml
            there.
        skip (list[str]): Tests or folders of tests to leave out, relative to the
            folder.
        limit (int): Time limit of a test, in seconds.
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
    """Print a row of the table, and the failures by cause.

    Args:
        title (str): Name of the row.
        report (ElementTree.ElementTree): pytest's report.
    """
    counts = dict.fromkeys(('passed', 'failure', 'error', 'skipped'), 0)
    failures = defaultdict(list)
    for case in report.iter('testcase'):
        result = next((each for each in case if each.tag in counts), None)
        outcome = 'passed' if result is None else result.tag
        counts[outcome] += 1
        if result is not None and outcome != 'skipped':
            message = ' '.join(result.get('message', '').split())
            cause = find_cause(message + ''.join(case.itertext()))
            test = f'{case.get("classname")}.{case.get("name")}'.lstrip('.')
            failures[cause].append(f'- {test.removeprefix("tests.")}: {message[:200]}')
    print('| suite | passed | failed | errors | skipped |\n|---|---|---|---|---|')
    print(f'| {title} |', *(f'{count} |' for count in counts.values()))
    for cause, tests in sorted(failures.items()):
        print(f'\n{cause}: {len(tests)}', *sorted(tests), sep='\n')


def find_cause(text: str) -> str:
    """Return the first cause that matches the output of a test."""
    found = (cause for cause, pattern in CAUSES.items() if re.search(pattern, text))
    return next(found, 'A fault')


if __name__ == '__main__':
    main()
