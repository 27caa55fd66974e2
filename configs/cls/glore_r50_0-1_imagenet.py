# R50 (0, 1): one unit on Res4.
_base_ = './glore_r50_imagenet.py'

model = dict(backbone=dict(placement=dict(layer3=1)))
