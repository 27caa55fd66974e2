# GloRe on the generated street scenes of `make demo`.
_base_ = './fcn_mini.py'

model = dict(decode_head=dict(type='GloReHead'))
