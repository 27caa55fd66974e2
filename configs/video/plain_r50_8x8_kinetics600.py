# plain_r50_8x8_kinetics400.py on Kinetics-600.
_base_ = [
    '../_base_/models/plain_r50_3d.py',
    '../_base_/datasets/kinetics600.py',
    '../_base_/schedules/kinetics400_release.py',
    '../_base_/video_runtime.py',
]

model = dict(cls_head=dict(num_classes=600))
