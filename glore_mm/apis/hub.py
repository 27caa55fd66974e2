"""Share trained networks on the Hugging Face Hub, with its model mixin."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from glore_mm.apis.export import input_normalization
from glore_mm.apis.tasks import get_task
from glore_mm.checkpoints.files import read_checkpoint, write_checkpoint
from glore_mm.config.build import build_model, get_by_path, walk_config
from glore_mm.config.load import TASKS, load_config
from glore_mm.engine.weights import load_weights
from glore_mm.insertion import find_units
from glore_mm.utils.errors import UserError

try:
    from huggingface_hub import (
        EvalResult,
        ModelCard,
        PyTorchModelHubMixin,
        constants,
        hf_hub_download,
    )
except ImportError as error:
    raise ImportError(
        "glore_mm.apis.hub needs huggingface_hub: pip install 'glore-mm[hub]'"
    ) from error

#: Types that a config from the Hub may build: those of this package's own configs. A
#: list is needed because mmengine imports and calls any name that is not registered.
TRUSTED = frozenset((
    'ActionDataPreprocessor', 'AvgConsensus', 'BN', 'BN1d', 'BN2d', 'BN3d',
    'ClsDataPreprocessor', 'Conv1d', 'Conv2d', 'Conv3d', 'ConvNeXt', 'CrossEntropyLoss',
    'CutMix', 'DepthwiseSeparableASPPHead', 'DualPathGloRe2d', 'EncoderDecoder',
    'FCNHead', 'GELU', 'GN', 'GloRe1d', 'GloRe2d', 'GloRe3d', 'GloReHead',
    'GlobalAveragePooling', 'I3DHead', 'ImageClassifier', 'InterpConv', 'LN',
    'LabelSmoothLoss', 'LastFrameHead', 'LinearClsHead', 'MixVisionTransformer',
    'Mixup', 'MultiLabelLinearClsHead', 'NLHead', 'NonLocal2d', 'NonLocal3d',
    'PreActResNet', 'PreActResNet3d', 'ReLU', 'Recognizer2D', 'Recognizer3D', 'ResNet',
    'ResNet3d', 'ResNet3dSlowFast', 'ResNet3dSlowOnly', 'ResNetTSM', 'ResNetV1c',
    'ResNetV1d', 'ResNet_CIFAR', 'SegDataPreProcessor', 'SegformerHead', 'SlowFastHead',
    'SwinTransformer', 'SwinTransformer3D', 'SyncBN', 'TIMMBackbone', 'TSMHead', 'UNet',
    'UPerHead', 'UniFormer', 'VisionTransformer', 'VisionTransformerClsHead',
    'WithBands', 'WithGloRe', 'mmpretrain.ConvNeXt', 'resnet3d',
))  # fmt: skip
#: Keys that load other weights. They are removed, as the network's own replace these.
_LOADING = frozenset(
    ('init_cfg', 'pretrained', 'pretrained2d', 'checkpoint', 'checkpoint_path')
)
_TAGS = dict(
    cls='image-classification', seg='image-segmentation', video='video-classification'
)
_CARD = """---
{{ card_data }}
---

# {{ name }}

A network for {{ task }} with global reasoning (GloRe) units, of glore-mm. It comes from
the config `{{ name }}`.

| | |
|---|---|
| Classes | {{ classes }} |
| Parameters | {{ parameters }} |
{% for path, unit in units.items() -%}
| Unit at `{{ path }}` | {{ unit.num_states }} states, {{ unit.num_nodes }} nodes |
{% endfor -%}
{% for metric, value in results.items() -%}
| {{ metric }} on {{ dataset }} | {{ value }} |
{% endfor %}
```python
import torch
from glore_mm.apis.hub import HubNetwork

network = HubNetwork.from_pretrained('…')  # this repository, or a folder
logits = network(torch.rand({{ shape }}) * 255)  # {{ what }}
```

`model.safetensors` is a checkpoint for `glore-test` and `glore-infer`, too.

Paper: [Graph-Based Global Reasoning Networks](https://arxiv.org/abs/1811.12814).
"""


class HubNetwork(
    nn.Module,
    PyTorchModelHubMixin,
    library_name='glore-mm',
    tags=['glore'],
    paper_url='https://arxiv.org/abs/1811.12814',
    model_card_template=_CARD,
):
    """The network of a config in the format of the Hugging Face Hub.

    `push_to_hub`, `save_pretrained` and `from_pretrained` are those of huggingface_hub.
    They store the network's config in config.json, its weights in model.safetensors
    and its model card in README.md. The weights have the same names as in a checkpoint,
    so `glore-test` and `glore-infer` take this file, too.

    Args:
        config (dict): From `from_checkpoint`: `name`, `default_scope`, `model`,
            `classes`; optionally `data_preprocessor`, `channels`, `dataset`, `results`.

    Attributes:
        model (nn.Module): The network of mmsegmentation, mmpretrain or mmaction2.

    Raises:
        UserError: The network cannot be built.
    """

    _mean: Tensor  # buffers
    _std: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        network = _with_tuples({key: config[key] for key in _parts(config)})
        cfg = Config(network, json.dumps(network), filename=config['name'])
        self._task = get_task(cfg)
        with DefaultScope.overwrite_default_scope(config['default_scope']):
            self.model = build_model(cfg)
        channels, mean, std = input_normalization(cfg)
        self._channels = config.get('channels', channels)
        self.register_buffer('_mean', torch.tensor(mean, dtype=torch.float32), False)
        self.register_buffer('_std', torch.tensor(std, dtype=torch.float32), False)

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return self.config['classes']

    @classmethod
    def from_checkpoint(
        cls,
        config: str | Path,
        checkpoint: str | Path,
        results: Mapping[str, float] | str | Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> 'HubNetwork':
        """Build a HubNetwork from a config and a checkpoint.

        Args:
            config (str | Path): The config file, or its name, as for the tools.
            checkpoint (str | Path): File with the weights.
            results (Mapping | str | Path, optional): Metrics for the model card, or the
                JSON file with the metrics of a test.
            options (Mapping, optional): Dotted keys of the config to override.

        Returns:
            HubNetwork: In evaluation mode.

        Raises:
            UserError: A file is missing or wrong, or the weights do not match the
                network.
        """
        cfg = load_config(config, dict(options or {}))
        if isinstance(results, str | Path):
            results = _read_results(results)
        parts = _plain({key: cfg[key] for key in _parts(cfg)})
        for _, node in walk_config(parts):
            # base configs of OpenMMLab packages repeat the default scope
            if isinstance(node, dict) and node.get('_scope_') == cfg.default_scope:
                del node['_scope_']
        network = cls(
            dict(
                name=str(config),
                classes=[],
                channels=input_normalization(cfg)[0],
                dataset=get_by_path(cfg, 'test_dataloader.dataset.type'),
                results=dict(results or {}),
                **parts,
            )
        )
        # in place, as the mixin's copy of the config shares this list
        network.classes.extend(load_weights(cfg, network.model, str(checkpoint)))
        return network.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of images or clips.

        Args:
            images (Tensor): (N, 3, H, W), or (N, 3, T, H, W) for a video network. RGB,
                0 to 255, any dtype, not normalised. With LoadBands: the bands of the
                file.

        Returns:
            Tensor: (N, classes), or (N, classes, H, W) from a segmentor.
        """
        if self._channels == 'BGR':
            images = images.flip(1)
        shape = (-1, *[1] * (images.dim() - 2))
        images = (images - self._mean.view(shape)) / self._std.view(shape)
        return self._task.logits(self.model, images)

    def generate_model_card(self, *args: object, **kwargs: object) -> ModelCard:
        """Create the model card from the config and the results of a test."""
        task = TASKS[self.config['default_scope']]
        info = self._hub_mixin_info
        data = copy.deepcopy(info.model_card_data)
        results, dataset = self.config.get('results') or {}, self.config.get('dataset')
        data.pipeline_tag = _TAGS[task]
        data.model_name = self.config['name']
        data.eval_results = [
            EvalResult(
                task_type=_TAGS[task],
                dataset_type=str(dataset).lower(),
                dataset_name=str(dataset),
                metric_type=metric,
                metric_value=value,
            )
            for metric, value in results.items()
        ]
        frames = (8,) if task == 'video' else ()
        values = 'bands' if self._channels == 'bands' else 'RGB, 0 to 255'
        given = dict(
            name=self.config['name'],
            task=_TAGS[task].replace('-', ' '),
            classes=f'{len(self.classes)}: {", ".join(self.classes[:20])}'
            + ('…' if len(self.classes) > 20 else ''),
            parameters=f'{sum(p.numel() for p in self.parameters()):,}',
            units=find_units(self.model),
            results=results,
            dataset=dataset,
            shape=', '.join(map(str, (1, self._mean.numel(), *frames, 224, 224))),
            what=f'{"clips" if frames else "images"}, {values}',
        )
        return ModelCard.from_template(
            data, template_str=info.model_card_template, **{**given, **kwargs}
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        about = dict(dataset_meta=dict(classes=self.classes))
        write_checkpoint(
            dict(state_dict=self.model.state_dict(), meta=about),
            str(save_directory / constants.SAFETENSORS_SINGLE_FILE),
        )

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        config: dict[str, Any] | None = None,
        map_location: str = 'cpu',
        strict: bool = True,
        trusted: Sequence[str] = (),
        **where: Any,
    ) -> 'HubNetwork':
        """Build the network and load its weights, for `from_pretrained`.

        Args:
            model_id (str): A folder, or a repository on the Hub.
            config (dict): Content of its config.json.
            map_location (str): Device.
            strict (bool): Whether missing and unexpected weights are an error.
            trusted (Sequence[str]): Further types that the config may build, in
                addition to `TRUSTED`: from_pretrained(…, trusted=['MyHead']).
            where: Arguments of hf_hub_download, such as the revision and the cache.
        """
        config = _check_config(config, model_id, TRUSTED.union(trusted))
        name = constants.SAFETENSORS_SINGLE_FILE
        folder = Path(model_id)
        if folder.is_dir():
            file = folder / name
        else:
            file = Path(hf_hub_download(model_id, name, **where))
        # files in the Hub's cache are symbolic links
        content = read_checkpoint(str(file.resolve() if file.exists() else file))
        network = cls(config)
        try:
            network.model.load_state_dict(content['state_dict'], strict=strict)
        except RuntimeError as error:
            raise UserError(
                f'{file} does not match its config.json: {error}'
            ) from error
        return network.to(map_location).eval()


def _parts(config: Mapping[str, Any]) -> list[str]:
    """Return the keys of a config that a network is built from."""
    keys = ('default_scope', 'model', 'data_preprocessor')
    return [key for key in keys if config.get(key) is not None]


def _plain(node: Any) -> Any:
    """Convert a config to JSON types, without the keys that load other weights."""
    if isinstance(node, Mapping):
        return {k: _plain(v) for k, v in node.items() if k not in _LOADING}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    if isinstance(node, str | int | float | None):
        return node
    raise UserError(f'{node!r} in the config cannot be written as JSON')


def _with_tuples(node: Any) -> Any:
    """Copy a config with lists of plain values as tuples, which JSON does not have.

    Some networks require tuples, and none requires lists.
    """
    if isinstance(node, dict):
        return {key: _with_tuples(value) for key, value in node.items()}
    if isinstance(node, list):
        values = [_with_tuples(value) for value in node]
        return values if any(isinstance(v, dict) for v in values) else tuple(values)
    return node


def _check_config(
    config: Any, model_id: str, trusted: frozenset[str]
) -> dict[str, Any]:
    """Check that an untrusted config builds nothing but trusted types.

    Raises:
        UserError: It builds other types, or is not a config of a HubNetwork.
    """
    where = f'{model_id}: {constants.CONFIG_NAME}'
    expected = dict(name=str, default_scope=str, model=dict, classes=list)
    for key, kind in expected.items():
        if not isinstance((config or {}).get(key), kind):
            raise UserError(
                f'{where} is not from a network of glore-mm: {key} must be a '
                f'{kind.__name__}. Expected what HubNetwork.save_pretrained writes.'
            )
    if config['default_scope'] not in TASKS:
        raise UserError(
            f'{where}: default_scope {config["default_scope"]!r} is unknown; expected '
            f'one of {", ".join(TASKS)}'
        )
    parts = _plain({key: config[key] for key in _parts(config)})
    for _, node in walk_config(parts):
        if not isinstance(node, dict):
            continue
        kind = node.get('type')
        if kind is not None and (not isinstance(kind, str) or kind not in trusted):
            raise UserError(
                f'{where} was not built: it has the type {kind!r}, which is not part '
                "of this package's own networks and could run untrusted code. If you "
                f'trust it: from_pretrained(…, trusted=[{kind!r}]).'
            )
        if hidden := [key for key in node if key.startswith('_')]:
            raise UserError(
                f'{where} was not built: {hidden[0]!r} is not allowed in it, as such '
                'keys change where mmengine looks up types. Remove it.'
            )
    return {**config, **parts}


def _read_results(path: str | Path) -> dict[str, float]:
    """Read the metrics from the JSON file of a test, without the times."""
    try:
        content = json.loads(Path(path).read_text())
        return {
            metric: round(float(value), 4)
            for metric, value in content.items()
            if metric not in ('time', 'data_time')
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f'{path} cannot be read as the results of a test: {error}. Expected the '
            'JSON file that glore-test writes into its work dir.'
        ) from error
