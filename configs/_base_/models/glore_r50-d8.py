# FCN + 1 GloRe unit, between the two convolutions of the head.
_base_ = './fcn_r50-d8.py'

model = dict(decode_head=dict(type='GloReHead'))
