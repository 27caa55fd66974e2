# R50 (0, 5): five units on Res4.
_base_ = './glore_r50_imagenet.py'

model = dict(backbone=dict(placement=dict(layer3=5)))
