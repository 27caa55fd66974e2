# long_range.py with two cues and two regions in a strip, which a network has to match
# by their shapes: do more nodes, a second unit or a longer training help?
_base_ = './long_range.py'

backbone, glore = _base_.backbone, _base_.glore
longer = dict(
    param_scheduler=[
        dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=0, end=1800, by_epoch=False)
    ],
    train_cfg=dict(max_iters=1800, val_interval=1800),
    default_hooks=dict(checkpoint=dict(interval=1800)),
)
modules = {
    name: dict(model=dict(backbone=dict(backbone, unit=unit, placement=placement)))
    for name, unit, placement in (
        ('glore_res4', glore, dict(layer3=1)),  # 16 nodes
        ('glore_res4_64-nodes', dict(glore, num_nodes=64), dict(layer3=1)),
        ('glore_res4_2-units', glore, dict(layer3=2)),
        ('non_local_res4', dict(type='NonLocal2d', reduction=2), dict(layer3=1)),
    )
}
variants = {
    '_delete_': True,
    'plain': dict(),
    **modules,
    **{f'{name}_longer': dict(module, **longer) for name, module in modules.items()},
}
