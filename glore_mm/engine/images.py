"""What is wrong with an image file that Pillow does not read."""

from PIL import Image

from glore_mm.engine.skipping import Unreadable


def bad_image(
    path: str,
    error: Exception,
    advice: str = 'Fetch it again',
    what: str = 'an image',
) -> Unreadable:
    """The error for an image file, from the one that reading it ended in.

    Args:
        path (str): The file.
        error (Exception): What was raised; each format has its own.
        advice (str): What can help, where the file is there and is not too large.
        what (str): What it should have been.
    """
    if isinstance(error, FileNotFoundError):
        return Unreadable.of(path, 'no such file')
    if isinstance(error, Image.DecompressionBombError):
        advice = 'Make it smaller'
    # what Pillow says of a stream that it was given names the stream
    reason = str(error).split(' <_io')[0].strip() or type(error).__name__
    problem = f'cannot be read as {what}: {reason.splitlines()[0].rstrip(".")}'
    return Unreadable.of(path, problem, advice)
