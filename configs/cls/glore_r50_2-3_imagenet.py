# R50 (2, 3): 78.2 top-1 in the release.
_base_ = './glore_r50_imagenet.py'

model = dict(backbone=dict(placement=dict(layer2=2, layer3=3)))
