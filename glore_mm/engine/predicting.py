"""A trained network and how to ask it, the same for every task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn


@dataclass(frozen=True)
class Predictor:
    """A network with its weights, in evaluation, on its device.

    Attributes:
        model (nn.Module): The network.
        predict (Callable[[str | np.ndarray], Any]): From the path of an input to what
            the model says of it; networks for images take an image itself, too, uint8
            (H, W, 3), RGB.
        ranked (Callable[[Any, int], list[dict]]): From that and a number to so many
            classes, the first ones first: `label`, `score`.
        of_videos (bool): Whether an input is a video as a whole.
    """

    model: nn.Module
    predict: Callable[[str | np.ndarray], Any]
    ranked: Callable[[Any, int], list[dict[str, Any]]]
    of_videos: bool = False
