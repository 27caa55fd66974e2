# fcn_r18_custom.py with one unit in the head.
_base_ = './fcn_r18_custom.py'

model = dict(decode_head=dict(type='GloReHead'))
