"""Modules for OpenMMLab configs: GloRe1d, GloRe2d, GloRe3d, WithGloRe."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from mmengine.registry import MODELS
from torch import nn

from glore_mm import unit as plain
from glore_mm.insertion import find_inserted, insert_glore


class _Configured:
    """A unit whose layers are configured as in mmcv.

    Args:
        in_channels (int): See `glore_mm.unit.GloRe`, also for all other arguments.
        conv_cfg (dict, optional): Config of the convolutions over positions. Default:
            None, the convolution of torch.
        norm_cfg (dict, optional): Config of the norm; the types 'BN' and 'IN' become
            those for the dimensions of the unit. None leaves the norm out. Default:
            batch norm with the eps of the release.
    """

    _abbr_ = 'glore'  # name of the layer if mmcv's build_plugin_layer builds it
    dim: int

    def __init__(
        self,
        in_channels: int,
        *args: Any,
        conv_cfg: Mapping[str, Any] | None = None,
        norm_cfg: Mapping[str, Any] | None = dict(type='BN', eps=1e-4),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault('conv_layer', _conv_layer(conv_cfg, self.dim))
        kwargs.setdefault('norm_layer', _norm_layer(norm_cfg, self.dim))
        super().__init__(in_channels, *args, **kwargs)  # type: ignore[call-arg]


@MODELS.register_module()
class GloRe1d(_Configured, plain.GloRe1d):
    """`glore_mm.GloRe1d` with `conv_cfg` and `norm_cfg`."""


@MODELS.register_module()
class GloRe2d(_Configured, plain.GloRe2d):
    """`glore_mm.GloRe2d` with `conv_cfg` and `norm_cfg`."""


@MODELS.register_module()
class GloRe3d(_Configured, plain.GloRe3d):
    """`glore_mm.GloRe3d` with `conv_cfg` and `norm_cfg`."""


@MODELS.register_module()
def WithGloRe(  # noqa: N802, reads as a type in a config
    backbone: Mapping[str, Any],
    placement: Mapping[str, int | Sequence[int | str]] | Sequence[str],
    unit: Mapping[str, Any] | None = None,
    layout: str | None = None,
    num_prefix_tokens: int | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a backbone with global reasoning units after its blocks.

    The units keep their own initialisation when `init_weights` of the backbone is
    called. `frozen_stages` and `norm_eval` are meant for pretrained layers, so units
    ignore them: they train also in frozen stages.

    Example::

        backbone=dict(
            type='WithGloRe',
            backbone=dict(type='ResNet', depth=50),
            placement=dict(layer2=2, layer3=3))     # R50 (2, 3) of the paper

    Args:
        backbone (dict): Config of the backbone, or of another part of a network such as
            a decode head, from any library.
        placement: See `insert_glore`.
        unit (dict, optional): Config of the units, without `in_channels`. The type can
            be any registered block that takes `in_channels`. Default type: GloRe1d,
            GloRe2d or GloRe3d, as the network needs.
        layout: See `insert_glore`.
        num_prefix_tokens: See `insert_glore`.
        kwargs: Further arguments of the backbone, which override those in its config. A
            model may add them, as mmsegmentation does with `pretrained`.

    Returns:
        nn.Module: The backbone itself.

    Raises:
        TypeError: `backbone` is not a config.
        ValueError: See `insert_glore`.
    """
    if not isinstance(backbone, Mapping) or 'type' not in backbone:
        raise TypeError(
            f"WithGloRe: backbone must be a config with a 'type', got {backbone!r}"
        )

    def make_unit(dim: int, **cfg: Any) -> nn.Module:
        return MODELS.build(dict(dict(type=f'GloRe{dim}d'), **cfg))

    net = MODELS.build({**backbone, **kwargs})
    insert_glore(net, placement, unit, layout, num_prefix_tokens, make_unit)
    # a nested WithGloRe, for stages with different units, has set it already
    plain_class: Any = getattr(net, 'plain_class', type(net))
    net.__class__ = _with_units(plain_class)
    net.train(net.training)  # a backbone freezes its stages in train()
    return net


class _WithUnits(nn.Module):
    """The methods that a backbone with units overrides."""

    plain_class: type

    def init_weights(self, *args: Any, **kwargs: Any) -> None:
        """Initialise the backbone, then its units.

        The libraries set the weights of all norms to 1: units would no longer be the
        identity. Units with weights from a pretrained checkpoint are left alone.
        """
        # a backbone of your own need not have the method
        init: Callable[..., None] = getattr(
            super(), 'init_weights', lambda *_, **__: None
        )
        if getattr(self, 'is_init', False):
            return init(*args, **kwargs)
        loaded = set()  # units with weights from a pretrained checkpoint

        def note_loaded(
            unit: Any, state: Mapping[str, Any], prefix: str, *_: Any
        ) -> None:
            if any(key.startswith(prefix) for key in state):
                loaded.add(unit)

        units: list[Any] = find_inserted(self)
        hooks = [  # public from torch 2.5 on
            unit._register_load_state_dict_pre_hook(note_loaded, with_module=True)
            for unit in units
        ]
        try:
            init(*args, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()
        for unit in units:
            if unit not in loaded and hasattr(unit, 'init_weights'):
                unit.init_weights()

    def train(self, mode: bool = True) -> Any:
        """Set the mode; `norm_eval` and `frozen_stages` do not apply to units."""
        units = find_inserted(self)
        flags = {p: p.requires_grad for unit in units for p in unit.parameters()}
        super().train(mode)
        for unit in units:
            unit.train(mode)
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        _, _, *state = cast(Any, super().__reduce_ex__(protocol))
        return _new, (self.plain_class,), *state


@functools.cache
def _with_units(plain: Any) -> Any:
    """Return a subclass of a backbone's class that overrides it by `_WithUnits`."""
    names = dict(__module__=plain.__module__, __qualname__=plain.__qualname__)
    bases = (_WithUnits, plain)
    return type(plain)(plain.__name__, bases, dict(names, plain_class=plain))


def _new(plain: type) -> Any:
    cls = _with_units(plain)
    return cls.__new__(cls)


def _norm_layer(
    cfg: Mapping[str, Any] | None, dim: int
) -> Callable[[int], nn.Module] | type[nn.Module]:
    if cfg is None:
        return nn.Identity
    from mmcv.cnn import build_norm_layer

    checked = _check_dim('norm_cfg', cfg, dim)
    return lambda features: build_norm_layer(checked, features)[1]


def _conv_layer(
    cfg: Mapping[str, Any] | None, dim: int
) -> Callable[..., nn.Module] | None:
    if cfg is None:
        return None
    from mmcv.cnn import build_conv_layer

    checked = _check_dim('conv_cfg', cfg, dim)
    return functools.partial(build_conv_layer, checked)


def _check_dim(key: str, cfg: Mapping[str, Any], dim: int) -> dict[str, Any]:
    """Return a config with a type that fits the number of dimensions of a unit."""
    if not isinstance(cfg, Mapping) or 'type' not in cfg:
        raise TypeError(f"GloRe{dim}d: {key} must be a dict with a 'type', got {cfg!r}")
    kind = cfg['type']
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', None)
    if name is None:
        raise TypeError(f'GloRe{dim}d: the type in {key}={cfg!r} is not a layer')
    own = re.search(r'([123])d$', name)
    if own and int(own[1]) != dim:
        raise ValueError(
            f'GloRe{dim}d: the type in {key}={cfg!r} is made for {own[1]} '
            f'dimension(s), the unit has {dim}; use type={name[:-2]!r}'
        )
    if name in ('BN', 'IN', 'Conv'):
        kind = f'{name}{dim}d'
    elif name == 'SyncBN':
        kind = nn.SyncBatchNorm  # a unit cannot fuse mmengine's subclass of it
    settings = {name: value for name, value in cfg.items() if name != '_scope_'}
    return dict(settings, type=kind)
