# plain_r18_multilabel.py with one unit in the middle of Res4.
_base_ = './plain_r18_multilabel.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layer3=1),
    )
)
