# An earlier level than the paper's: one unit on the stem's output. Its 8 nodes cost
# 0.019 GMACs.
_base_ = './glore_r50_8x8_kinetics400.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=('input',))))
