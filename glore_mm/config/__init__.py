"""Read a config, check it, and build its parts."""

import glore_mm.utils  # noqa: F401
