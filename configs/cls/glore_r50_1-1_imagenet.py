# R50 (1, 1): one unit on Res3, one on Res4.
_base_ = './glore_r50_imagenet.py'

model = dict(backbone=dict(placement=dict(layer2=1, layer3=1)))
