# The tools and inferencers that mmpretrain and mmaction2 bring.
python3 -m venv venv

venv/bin/pip install --quiet "./glore_mm-0.1.0-py3-none-any.whl[all]" "setuptools<82"

venv/bin/python -m glore_mm.synthetic.mini_imagenet data/cls --num-train 20 --num-val 20

venv/bin/python -m glore_mm.synthetic.mini_kinetics data/video --num-train 4 --num-val 4

cat > cls.py <<'END'
_base_ = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
custom_imports = dict(imports=['glore_mm'])
model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(normalize=True),
        placement=dict(layer3=1)),
    head=dict(num_classes=10))
data_preprocessor = dict(num_classes=10)
images = dict(_delete_=True, type='CustomDataset', data_root='data/cls')
train_dataloader = dict(
    batch_size=10, dataset=dict(data_prefix='train', pipeline=_base_.train_pipeline, **images))
val_dataloader = dict(
    batch_size=10, dataset=dict(data_prefix='val', pipeline=_base_.test_pipeline, **images))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
END

venv/bin/python venv/lib/python3*/site-packages/mmpretrain/.mim/tools/train.py cls.py

venv/bin/python venv/lib/python3*/site-packages/mmpretrain/.mim/tools/test.py cls.py work_dirs/cls/epoch_1.pth

cat > ask.py <<'END'
from glob import glob
from mmpretrain import ImageClassificationInferencer
inferencer = ImageClassificationInferencer('cls.py', 'work_dirs/cls/epoch_1.pth', device='cpu')
print(inferencer(min(glob('data/cls/val/*/*')))[0]['pred_label'])
END
venv/bin/python ask.py

cat > video.py <<'END'
_base_ = 'mmaction::recognition/slowonly/slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb.py'
custom_imports = dict(imports=['glore_mm'])
model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(type='GloRe3d'),
        placement=dict(layer3=1)),
    cls_head=dict(num_classes=4))
lists = 'data/video/kinetics400_%s_list_videos.txt'
train_dataloader = dict(
    batch_size=2,
    dataset=dict(ann_file=lists % 'train', data_prefix=dict(video='data/video/videos_train')))
val_dataloader = dict(
    batch_size=2,
    dataset=dict(ann_file=lists % 'val', data_prefix=dict(video='data/video/videos_val')))
test_dataloader = dict(
    dataset=dict(
        ann_file=lists % 'val',
        data_prefix=dict(video='data/video/videos_val'),
        pipeline=_base_.val_pipeline))
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1))
END

venv/bin/python venv/lib/python3*/site-packages/mmaction/.mim/tools/train.py video.py

venv/bin/python venv/lib/python3*/site-packages/mmaction/.mim/tools/test.py video.py work_dirs/video/epoch_1.pth

cat > ask.py <<'END'
from glob import glob
from mmaction.apis.inferencers import ActionRecogInferencer
inferencer = ActionRecogInferencer('video.py', 'work_dirs/video/epoch_1.pth', device='cpu')
print(inferencer(min(glob('data/video/videos_val/*/*')))['predictions'][0]['pred_labels'])
END
venv/bin/python ask.py
