# fcn_lite0_camvid.py with one unit between the two convolutions of the head.
_base_ = './fcn_lite0_camvid.py'

model = dict(decode_head=dict(type='GloReHead'))
