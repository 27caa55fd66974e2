# An earlier level than the paper's: one unit on Res2. Its 64 nodes cost 0.310 GMACs.
_base_ = './glore_r50_imagenet.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=1)))
