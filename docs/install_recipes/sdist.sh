# The sdist in a new environment; training by a config that comes with it.
python3 -m venv venv

venv/bin/pip install --quiet "./glore_mm-0.1.0.tar.gz[cls]" mmcv-lite==2.1.0

venv/bin/python -m glore_mm.synthetic.mini_imagenet data/mini_imagenet --num-train 40 --num-val 20

venv/bin/glore-train glore_mm::cls/glore_mini.py --cfg-options train_cfg.max_epochs=1

venv/bin/glore-test glore_mm::cls/glore_mini.py work_dirs/glore_mini/epoch_1.pth
