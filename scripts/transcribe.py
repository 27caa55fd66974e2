"""Run installation recipes in an empty environment and write transcripts.

python scripts/transcribe.py docs/install_recipes/*.sh

A recipe is a shell script with commands that are separated by empty lines. They run in
a new folder with the wheel and the sdist. The transcript, `<recipe>.txt` in the same
folder, has each command, the last lines of its output and its time. If a command fails,
the transcript ends with its error.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from glore_mm.utils.atomic_write import write_text

ROOT = Path(__file__).parent.parent
LINES = 4  # lines of a command's output in the transcript


def main() -> None:
    """Run the recipes one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('recipes', type=Path, nargs='+')
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        dist = Path(folder)
        build = [sys.executable, '-m', 'build', '--outdir', dist, ROOT]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        for recipe in parser.parse_args().recipes:
            text, ok = follow(recipe, dist)
            write_text(recipe.with_suffix('.txt'), text)
            failed += [] if ok else [recipe.name]
            print(text, flush=True)
    if failed:
        sys.exit(f'failed: {", ".join(failed)}')


def follow(recipe: Path, dist: Path) -> tuple[str, bool]:
    """Run a recipe.

    Returns:
        tuple[str, bool]: The transcript; whether all commands succeeded.
    """
    version = f'Python {sys.version.split()[0]}'
    lines = [f'{date.today()}, {version}, {os.cpu_count()} CPU cores, no GPU', '']
    home = Path(tempfile.mkdtemp(prefix='recipe'))
    env = dict(
        HOME=str(home), PATH=f'{Path(sys._base_executable).parent}:/usr/bin:/bin'
    )
    try:
        for file in dist.iterdir():
            shutil.copy(file, home)
        for command in recipe.read_text().strip().split('\n\n'):
            start = time.monotonic()
            done = subprocess.run(
                ['bash', '-c', command],
                cwd=home,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            took = time.monotonic() - start
            first, *more = (
                line for line in command.splitlines() if not line.startswith('#')
            )
            printed = done.stdout.rstrip().splitlines()[-LINES:]
            lines += [f'$ {first}', *(f'> {line}' for line in more)]
            lines += [line[:150] for line in printed] + [f'[{took:.0f} s]', '']
            if done.returncode:
                lines[-2] += f' failed with exit code {done.returncode}'
                return '\n'.join([*lines, done.stdout[-3000:]]), False
        return '\n'.join(lines), True
    finally:
        shutil.rmtree(home)


if __name__ == '__main__':
    main()
