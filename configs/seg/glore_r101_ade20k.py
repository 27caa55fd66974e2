# FCN + 1 GloRe unit, ResNet-101, on ADE20K: 512×512, 80k iterations with 4 images per
# GPU.
_base_ = [
    '../_base_/models/glore_r50-d8.py',
    'mmseg::_base_/datasets/ade20k.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(depth=101),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
