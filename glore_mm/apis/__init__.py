"""The functions behind the command-line tools."""

import glore_mm.utils  # noqa: F401
