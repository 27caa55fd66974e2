# FCN + 1 GloRe unit, ResNet-101, on Pascal Context with the background as a class.
_base_ = './fcn_r101_pascal-context-60.py'

model = dict(decode_head=dict(type='GloReHead'))
