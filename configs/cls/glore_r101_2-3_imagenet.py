# R101 (2, 3), with units in the places of the release's 3D network.
_base_ = './glore_r50_2-3_imagenet.py'

model = dict(backbone=dict(backbone=dict(depth=101)))
