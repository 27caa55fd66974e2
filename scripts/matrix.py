"""Install glore-mm in several environments and run the smoke tests in each.

python scripts/matrix.py docs/compatibility

An interrupted run resumes: cells that have been run for this version are not run again.
Delete cells.json to run all of them. uv creates each environment from a wheel and the
newest compatible packages, and the script removes it afterwards.
"""

import argparse
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import glore_mm
from glore_mm.utils.atomic_write import write_text

ROOT = Path(__file__).parent.parent
PYTHONS = ('3.10', '3.11', '3.12', '3.13')
#: Versions of torch, each with its version of torchvision.
TORCHES = {'2.4.1': '0.19.1', '2.8.0': '0.23.0', '2.15.0': '0.29.2'}
#: Packages to install after torch and torchvision, and then those without dependencies.
STACKS = {
    'OpenMMLab': (['{wheel}[all]'], []),
    'OneDL': (
        # the extras of glore-mm, without the packages that OneDL replaces
        ['onedl-mmengine', 'onedl-mmcv', 'onedl-mmsegmentation', 'onedl-mmpretrain',
         'safetensors', 'av', 'ftfy', 'regex', 'prettytable', 'scipy', 'timm>=1.0.31',
         'decord', 'einops'],
        ['{wheel}', 'mmaction2'],
    ),
}  # fmt: skip
SMOKE = ('test_smoke.py', 'test_unit.py', 'test_registry.py')
SHOWN = re.compile(r'(onedl-)?mm\w+(-lite)?|numpy|opencv-python|timm', re.IGNORECASE)
#: Time limit of the smoke tests, in seconds. They take two minutes on an idle machine.
LIMIT = 1800


def main() -> None:
    """Run the cells that are not in cells.json yet; write matrix.md after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, help='folder of cells.json and matrix.md')
    out = parser.parse_args().out
    file = out / 'cells.json'
    cells = json.loads(file.read_text()) if file.exists() else {}
    git = ['git', '-C', ROOT, 'rev-parse', '--short', 'HEAD']
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        # builds the wheel from the sdist; `--wheel` would pack files of an older build
        build = [sys.executable, '-m', 'build', '--outdir', folder, ROOT]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = Path(folder).glob('*.whl')
        for python, torch, stack in itertools.product(PYTHONS, TORCHES, STACKS):
            name = f'{stack}, Python {python}, torch {torch}'
            if cells.get(name, {}).get('version') == glore_mm.__version__:
                continue
            cells[name] = dict(
                version=glore_mm.__version__,
                commit=commit,
                date=str(date.today()),
                **run_cell(python, torch, stack, wheel),
            )
            print(f'{name}: {cells[name]["result"]}', flush=True)
            write_text(file, json.dumps(cells, indent=1) + '\n')
            write_text(out / 'matrix.md', make_table(cells))


def run_cell(python: str, torch: str, stack: str, wheel: Path) -> dict:
    """Create an environment, run the smoke tests in it, and remove it.

    Returns:
        dict: 'result', which is 'ok' if the tests passed; 'seconds', the time of the
        tests; 'packages', the installed versions.
    """
    folder = Path(tempfile.mkdtemp(prefix='cell'))
    bin = folder / 'venv' / 'bin'
    uv = [str(Path(sys.executable).with_name('uv')), '--quiet', '--no-progress']
    pip = [*uv, 'pip', 'install', '--python', str(bin / 'python')]
    needed, alone = ([each.format(wheel=wheel) for each in p] for p in STACKS[stack])
    steps = [
        [*uv, 'venv', '--no-python-downloads', '--python', python, bin.parent],
        [*pip, f'torch=={torch}', f'torchvision=={TORCHES[torch]}', *needed,
         'pytest', 'pytest-xdist'],
    ]  # fmt: skip
    if alone:
        steps.append([*pip, '--no-deps', *alone])
    try:
        for step in steps:
            done = run(step, folder)
            if done.returncode:
                return dict(result=f'not installed: {summarize_uv(done.stderr)}')
        freeze = run([*uv, 'pip', 'freeze', '--python', bin / 'python'], folder).stdout
        pinned = dict(re.findall(r'^([\w.-]+)==(.+)$', freeze, re.MULTILINE))
        packages = {n: v for n, v in pinned.items() if SHOWN.fullmatch(n)}
        # not `python -m pytest`, which would import glore_mm from the checkout
        tests = [str(ROOT / 'tests' / name) for name in SMOKE]
        start = time.monotonic()
        try:
            done = run(
                [bin / 'pytest', '-q', '-n', '2', '-p', 'no:cacheprovider', *tests],
                folder,
                LIMIT,
            )
        except subprocess.TimeoutExpired:
            return dict(result=f'more than {LIMIT} s', packages=packages)
        result = 'ok' if done.returncode == 0 else summarize_failures(done.stdout)
        seconds = round(time.monotonic() - start)
        return dict(result=result, seconds=seconds, packages=packages)
    finally:
        shutil.rmtree(folder)


def run(command: list, folder: Path, limit: float | None = None):
    """Run a command in a folder, without the Python paths of this environment."""
    hidden = ('VIRTUAL_ENV', 'PYTHONPATH', 'PYTHONHOME')
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    env.update(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='', HOME=os.environ['HOME'])
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=limit,
    )


def summarize_uv(output: str) -> str:
    """Return the cause in uv's error message, in one line."""
    line = re.sub(r'[\s│×╰─▶]+', ' ', output).strip()
    found = re.search(r'Because (.*?) and you require', line)
    return found[1] if found else line[:400]


def summarize_failures(output: str) -> str:
    """Return the failed tests, and the errors in the output except assertions."""
    failed = re.findall(r'^(?:FAILED|ERROR) \S*?(\w+\.py\S*)', output, re.MULTILINE)
    errors = re.findall(r'^E\s+((?:\w+\.)*\w*(?:[Ee]rror): .*)$', output, re.MULTILINE)
    others = [line for line in errors if not line.startswith('AssertionError')]
    lines = dict.fromkeys([', '.join(failed), *(line[:300] for line in others)])
    return f'failed: {" · ".join(lines)}' if failed else f'failed: {output[-300:]}'


def make_table(cells: dict) -> str:
    """Return a table for each stack, followed by the reasons of cells that failed."""
    days = sorted({cell['date'] for cell in cells.values()})
    lines = [f'glore-mm {glore_mm.__version__}, run on {" and ".join(days)}.', '']
    for stack in STACKS:
        head = ['torch', *(f'Python {python}' for python in PYTHONS)]
        lines += [f'### {stack}', '', make_row(head), make_row(['---'] * len(head))]
        notes = {}
        for torch in TORCHES:
            row = [torch]
            for python in PYTHONS:
                cell = cells.get(f'{stack}, Python {python}, torch {torch}')
                if cell is None:
                    row.append('not run')
                elif cell['result'] == 'ok':
                    row.append(f'ok, {cell["seconds"]} s')
                else:
                    number = notes.setdefault(cell['result'], len(notes) + 1)
                    row.append(f'{cell["result"].split(":")[0]} ({number})')
            lines.append(make_row(row))
        lines += ['', *(f'{number}. {note}' for note, number in notes.items()), '']
    return '\n'.join(lines)


def make_row(words: list[str]) -> str:
    """Return a row of a Markdown table."""
    return f'| {" | ".join(words)} |'


if __name__ == '__main__':
    main()
