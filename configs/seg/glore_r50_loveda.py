# FCN + 1 GloRe unit, ResNet-50, on LoveDA.
_base_ = './fcn_r50_loveda.py'

model = dict(decode_head=dict(type='GloReHead'))
