"""Run code in new Python processes."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from paths import ROOT


def python(*command, path=(), **environment):
    """Run Python with these folders on its path and no GPU; return its output."""
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
    """Run code in a new Python process; return the `seen` that the code filled."""
    code = f'import json\nseen = {{}}\n{textwrap.dedent(code)}\nprint(json.dumps(seen))'
    return json.loads(python('-c', code, **options).splitlines()[-1])


def write(path, text=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def of_rank(rank, config):
    """Return the process of a rank, followed by its data loading workers."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            arguments = (folder / 'cmdline').read_bytes().split(b'\0')
            environment = (folder / 'environ').read_bytes().split(b'\0')
            fields = (folder / 'stat').read_text().rpartition(')')[2].split()
        except OSError:  # the process has ended
            continue
        if f'RANK={rank}'.encode() in environment and str(config).encode() in arguments:
            found.append((int(fields[19]), int(folder.name)))  # start time
    return [number for _, number in sorted(found)]
