# Six more blocks on Res4 instead of three units, with slightly more operations than R50
# (0, 3).
_base_ = './plain_r50_imagenet.py'

model = dict(backbone=dict(stage_blocks=(3, 4, 12, 3)))
