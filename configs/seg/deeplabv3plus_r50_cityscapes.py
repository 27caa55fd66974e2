# DeepLabV3+ on ResNet-50 with mmsegmentation's recipe. mmsegmentation reports 80.09
# mIoU on Cityscapes val.
_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(data_preprocessor=dict(size=(512, 1024)))
