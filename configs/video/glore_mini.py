# The network of `make demo-video` with units.
_base_ = './plain_mini.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(num_nodes=16),  # few, as there are few positions
        placement=dict(layer2=1, layer3=1),
    )
)
