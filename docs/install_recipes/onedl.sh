# OneDL's forks in the place of OpenMMLab's packages. They have other names, so glore-mm is
# installed without its dependencies; mmaction2 is OpenMMLab's.
python3 -m venv venv

venv/bin/pip install --quiet torch torchvision \
    onedl-mmengine onedl-mmcv onedl-mmsegmentation onedl-mmpretrain \
    safetensors av ftfy regex prettytable scipy timm decord einops

venv/bin/pip install --quiet --no-deps ./glore_mm-0.1.0-py3-none-any.whl mmaction2

venv/bin/python -m glore_mm.synthetic.mini_cityscapes data/mini_cityscapes --num-train 4 --num-val 2

venv/bin/python -m glore_mm.synthetic.mini_kinetics data/mini_kinetics --num-train 40 --num-val 8

venv/bin/glore-train glore_mm::seg/glore_mini.py --cfg-options train_cfg.max_iters=2

venv/bin/glore-test glore_mm::seg/glore_mini.py work_dirs/glore_mini/iter_2.pth

venv/bin/glore-train glore_mm::video/glore_mini.py --cfg-options train_cfg.max_epochs=1
