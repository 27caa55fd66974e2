"""Read checkpoints safely, and convert released checkpoints."""

import glore_mm.utils  # noqa: F401
