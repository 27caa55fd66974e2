_base_ = './plain_r50_imagenet.py'

model = dict(backbone=dict(depth=200))
