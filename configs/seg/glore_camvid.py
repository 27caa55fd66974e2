# A small network with one unit, trained from scratch on CamVid with 11 classes. For
# ImageNet weights:
# model = dict(pretrained='open-mmlab://resnet18_v1c')
_base_ = './fcn_camvid.py'

model = dict(decode_head=dict(type='GloReHead'))
