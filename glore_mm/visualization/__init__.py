"""Projection maps, figures and HTML pages."""

import glore_mm.utils  # noqa: F401
