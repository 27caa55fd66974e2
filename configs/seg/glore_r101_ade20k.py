# FCN + 1 GloRe unit, ResNet-101, on ADE20K.
_base_ = './fcn_r101_ade20k.py'

model = dict(decode_head=dict(type='GloReHead'))
