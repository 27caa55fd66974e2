"""Follow recipes as a new user does, and write down what is seen.

python scripts/transcribe.py docs/install_recipes/*.sh

A recipe is a shell script. Its commands, parted by empty lines, run in a new folder
that has the wheel and the sdist, in an empty environment. `<recipe>.txt` beside it gets
each command, the end of what it printed, and how long it took. Where a command fails
the recipe ends, and so does its text, with the error.
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
LINES = 4  # of what a command printed


def main() -> None:
    """Follow the recipes, one after the other."""
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
        tuple[str, bool]: What is seen; whether all its commands succeeded.
    """
    version = f'Python {sys.version.split()[0]}'
    seen = [f'{date.today()}, {version}, {os.cpu_count()} CPU cores, no GPU', '']
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
            told = done.stdout.rstrip().splitlines()[-LINES:]
            seen += [f'$ {first}', *(f'> {line}' for line in more)]
            seen += [line[:150] for line in told] + [f'[{took:.0f} s]', '']
            if done.returncode:
                seen[-2] += f' failed with exit code {done.returncode}'
                return '\n'.join([*seen, done.stdout[-3000:]]), False
        return '\n'.join(seen), True
    finally:
        shutil.rmtree(home)


if __name__ == '__main__':
    main()
