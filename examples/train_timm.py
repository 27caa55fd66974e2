"""Train a ResNet of timm with GloRe units on images in class folders.

DATA has a folder for each class in train and in val, such as train/ants/1.jpg:

    python examples/train_timm.py DATA --pretrained --epochs 20

`--units 0 0` trains the network without units.
"""

import argparse
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.optim import param_groups_weight_decay

from glore_mm import insert_glore

parser = argparse.ArgumentParser()
parser.add_argument('data', type=Path, help='folder with train/CLASS and val/CLASS')
parser.add_argument('--model', default='resnet50', help='a ResNet of timm')
parser.add_argument('--units', type=int, nargs=2, default=(2, 3), help='layer2, layer3')
parser.add_argument('--pretrained', action='store_true', help='download weights')
parser.add_argument('--size', type=int, default=224, help='height and width of inputs')
parser.add_argument('--no-aug', action='store_true', help='no random crops and flips')
parser.add_argument('--batch', type=int, default=32, help='images per step')
parser.add_argument('--epochs', type=int, default=20)
parser.add_argument('--lr', type=float, default=1e-3, help='first learning rate')
parser.add_argument('--amp', action='store_true', help='compute in bfloat16')
parser.add_argument('--workers', type=int, default=2, help='processes that load images')
parser.add_argument('--out', type=Path, default=Path('net.pth'), help='checkpoint')


def main() -> None:
    """Train, and write a checkpoint after each epoch."""
    args = parser.parse_args()
    for folder in (args.data / 'train', args.data / 'val'):
        if not folder.is_dir():
            parser.error(f'there is no folder {folder}, with a folder for each class')
    torch.manual_seed(0)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')

    train_set = create_dataset('', args.data / 'train')
    classes = train_set.reader.class_to_idx
    val_set = create_dataset('', args.data / 'val', class_map=classes)
    if len(train_set) < args.batch:
        parser.error(f'--batch is {args.batch}, but train has {len(train_set)} images')

    net = timm.create_model(args.model, args.pretrained, num_classes=len(classes))
    layer2, layer3 = args.units
    insert_glore(net, dict(layer2=layer2, layer3=layer3), unit=dict(normalize=True))
    net.to(device)

    data = resolve_data_config(dict(img_size=args.size), model=net)
    options = {key: data[key] for key in ('input_size', 'interpolation', 'mean', 'std')}
    options.update(batch_size=args.batch, num_workers=args.workers, device=device,
                   persistent_workers=args.workers > 0)  # fmt: skip
    loader = create_loader(train_set, is_training=True, no_aug=args.no_aug, **options)
    val_loader = create_loader(val_set, crop_pct=data['crop_pct'], **options)

    optimizer = torch.optim.AdamW(param_groups_weight_decay(net, 0.05), lr=args.lr)
    steps = args.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=args.amp)

    for epoch in range(1, args.epochs + 1):
        net.train()
        for images, labels in loader:
            with autocast:
                loss = F.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

        net.eval()
        with torch.inference_mode(), autocast:
            right = sum((net(x).argmax(1) == y).sum().item() for x, y in val_loader)
        accuracy = right / len(val_set)
        print(f'epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.1%}', flush=True)
        state = dict(epoch=epoch, accuracy=accuracy, classes=classes)
        torch.save(dict(state, state_dict=net.state_dict()), args.out)


if __name__ == '__main__':
    main()
