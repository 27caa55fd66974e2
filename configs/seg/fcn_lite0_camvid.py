# FCN on EfficientNet-Lite0, pretrained on ImageNet, on CamVid.
_base_ = [
    '../_base_/models/fcn_lite0.py',
    '../_base_/datasets/camvid.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/adamw_1k.py',
]

model = dict(data_preprocessor=dict(size=(180, 240)), decode_head=dict(num_classes=11))
