# DPN-131 (2, 3): 80.3 top-1 in the release.
_base_ = './glore_dpn98_2-3_imagenet.py'

model = dict(backbone=dict(backbone=dict(backbone=dict(model_name='dpn131'))))
