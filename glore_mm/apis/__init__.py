"""One function for each thing that a tool does."""

import glore_mm.utils  # noqa: F401
