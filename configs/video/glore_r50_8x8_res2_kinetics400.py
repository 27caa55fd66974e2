# An earlier level than the paper's: one unit on Res2. Its 64 nodes cost 1.239 GMACs.
_base_ = './glore_r50_8x8_kinetics400.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=1)))
