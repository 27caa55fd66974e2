# R200 (2, 3): 79.7 top-1 in the release.
_base_ = './glore_r50_2-3_imagenet.py'

model = dict(backbone=dict(backbone=dict(depth=200)))
