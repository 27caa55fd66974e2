# The network of `make demo-seg` with one unit in the head.
_base_ = './fcn_mini.py'

model = dict(decode_head=dict(type='GloReHead'))
