"""What an ablation records of a config and of its data, to know them again."""

import hashlib
import json
import os.path as osp
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from glore_mm.config.build import build_part
from glore_mm.synthetic.writer import read_record
from glore_mm.utils.datasets import unwrap

# of data infos: files and labels
_PATH_KEYS = ('img_path', 'seg_map_path', 'filename', 'frame_dir')
_SAMPLE_KEYS = (*_PATH_KEYS, 'gt_label', 'label')


def config_digest(cfg: Config) -> str:
    """Hash a config without the paths of its data and its results."""

    def plain(node: object) -> object:
        if isinstance(node, Mapping):
            paths = ('work_dir', 'data_root')
            return {str(k): plain(v) for k, v in node.items() if k not in paths}
        return list(map(plain, node)) if isinstance(node, list | tuple) else node

    text = json.dumps(plain(cfg.to_dict()), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_data(cfg: Config) -> dict[str, Any]:
    """Return the record of generated data, or a digest of paths and image labels."""
    datasets = [
        dataset
        for loop in ('train', 'test')
        for dataset in unwrap(build_part(cfg, f'{loop}_dataloader.dataset', DATASETS))
    ]
    roots = [osp.abspath(getattr(each, 'data_root', None) or '') for each in datasets]
    if len(set(roots)) == 1 and (record := read_record(roots[0])):
        return record
    digest = hashlib.sha256()
    for dataset, root in zip(datasets, roots, strict=True):
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            known = {key: str(info[key]) for key in _SAMPLE_KEYS if key in info}
            for key in known.keys() & _PATH_KEYS:
                known[key] = osp.abspath(known[key]).removeprefix(root)
            digest.update(json.dumps(known).encode())
    return dict(samples=digest.hexdigest()[:16])
