"""Cost of networks, training logs, comparisons of networks, checks of data sets."""

import glore_mm.utils  # noqa: F401
