"""Parameters and operations of the network of a config."""

import torch
from mmengine.config import Config
from mmengine.model import BaseModel

from glore_mm.analysis.cost import Cost, count_flops
from glore_mm.apis.tasks import get_task


def network_cost(cfg: Config, model: BaseModel) -> Cost:
    """Count parameters and operations for one input of the config's size.

    Counts from shapes, without computing values.

    Args:
        cfg (Config): From `load_config`.
        model (BaseModel): The network of the config. It loses its weights: it is moved
            to the meta device.

    Returns:
        Cost: Parameters and multiply-accumulate operations.
    """
    inputs = get_task(cfg).example_inputs(cfg)
    for name, value in inputs.items():
        if isinstance(value, torch.Tensor):
            inputs[name] = value.to('meta')
    return count_flops(model.to('meta'), **inputs)
