# An earlier level than the paper's: one unit on the stem's output. Its 16 nodes cost
# 0.019 GMACs.
_base_ = './glore_r50_imagenet.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=('input',))))
