# CamVid, 11 classes, on a small network from scratch. For weights from ImageNet:
# model = dict(pretrained='open-mmlab://resnet18_v1c')
_base_ = './fcn_camvid.py'

model = dict(decode_head=dict(type='GloReHead'))
