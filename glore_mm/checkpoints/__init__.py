"""Reading checkpoints safely, and converting those that others have released."""

from glore_mm.checkpoints.files import read_checkpoint, weights_of, write_checkpoint
from glore_mm.checkpoints.released import Conversion, convert

__all__ = ['Conversion', 'convert', 'read_checkpoint', 'weights_of', 'write_checkpoint']
