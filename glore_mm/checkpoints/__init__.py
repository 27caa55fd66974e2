"""Reading checkpoints safely, and converting those that others have released."""

import glore_mm.utils  # noqa: F401
