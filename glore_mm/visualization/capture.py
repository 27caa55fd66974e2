"""Capture the preprocessed input and the projections of a forward pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor

from glore_mm.utils.bands import picture_of_bands
from glore_mm.visualization.projections import ProjectionMaps, record_projections


@dataclass(frozen=True)
class CapturedRun:
    """Input and projections of a network's run on one image or on a clip of T frames.

    Attributes:
        result (Any): Return value of the run.
        frames (np.ndarray): The preprocessed input (resized, cropped, padded), uint8
            (T, H, W, 3), RGB.
        units (dict[str, ProjectionMaps]): Projections over the frames, by the path of
            the unit. Units over one dimension are left out.
    """

    result: Any
    frames: np.ndarray
    units: dict[str, ProjectionMaps]

    def maps_of(self, unit: str) -> np.ndarray:
        """Return the maps of a unit, float32 (K, T', h, w), with T' ≤ T.

        If the input has several clips, returns the maps of the first clip.
        """
        maps = self.units[unit].maps
        return maps[0] if maps.ndim == 5 else maps.swapaxes(0, 1)


def capture(
    model: BaseModel, run: Callable[[], Any], rgb: Sequence[int] | None = None
) -> CapturedRun:
    """Run a network and record its preprocessed input and its units' projections.

    A segmentor predicts the whole image, as each window would have its own maps.

    Args:
        model (BaseModel): A model of mmsegmentation, mmpretrain or mmaction2.
        run (Callable): Runs the model on one image or clip, or on frames one after
            another.
        rgb (Sequence[int], optional): For images with other bands than three: those to
            show as red, green and blue.

    Returns:
        CapturedRun: The frames and their maps.

    Raises:
        UserError: As for `record_projections`.
    """
    given = []
    hook = model.data_preprocessor.register_forward_hook(
        lambda module, args, output: given.append(output['inputs'])
    )
    try:
        with _whole_images(model), record_projections(model) as units:
            result = run()
    finally:
        hook.remove()
    frames = [_frames(inputs, model.data_preprocessor, rgb) for inputs in given]
    shown = {path: unit for path, unit in units.items() if unit.maps.ndim > 3}
    return CapturedRun(result, np.concatenate(frames), shown)


@contextmanager
def _whole_images(model: BaseModel) -> Iterator[None]:
    """Set a segmentor to predict whole images."""
    test_cfg = getattr(model, 'test_cfg', None)
    if not isinstance(test_cfg, dict) or 'mode' not in test_cfg:
        yield
        return
    model.test_cfg = ConfigDict(test_cfg, mode='whole')
    try:
        yield
    finally:
        model.test_cfg = test_cfg


def _frames(
    inputs: Tensor, preprocessor: BaseDataPreprocessor, rgb: Sequence[int] | None
) -> np.ndarray:
    """Convert a normalised batch of one sample to uint8 (T, H, W, 3), RGB."""
    x = inputs.float().cpu()
    if x.dim() == 6:  # (1, clips, 3, T, H, W) of 3D networks
        x = x[0, 0].transpose(0, 1)
    elif x.dim() == 5:  # (1, T, 3, H, W) of 2D networks for video
        x = x[0]
    if getattr(preprocessor, '_enable_normalize', False):
        mean, std = (
            t.float().cpu().flatten()[:, None, None]
            for t in (preprocessor.mean, preprocessor.std)
        )
        x = x * std + mean
    if rgb is not None:
        values = x.permute(0, 2, 3, 1).numpy()
        return np.stack([picture_of_bands(value, rgb) for value in values])
    # the flag's name differs by library; images are read as BGR, videos as RGB
    names = ('channel_conversion', '_channel_conversion', 'to_rgb')
    swapped = any(getattr(preprocessor, name, False) for name in names)
    if inputs.dim() == 4 and not swapped:
        x = x.flip(1)
    return x.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
