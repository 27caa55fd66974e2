# TSM with a ResNet-50 and mmaction2's recipe. mmaction2 reports 62.72 top-1 with
# --views 2x3.
_base_ = [
    'mmaction::_base_/models/tsm_r50.py',
    '../_base_/datasets/sthv2_1x1x8.py',
    '../_base_/schedules/sthv2_tsm.py',
    '../_base_/video_runtime.py',
]

model = dict(cls_head=dict(num_classes=174))
