"""The console scripts; tools/ has the same, and more, for a checkout."""

import sys

try:
    import glore_mm.utils  # noqa: F401
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}')
