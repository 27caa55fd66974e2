"""Python processes of their own, for what must be imported anew."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from paths import ROOT


def python(*command, path=(), **environment):
    """Runs Python with these folders on its path and no GPU; returns its output."""
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(map(str, [*path, ROOT])),
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
        **environment,
    }
    run = subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


def seen(code, **options):
    """Runs code in a fresh Python; returns the `seen` that it filled."""
    code = f'import json\nseen = {{}}\n{textwrap.dedent(code)}\nprint(json.dumps(seen))'
    return json.loads(python('-c', code, **options).splitlines()[-1])


def write(path, text=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def of_rank(rank, config):
    """The process of a run that has this rank, and then those that load its data."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            arguments = (folder / 'cmdline').read_bytes().split(b'\0')
            environment = (folder / 'environ').read_bytes().split(b'\0')
            fields = (folder / 'stat').read_text().rpartition(')')[2].split()
        except OSError:  # it has ended
            continue
        if f'RANK={rank}'.encode() in environment and str(config).encode() in arguments:
            found.append((int(fields[19]), int(folder.name)))  # when it was started
    return [number for _, number in sorted(found)]
