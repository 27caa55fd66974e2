# timm's DPN-98.
_base_ = './plain_r50_imagenet.py'

model = dict(
    backbone=dict(_delete_=True, type='TIMMBackbone', model_name='dpn98'),
    head=dict(in_channels=2688),
)
