# retinanet_r50_fpn_1x_coco.py with units in the backbone: two on Res3, three on Res4.
# For mmdetection's tools: mim train mmdet CONFIG; mim test mmdet CONFIG --checkpoint
# CHECKPOINT.
_base_ = './retinanet_r50_fpn_1x_coco.py'

custom_imports = dict(imports=['glore_mm'])
model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(normalize=True),
        placement=dict(layer2=2, layer3=3),
    )
)
