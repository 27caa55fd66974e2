# The 3D ResNet-50 of the release, fine-tuned on HMDB51. Give a converted Kinetics
# checkpoint as load_from.
_base_ = [
    '../_base_/models/plain_r50_3d.py',
    '../_base_/datasets/hmdb51.py',
    '../_base_/schedules/finetune_30e.py',
    '../_base_/video_runtime.py',
]

model = dict(cls_head=dict(num_classes=51))
