# The network of `make demo` with one unit on Res4.
_base_ = './fcn_long_range.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layer3=1),
    )
)
