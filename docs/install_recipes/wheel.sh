# The wheel in a new environment, and a config of one's own.
python3 -m venv venv

venv/bin/pip install --quiet "./glore_mm-0.1.0-py3-none-any.whl[all]"

venv/bin/python -m glore_mm.synthetic.mini_cityscapes data --num-train 4 --num-val 2

cat > mine.py <<'END'
_base_ = 'mmseg::fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py'
custom_imports = dict(imports=['glore_mm'])
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(128, 256)),
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(normalize=True),
        placement=dict(layer3=1)))
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(crop_size=(128, 256))
train_dataloader = dict(dataset=dict(data_root='data', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root='data'))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=2, val_interval=2)
END

venv/bin/glore-train mine.py

venv/bin/glore-test mine.py work_dirs/mine/iter_2.pth

venv/bin/glore-infer mine.py work_dirs/mine/iter_2.pth data/leftImg8bit/val --out-dir out

ls out
