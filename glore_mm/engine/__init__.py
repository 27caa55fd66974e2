"""Training and testing with mmengine. Importing it registers classes for configs."""

import glore_mm.utils  # noqa: F401
from glore_mm.engine import (  # noqa: F401
    amp,
    class_balance,
    corrupt_samples,
    determinism,
    evaluation,
    loops,
)
from glore_mm.engine.hooks import checkpoint, node_visualization  # noqa: F401
