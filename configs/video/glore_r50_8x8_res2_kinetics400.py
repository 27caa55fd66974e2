# One unit on Res2, earlier than in the paper. With 64 nodes it costs 1.239 GMACs.
_base_ = './glore_r50_8x8_kinetics400.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=1)))
