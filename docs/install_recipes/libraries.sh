# The tools and the inferencer that mmsegmentation brings; its config names glore_mm.
python3 -m venv venv

venv/bin/pip install --quiet "./glore_mm-0.1.0-py3-none-any.whl[all]" "setuptools<82"

venv/bin/python -m glore_mm.synthetic.mini_cityscapes data --num-train 4 --num-val 2

cat > mine.py <<'END'
_base_ = 'mmseg::fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py'
custom_imports = dict(imports=['glore_mm.seg'])
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(128, 256)),
    decode_head=dict(type='GloReHead', num_states=32, num_nodes=16, concat_input=False))
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(crop_size=(128, 256))
train_dataloader = dict(dataset=dict(data_root='data', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root='data'))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2))
END

venv/bin/python venv/lib/python3*/site-packages/mmseg/.mim/tools/train.py mine.py

venv/bin/python venv/lib/python3*/site-packages/mmseg/.mim/tools/test.py mine.py work_dirs/mine/iter_2.pth

cat > ask.py <<'END'
import glore_mm  # first, where mmcv is mmcv-lite
from mmseg.apis import MMSegInferencer
inferencer = MMSegInferencer('mine.py', 'work_dirs/mine/iter_2.pth', device='cpu')
inferencer('data/leftImg8bit/val/lindau', out_dir='out')
END
venv/bin/python ask.py

find out -type f
