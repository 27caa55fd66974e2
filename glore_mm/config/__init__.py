"""Reading a config, checking it, building what it describes."""

import glore_mm.utils  # noqa: F401
