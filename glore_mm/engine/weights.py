"""Load weights; check their keys and shapes against the model."""

import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader
from torch import nn

from glore_mm.checkpoints.conversion import is_released
from glore_mm.checkpoints.files import get_state_dict, read_checkpoint
from glore_mm.checkpoints.pypi import PREFIX
from glore_mm.config.build import build_model, walk_config
from glore_mm.config.checks import check_same_classes
from glore_mm.config.datasets import dataset_metainfo, first_dataset
from glore_mm.config.heads import check_heads
from glore_mm.utils.errors import UserError, error_message


def read_any_checkpoint(path: str) -> dict[str, Any]:
    """Read a checkpoint from a path or a URL, such as torchvision://….

    Raises:
        UserError: The checkpoint cannot be read.
    """
    if not isinstance(path, str):
        raise UserError(f'load_from must be a path or a URL, found {path!r}')
    if '://' not in path:
        return read_checkpoint(osp.expanduser(path))
    try:
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except UserError:
        raise
    except Exception as error:  # such as an unknown name after torchvision://
        raise UserError(f'{path} cannot be loaded: {error_message(error)}') from error


def load_network(cfg: Config, path: str) -> tuple[BaseModel, Sequence[str]]:
    """Build the network of a config with the weights of a checkpoint.

    Args:
        cfg (Config): From `load_config`.
        path (str): The checkpoint.

    Returns:
        tuple[BaseModel, Sequence[str]]: The network, in evaluation mode, and the names
        of its classes.

    Raises:
        UserError: See `load_weights`; or the network cannot be built.
    """
    model = build_model(cfg)
    return model.eval(), load_weights(cfg, model, path)


def load_weights(cfg: Config, model: nn.Module, path: str) -> Sequence[str]:
    """Load a checkpoint into the network of a config, and return its classes.

    Args:
        cfg (Config): From `load_config`; the classes are those of its test set if the
            checkpoint has none.
        model (nn.Module): The network.
        path (str): The checkpoint.

    Returns:
        Sequence[str]: The names of the classes.

    Raises:
        UserError: The file is missing, cannot be read, or has the weights of another
            network, or its classes are not those of the config.
    """
    content = read_any_checkpoint(path)
    check_state_dict(cfg, model, content, path)
    classes = _find_classes(cfg, content, path)
    # not strict: old checkpoints lack num_batches_tracked of batch norms
    model.load_state_dict(get_state_dict(content, path), strict=False)
    return classes


def check_state_dict(
    cfg: Config, model: nn.Module, content: dict[str, Any], path: str
) -> None:
    """Make sure that a checkpoint has the weights of the network of a config.

    Args:
        cfg (Config): The config, for the message.
        model (nn.Module): The network of the config.
        content (dict): The content of the checkpoint.
        path (str): The checkpoint, for the message.

    Raises:
        UserError: Weights are missing, unknown or of another shape.
    """
    state = {key: value.shape for key, value in get_state_dict(content, path).items()}
    own = {key: value.shape for key, value in model.state_dict().items()}

    differences = {
        'missing': [k for k in own if k not in state and 'num_batches' not in k],
        'not of this network': [k for k in state if k not in own],
        'of another shape': [k for k in own if state.get(k, own[k]) != own[k]],
    }
    found = [
        f'{len(keys)} {what} (such as {keys[0]})'
        for what, keys in differences.items()
        if keys
    ]
    if found:
        raise UserError(
            f'{path} is the checkpoint of another network than {cfg.filename} builds: '
            f'{"; ".join(found)}. Give the config that it was trained with.'
            + _advice(state)
        )


def check_initial_weights(cfg: Config) -> None:
    """Make sure that initial weights can be read, and `load_from` fits the network.

    The networks may differ in part, as in fine-tuning. Of `init_cfg`, local files and
    packages are read.

    Raises:
        UserError: The network cannot be built, a file cannot be read, or `load_from`
            has no weights for the network.
    """
    network = build_model(cfg).state_dict()
    for key, node in walk_config(cfg.model, 'model'):
        if isinstance(node, Mapping) and node.get('type') == 'Pretrained':
            path = str(node.get('checkpoint'))
            try:
                if path.startswith(PREFIX) or '://' not in path:
                    read_any_checkpoint(path)
            except UserError as error:
                raise UserError(f'{cfg.filename}: {key}: {error}') from error
    if not cfg.get('load_from'):
        return
    state = get_state_dict(read_any_checkpoint(cfg.load_from), cfg.load_from)
    if not any(name in network for name in state):
        raise UserError(
            f'{cfg.load_from} has no weights for the network that {cfg.filename} '
            f'builds, such as {next(iter(network))}; it has {next(iter(state))}.'
            + _advice(state)
        )


def checkpoint_classes(content: dict[str, Any]) -> Sequence[str] | None:
    """Return the classes that a checkpoint was trained on; None if it has none.

    OpenMMLab 2.0 saves them in `dataset_meta`, 1.x and 0.x as `CLASSES`.
    """
    meta = content.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    dataset_meta = meta.get('dataset_meta')
    sources = [dataset_meta, meta] if isinstance(dataset_meta, Mapping) else [meta]
    found = (each.get(key) for each in sources for key in ('classes', 'CLASSES'))
    return next((names for names in found if names), None)


def _find_classes(cfg: Config, content: dict[str, Any], path: str) -> Sequence[str]:
    """Return the classes of a checkpoint, or else of the test set of a config.

    Raises:
        UserError: The two differ, the head has another number, or neither has any.
    """
    known, own = checkpoint_classes(content), None
    try:
        key, _ = first_dataset(cfg)
        own = dataset_metainfo(cfg).get('classes')
    except UserError:  # without the test set, the classes of the checkpoint are used
        if not known:
            raise
        key = 'the test set'
    check_same_classes({path: known, f'{key} of {cfg.filename}': own})
    classes = known or own
    if not classes:
        raise UserError(
            f'neither {path} nor the test set of {cfg.filename} has classes. '
            'Give test_dataloader.dataset.classes.'
        )
    check_heads(cfg, path if known else key, classes)
    return classes


def _advice(state: Mapping[str, object]) -> str:
    """Advise what to do with weights that do not fit the network."""
    if is_released(state):
        return (
            ' It has the parameter names of the GloRe release: convert it first, with '
            'tools/convert_checkpoint.py.'
        )
    if not any(name.startswith('backbone.') for name in state):
        return (
            " If it is only a backbone, such as torchvision's, load it in the config "
            "of the backbone: init_cfg=dict(type='Pretrained', checkpoint=…)."
        )
    return ''
