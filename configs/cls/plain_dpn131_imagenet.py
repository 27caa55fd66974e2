_base_ = './plain_dpn98_imagenet.py'

model = dict(backbone=dict(model_name='dpn131'))
