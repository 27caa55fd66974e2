"""Write images, complete and truncated."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def scene() -> Image.Image:
    """A smooth image, wider than high, unlike all of its rotations and flips."""
    y, x = np.mgrid[0:48, 0:64] / (48, 64)[0]
    rgb = np.stack([200 - 120 * x, 60 + 100 * y, 80 + 40 * x + 50 * y], axis=-1)
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def save(image: Image.Image, path: Path, **how) -> Path:
    image.save(path, **how)
    return path


def truncated(suffix: str) -> bytes:
    file = io.BytesIO()
    scene().resize((640, 480)).save(file, {'jpg': 'JPEG', 'png': 'PNG'}[suffix])
    return file.getvalue()[: len(file.getvalue()) * 2 // 3]
