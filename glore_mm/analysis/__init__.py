"""What networks cost, how they trained, how two of them compare."""

import glore_mm.utils  # noqa: F401
