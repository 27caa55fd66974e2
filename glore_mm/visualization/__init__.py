"""Pictures and pages: what units project, curves, comparisons."""

import glore_mm.utils  # noqa: F401
