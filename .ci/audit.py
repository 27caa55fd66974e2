"""Ask pip-audit for what is known against the packages that are installed.

Fails on what .ci/advisories.txt does not list. Where the advisories cannot be reached,
it says so and fails nothing: then nothing was audited.
"""

import json
import subprocess
import sys
from pathlib import Path

ACCEPTED = Path(__file__).with_name('advisories.txt')


def main() -> None:
    """Audit, print what was found."""
    accepted = {
        line.split()[0]
        for line in ACCEPTED.read_text().splitlines()
        if line and not line.startswith('#')
    }
    options = ['--format', 'json', '--skip-editable', '--progress-spinner', 'off']
    command = [sys.executable, '-m', 'pip_audit', *options]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)['dependencies']
    except ValueError:
        packages = []
    audited = [package for package in packages if 'vulns' in package]
    if not audited:
        lines = done.stderr.strip().splitlines()
        reason = packages[0]['skip_reason'] if packages else lines[-1]
        sys.exit(print(f'pip-audit: NOT AUDITED, no advisories from here: {reason}'))
    found = [
        f'{package["name"]} {package["version"]}: {entry["id"]} {entry["aliases"]}, '
        f'fixed in {entry["fix_versions"] or "no release"}'
        for package in audited
        for entry in package['vulns']
        if accepted.isdisjoint([entry['id'], *entry['aliases']])
    ]
    print(f'pip-audit: {len(audited)} of {len(packages)} packages audited')
    if found:
        print(*found, sep='\n')
        sys.exit(f'Update these, or list in {ACCEPTED} why they do not matter here.')


if __name__ == '__main__':
    main()
