# The baseline: glore_cityscapes.py without a unit. mmsegmentation reports 73.61 mIoU on
# Cityscapes val for its FCN R50-D8 (512×1024, 80k) with concat_input=True.
_base_ = [
    '../_base_/models/fcn_r50-d8.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]
