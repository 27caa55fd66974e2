# One unit on the stem's output, earlier than in the paper. With 8 nodes it costs 0.019
# GMACs.
_base_ = './glore_r50_8x8_kinetics400.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=('input',))))
