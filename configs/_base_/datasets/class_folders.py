# Images of your own, data/custom/{train,val}/<class>/*. The folders of train are the
# classes. To use it: --cfg-options data_root=…
_base_ = './imagenet.py'

data_root = 'data/custom'
folders = dict(
    type='ClassFolders',
    data_root=data_root,
    classes=None,
    val_share=None,  # 0.2: split the class folders data/custom/<class>/* at random
    split_seed=0,
)
train_dataloader = dict(num_workers=2, dataset=folders)
val_dataloader = dict(num_workers=2, dataset=folders)
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1,))  # there may be fewer than five classes
test_evaluator = val_evaluator
