# FCN + 1 GloRe unit, ResNet-50, with mmsegmentation's recipe. The release reports 79.5
# class IoU on Cityscapes test; its recipe is not public.
_base_ = [
    '../_base_/models/glore_r50-d8.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]
