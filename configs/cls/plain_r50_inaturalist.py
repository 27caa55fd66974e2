# mmpretrain's ResNet-50 on iNaturalist, from scratch, with mmpretrain's recipe for
# ImageNet of 8 × 32 images. The default is the data set of 2018; for 2021:
#
#   python tools/train.py configs/cls/plain_r50_inaturalist.py \
#       --cfg-options data_root=data/inat2021 annotations={split}.json
_base_ = './postact_r50_8xb32_imagenet.py'

inaturalist = dict(
    type='INaturalist',
    data_root='data/inat2018',
    annotations='{split}2018.json',
    categories=None,  # categories.json: the names of the species of 2018
    classes=None,
)
# num_classes=None: the number of categories
model = dict(head=dict(num_classes=None))
data_preprocessor = dict(num_classes=None)
train_dataloader = dict(dataset=inaturalist)
val_dataloader = dict(dataset=inaturalist)
test_dataloader = val_dataloader
del inaturalist
