# FCN + 1 GloRe unit, ResNet-101, on the 59 classes of Pascal Context.
_base_ = './fcn_r101_pascal-context.py'

model = dict(decode_head=dict(type='GloReHead'))
