"""Reading checkpoints safely, and converting those that others have released."""

from glore_mm.checkpoints.files import read_checkpoint, weights_of, write_checkpoint
from glore_mm.checkpoints.released import Conversion, convert, is_released

__all__ = [
    'Conversion',
    'convert',
    'is_released',
    'read_checkpoint',
    'weights_of',
    'write_checkpoint',
]
