"""Convert checkpoints between the GloRe release and this package."""

import os

from mmengine.config import Config

from glore_mm.checkpoints.conversion import Conversion, convert
from glore_mm.checkpoints.files import get_state_dict, write_checkpoint, write_digest
from glore_mm.checkpoints.imagenet import convert_imagenet
from glore_mm.checkpoints.mxnet import is_mxnet, read_mxnet_checkpoint
from glore_mm.config.build import build_model
from glore_mm.engine.weights import check_state_dict, read_any_checkpoint
from glore_mm.utils.errors import UserError


def convert_checkpoint(
    cfg: Config, source: str, output: str, format_only: bool = False
) -> Conversion:
    """Convert a checkpoint of the release for the network of a config, or back.

    Also writes the SHA-256 of the output to `<output>.sha256`.

    Args:
        cfg (Config): From `load_config`.
        source (str): File to convert.
        output (str): File to write, in safetensors format if it ends in `.safetensors`.
        format_only (bool): Change only the file format. The weights keep their names,
            which must be those of the network. Default: False.

    Returns:
        Conversion: The converted weights and a report.

    Raises:
        UserError: The file cannot be read or belongs to another network.
    """
    if os.path.realpath(source) == os.path.realpath(output):
        raise UserError(f'{output} would overwrite the file to convert')
    released = read_mxnet_checkpoint(source) if is_mxnet(source) else None
    content = {} if released else read_any_checkpoint(source)
    model = build_model(cfg)
    if released:
        done = convert_imagenet(released, model, source)
    elif format_only:
        check_state_dict(cfg, model, content, source)
        dropped = sorted({*content} - {'state_dict', 'meta'})
        if 'state_dict' not in content:
            dropped = []
        done = Conversion('ours', get_state_dict(content, source), dropped)
    else:
        done = convert(content, model.state_dict(), source)
    about = (content.get('meta') or {}).get('dataset_meta') or {}
    written = dict(state_dict=done.state_dict, meta=dict(dataset_meta=about))
    write_checkpoint(written, output)
    write_digest(output)
    return done
