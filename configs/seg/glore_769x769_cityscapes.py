# glore_cityscapes.py with crops of 769×769, aligned corners and sliding-window tests,
# as in mmsegmentation's configs for this size.
_base_ = [
    '../_base_/models/glore_r50-d8.py',
    '../_base_/datasets/cityscapes_769x769.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(769, 769)),
    decode_head=dict(align_corners=True),
    auxiliary_head=dict(align_corners=True),
    test_cfg=dict(mode='slide', crop_size=(769, 769), stride=(513, 513)),
)
