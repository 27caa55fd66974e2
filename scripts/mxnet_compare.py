"""Compare the logits of a converted network with those of MXNet.

python scripts/mxnet_compare.py configs/cls/glore_r50_2-3_imagenet.py FOLDER/r50_2-3

FOLDER is the output of scripts/mxnet_reference.py.
"""

import argparse
import tempfile

import numpy as np
import torch

from glore_mm.apis.convert import convert_checkpoint
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config


def main() -> None:
    """Convert, run in double precision, and print the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('prefix', help='path before -0000.params, -symbol.json, .npz')
    args = parser.parse_args()

    cfg = load_config(args.config)
    with tempfile.TemporaryDirectory() as folder:
        source = f'{args.prefix}-0000.params'
        done = convert_checkpoint(cfg, source, f'{folder}/ours.pth')
    model = build_model(cfg).double().eval()
    model.load_state_dict(done.state_dict)
    seen = np.load(f'{args.prefix}.npz')
    images, expected = map(torch.from_numpy, (seen['data'], seen['logits']))
    with torch.no_grad():
        found = model.head.fc(model.extract_feat(images.double())[-1])
    largest = (found - expected).abs().max()
    print(f'largest difference {largest:.1e}, largest logit {expected.abs().max():.1f}')


if __name__ == '__main__':
    main()
