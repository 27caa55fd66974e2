# Six more blocks on Res4 instead of three units: as many operations as R50 (0, 3), and
# a few more.
_base_ = './plain_r50_imagenet.py'

model = dict(backbone=dict(stage_blocks=(3, 4, 12, 3)))
