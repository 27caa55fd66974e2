"""Reading checkpoints safely, and converting those that others have released."""

import glore_mm._toolkit  # noqa: F401
from glore_mm.checkpoints.files import (
    read_checkpoint,
    weights_of,
    write_checkpoint,
    write_digest,
)
from glore_mm.checkpoints.loading import load_safely
from glore_mm.checkpoints.released import Conversion, convert, is_released

__all__ = [
    'Conversion',
    'convert',
    'is_released',
    'load_safely',
    'read_checkpoint',
    'weights_of',
    'write_checkpoint',
    'write_digest',
]
