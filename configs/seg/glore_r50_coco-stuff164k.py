# FCN + 1 GloRe unit, ResNet-50, on COCO-Stuff 164k.
_base_ = './fcn_r50_coco-stuff164k.py'

model = dict(decode_head=dict(type='GloReHead'))
