"""Training and testing with mmengine; importing it registers what configs name."""

import glore_mm.utils  # noqa: F401
from glore_mm.engine import (  # noqa: F401
    amp,
    checkpoint_hook,
    corrupt_samples,
    determinism,
    evaluation,
    loops,
    node_visualization_hook,
)
