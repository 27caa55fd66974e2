# R200 (0, 3): 79.4 top-1 in the release.
_base_ = './glore_r50_imagenet.py'

model = dict(backbone=dict(backbone=dict(depth=200)))
