"""Capture the preprocessed input and the projections of a forward pass."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor

from glore_mm.visualization.projections import ProjectionMaps, record_projections


@dataclass(frozen=True)
class CapturedRun:
    """One image or clip of T frames as a network saw it.

    Attributes:
        result (Any): What running it returned.
        frames (np.ndarray): Resized, cropped and padded, uint8 (T, H, W, 3), RGB.
        units (dict[str, ProjectionMaps]): By the path of the unit, over the frames;
            units over one dimension are left out.
    """

    result: Any
    frames: np.ndarray
    units: dict[str, ProjectionMaps]

    def maps_of(self, unit: str) -> np.ndarray:
        """The maps of a unit, float32 (K, T', h, w); T' is T or a part of it.

        Of several clips of a video those of the first.
        """
        maps = self.units[unit].maps
        return maps[0] if maps.ndim == 5 else maps.swapaxes(0, 1)


def capture(model: BaseModel, run: Callable[[], Any]) -> CapturedRun:
    """Run a network and note what it saw and what its units projected.

    Args:
        model (BaseModel): A model of mmsegmentation, mmpretrain or mmaction2.
        run (Callable): Runs it: on one image or clip, or on frames one after another.

    Returns:
        CapturedRun: The frames and their maps.

    Raises:
        UserError: As `record_projections`.
    """
    given = []
    hook = model.data_preprocessor.register_forward_hook(
        lambda module, args, output: given.append(output['inputs'])
    )
    try:
        with record_projections(model) as units:
            result = run()
    finally:
        hook.remove()
    frames = [_frames(inputs, model.data_preprocessor) for inputs in given]
    shown = {path: unit for path, unit in units.items() if unit.maps.ndim > 3}
    return CapturedRun(result, np.concatenate(frames), shown)


def _frames(inputs: Tensor, preprocessor: BaseDataPreprocessor) -> np.ndarray:
    """From a batch of one to uint8 (T, H, W, 3): normalisation is undone."""
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
    # each library has its own name for it; images are read as BGR, videos as RGB
    names = ('channel_conversion', '_channel_conversion', 'to_rgb')
    swapped = any(getattr(preprocessor, name, False) for name in names)
    if inputs.dim() == 4 and not swapped:
        x = x.flip(1)
    return x.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
