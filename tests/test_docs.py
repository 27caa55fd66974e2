"""What README and docs show does what they say: Python, configs, commands."""

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import io
import json
import re
import runpy
import shlex
import shutil
import sys
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from cls_benchmarks import write_benchmark, write_inaturalist
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from options import cfg_options
from paths import ROOT
from PIL import Image
from squares import write_squares
from video_benchmarks import write_video_benchmark

import glore_mm.seg  # noqa: F401, registers mmseg's backbones
from glore_mm.apis.convert import convert_checkpoint
from glore_mm.apis.export import SUFFIXES, export
from glore_mm.checkpoints.files import write_checkpoint
from glore_mm.config.build import build_model
from glore_mm.config.datasets import dataset_metainfo
from glore_mm.config.load import load_config
from glore_mm.config.options import parse_options
from glore_mm.insertion import find_units

TUTORIALS = sorted((ROOT / 'docs' / 'tutorials').glob('*.md'))
PAGES = sorted({*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')} - {*TUTORIALS})
_BLOCK = re.compile(r'^```([^\n`]*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
SHELL = '', 'bash', 'console'

#: Commands that are not run here, and why not. They are checked as all others are.
NOT_RUN = {
    'make demo*': 'installs gigabytes; tests/demos runs the rest, shorter',
    'make check': 'what CI runs first',
    'make help': 'lists the targets',
    'make evidence*': 'trains for an hour; test_long_range.py trains a part of it',
    'make docs': 'CI runs it',
    'make lint': 'CI runs it',
    'make test*': 'CI runs it',
    'make coverage': 'runs these tests',
    'make matrix': 'installs gigabytes, two dozen times',
    'make install-recipes': 'installs gigabytes, six times',
    'pip install *': 'installs gigabytes; test_packaging.py installs the wheel',
    'source .venv/bin/activate': 'chooses the Python that runs this',
    'python -c from torchvision.datasets import ImageNet; *': 'unpacks 150 GB',
    'python -m torch.distributed.run *': 'is several processes, as in test_fsdp.py',
    '*tools/dist_train.sh *': 'is several processes, as in test_distributed.py',
    'tools/slurm_train.sh *': 'needs Slurm; test_resume.py has a stand-in for it',
    'python tools/ablate.py *': 'trains for hours; test_ablate.py runs it, small',
    'python scripts/frozen_features.py *': 'trains for hours; test_frozen_features.py '
    'runs it, small',
    'python tools/visualize_nodes.py work_dirs/long_range/*': 'takes a network of an '
    'hour; nodes.md has the same command',
    'python tools/convert_checkpoint.py CONFIG FILE *': 'takes a file of the release; '
    'test_imagenet.py has small ones',
    'python tools/infer.py * --global': 'takes a long video; so test_long_videos.py',
    'glore-demo *': 'serves a page until Ctrl-C; test_browser_demo.py opens it',
    'python benchmarks/*': 'measures for long; test_benchmarks.py measures a little',
}


def all_blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block of a page."""
    return _BLOCK.findall(page.read_text())


def blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in all_blocks(page) if name == language]


def read_lines(text: str) -> list[list[str]]:
    """The words of each command of a block, without what it is commented with."""
    lines = text.replace('\\\n', ' ').splitlines()
    words = (shlex.split(line.removeprefix('$ '), comments=True) for line in lines)
    return [line for line in words if line]


def commands(page: Path) -> list[list[str]]:
    shells = (text for name, text in all_blocks(page) if name in SHELL)
    return [words for text in shells for words in read_lines(text)]


def why_not_run(words: list[str]) -> list[str]:
    """The entries of the table that a command matches."""
    return [pattern for pattern in NOT_RUN if fnmatch(' '.join(words), pattern)]


def named(pages, slow=()):
    """Pages to parametrize by; those with a name in `slow` are slow."""
    return [
        pytest.param(
            page,
            id=str(page.relative_to(ROOT).with_suffix('')),
            marks=pytest.mark.slow if page.stem in slow else (),
        )
        for page in pages
    ]


# ----------------------------------------------------------------------- Python


PYTHON = [p for p in PAGES if blocks(p, 'python')]


@pytest.mark.parametrize('page', named(PYTHON, slow=('export', 'huggingface')))
def test_python(page, tmp_path, monkeypatch):
    """The scripts of a page, one after the other, as they are read."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    if page.stem in ('export', 'huggingface'):
        write_exported()
    if page.stem in ('own_data', 'windows'):
        write_fields(Path('data/custom'))
    variables = {}
    for text in blocks(page, 'python'):
        if name := file_name(text):
            Path(name).write_text(text)
            if '_base_' in text:
                assert find_units(build_model(load_config(name)))
        elif '_base_' in text:
            config(text, page)
        else:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(text, f'{page.name}: {text[:40]!r}', 'exec'), variables)
            if 'custom_imports' in text:  # a part of a config
                init_default_scope('mmseg')
                assert find_units(MODELS.build(variables['model']['backbone']))


def file_name(text: str) -> str | None:
    """The file that a block is the content of, by its first line."""
    found = re.match(r'# (\w+\.py)\n', text)
    return found and found[1]


def write_exported() -> None:
    """The files that the pages on exports and on the Hub read."""
    cfg = load_config('glore_mm::cls/glore_mini.py', dict(classes=list('abcdefghij')))
    about = dict(dataset_meta=dict(classes=cfg.test_dataloader.dataset.classes))
    state = build_model(cfg).state_dict()
    write_checkpoint(dict(state_dict=state, meta=about), 'net.pth')
    for kind in SUFFIXES:
        export(cfg, 'net.pth', kind)
    Image.new('RGB', (96, 96)).save('image.png')


def config(text: str, page: Path) -> None:
    """Load and build a config of a page, which stands where the page says it does."""
    folder = ROOT / 'configs' / 'ablation' if "_base_ = '../" in text else Path()
    file = folder / f'from_{page.stem}.py'
    file.write_text(text)
    try:
        cfg = load_config(str(file))
    finally:
        file.unlink()
    units = find_units(build_model(cfg))
    assert units or 'variants' in text, text


# ------------------------------------------------------ commands, as they are read


@functools.cache
def help_of(tool: str) -> str:
    told = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(told),
        pytest.raises(SystemExit),
    ):
        patch.setattr(sys, 'argv', [tool, '--help'])
        if tool.startswith('glore_mm/'):
            name = tool.removesuffix('.py').replace('/', '.')
            importlib.import_module(name).main()
        patch.syspath_prepend((ROOT / tool).parent)
        runpy.run_path(str(ROOT / tool), run_name='__main__')
    return told.getvalue()


@pytest.mark.parametrize('page', named(p for p in PAGES + TUTORIALS if commands(p)))
def test_commands(page):
    """Programs, configs and options that a page names are there."""
    for words in commands(page):
        while re.match(r'[A-Z_]+=', words[0]):
            words = words[1:]
        match words:
            case ['make', target]:
                makefile = (ROOT / 'Makefile').read_text()
                assert re.search(rf'^{target}:', makefile, re.MULTILINE), target
            case ['python', '-m', module, *_]:
                assert importlib.util.find_spec(module), module
            case ['python', '-c', *_] | ['pip', 'install', *_] | ['source', _]:
                pass
            case ['python', tool, *rest] | [tool, *rest]:
                check_tool(tool, rest)


def check_tool(tool: str, words: list[str]) -> None:
    if tool.startswith('glore-'):
        tool = f'glore_mm/commands/{tool.removeprefix("glore-")}.py'
    assert (ROOT / tool).is_file(), tool
    for word in words:
        name = word.replace('glore_mm::', 'configs/')
        if re.fullmatch(r'configs/[\w/*.-]+\.py', name):
            assert list(ROOT.glob(name)), word
    program = re.sub(r'(dist|slurm)_(\w+)\.sh', r'\2.py', tool)
    for option in {word for word in words if re.match(r'--[a-z]', word)}:
        known = re.search(rf'{option}(?![\w-])', help_of(program))
        assert known, f'{tool} {option}'


def test_every_block_is_of_a_language_that_is_known():
    """A command in a block of any other would be neither run nor checked."""
    known = {*SHELL, 'python', 'py', 'text', 'bibtex'}  # py: lines of the package
    for page in PAGES + TUTORIALS:
        hidden = re.search(r'^( +```| *~~~)', page.read_text(), re.MULTILINE)
        assert not hidden, f'{page}: fences are three backticks at the margin'
        names = {name for name, _ in all_blocks(page) if not name.startswith('{')}
        assert names <= known, page


def test_what_is_not_run_is_there():
    matched = [why_not_run(words) for page in PAGES + TUTORIALS
               for words in commands(page)]  # fmt: skip
    assert {pattern for found in matched for pattern in found} == {*NOT_RUN}


# ------------------------------------------------------------ commands, as they run

#: What the pages call a config, by page.
CONFIG = dict(
    nodes='configs/seg/glore_mini.py',
    kinetics='configs/video/glore_r50_8x8_kinetics400.py',
    export='configs/cls/glore_mini.py',
    reliability='configs/seg/glore_mini.py',
    released='configs/cls/glore_r50_2-3_imagenet.py',
)
#: Options of the generators of data, for a few samples.
FEW = dict(
    mini_cityscapes='--num-train 4 --num-val 2 --size 48 96',
    mini_imagenet='--num-train 10 --num-val 10 --scale 0.2',
    mini_kinetics='--num-train 8 --num-val 4 --scale 0.25',
    long_range_strips='--num-train 4 --num-val 2',
)
#: Options of the examples, for a few steps.
FEW_STEPS = dict(train_timm='--size 64 --batch 4 --epochs 1 --workers 0')
#: Sizes of pictures and clips that the steps of a pipeline give.
SIZES = dict(
    seg=dict(
        RandomResize=dict(scale=(96, 48)),
        RandomCrop=dict(crop_size=(48, 96)),
        Resize=dict(scale=(96, 48)),
    ),
    cls=dict(
        RandomResizedCrop=dict(scale=32),
        ResizeEdge=dict(scale=36),
        Resize=dict(scale=36),
        RandomCrop=dict(crop_size=32),
        CenterCrop=dict(crop_size=32),
    ),
    video=dict(
        StrictSampleFrames=dict(frame_interval=4),
        RandomScaleAspect=dict(short_side=(32, 40)),
        Resize=dict(scale=(48, 48)),
        RandomCrop=dict(size=24),
        CenterCrop=dict(crop_size=24),
    ),
)


def cuts(cfg: Config) -> dict[str, object]:
    """Options that make a run of a config one of seconds, on the data of `place`."""
    task = dict(mmseg='seg', mmpretrain='cls', mmaction='video')[cfg.default_scope]
    options = {'default_hooks.logger.interval': 1, 'train_dataloader.batch_size': 2,
               'test_dataloader.batch_size': 1}  # fmt: skip
    unit, end = ('iters', 2) if task == 'seg' else ('epochs', 1)
    for key in (f'train_cfg.max_{unit}', 'train_cfg.val_interval',
                'default_hooks.checkpoint.interval'):  # fmt: skip
        options[key] = end

    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        options |= {f'{loader}.num_workers': 0, f'{loader}.persistent_workers': False}
        if cfg[loader].dataset.type == 'ImageNetFolders':  # there are ten classes
            options[f'{loader}.dataset.type'] = 'ClassFolders'
        for i, step in enumerate(cfg[loader].dataset.pipeline):
            for key, value in SIZES[task].get(step.type, {}).items():
                options[f'{loader}.dataset.pipeline.{i}.{key}'] = value

    where, backbone = 'model.backbone', cfg.model.backbone
    while 'backbone' in backbone:
        where, backbone = f'{where}.backbone', backbone.backbone
    if backbone.type != 'TIMMBackbone':  # that is small
        width = backbone.get('base_channels', 64)
        options[f'{where}.base_channels'] = 8
        options[f'{where}.init_cfg'] = None  # no downloads
        heads = {'head', 'cls_head', 'decode_head', 'auxiliary_head'} & {*cfg.model}
        for head in heads:
            channels = cfg.model[head].in_channels * 8 // width
            options[f'model.{head}.in_channels'] = channels
            if task == 'seg':
                options[f'model.{head}.channels'] = 8
        if task == 'seg':
            options |= {'model.pretrained': None, f'{where}.stem_channels': 8}
    if task == 'seg':
        options['model.data_preprocessor.size'] = (48, 96)
    if task == 'cls' and cfg.model.head.num_classes == 1000:  # ImageNet
        options['model.head.num_classes'] = 10
    return options


@pytest.fixture
def place(small_data, tmp_path, monkeypatch) -> Path:
    """A folder in which lies what the pages name, small, the current one."""
    monkeypatch.chdir(tmp_path)
    seg, cls, video = (small_data[task] for task in ('seg', 'cls', 'video'))
    data = tmp_path / 'data'
    data.mkdir()
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    for name in ('mini_cityscapes', 'camvid'):
        (data / name).symlink_to(seg)
    for name in ('mini_imagenet', 'imagenet', 'pets', 'ants_bees'):
        (data / name).symlink_to(cls)
    (data / 'mini_kinetics').symlink_to(video)
    for folder in ('leftImg8bit', 'gtFine'):  # with the server's split
        (data / 'cityscapes' / folder).mkdir(parents=True)
        for split, source in (('train', 'train'), ('val', 'val'), ('test', 'val')):
            (data / 'cityscapes' / folder / split).symlink_to(seg / folder / source)

    write_benchmark(data / 'cifar100', 'CIFAR100Files')
    write_benchmark(data, 'CUB200')
    write_benchmark(data / 'inat2018', 'INaturalist')
    write_inaturalist(data / 'inat2021', np.random.default_rng(0), year=2021)

    kinetics = data / 'kinetics400'
    kinetics.mkdir()
    for split in ('train', 'val'):
        (kinetics / f'videos_{split}').symlink_to(video / f'videos_{split}')
        rows = ['label,youtube_id,time_start,time_end,split']
        for file in sorted(video.glob(f'videos_{split}/*/*')):
            name, start, end = file.stem.rsplit('_', 2)
            rows.append(f'abseiling,{name},{int(start)},{int(end)},{split}')
        (kinetics / f'{split}.csv').write_text('\n'.join(rows))
        shutil.copy(video / f'kinetics400_{split}_list_videos.txt', kinetics)

    for name in ('ucf101', 'sthv2', 'kinetics600'):
        write_video_benchmark(data / name, name)
    for split in ('train', 'val'):
        rows = ['label,youtube_id,time_start,time_end,split']
        for file in (data / 'kinetics600' / f'videos_{split}').rglob('*.mp4'):
            video_id, start, end = file.stem.rsplit('_', 2)
            rows.append(f'class 599,{video_id},{int(start)},{int(end)},{split}')
        (data / 'kinetics600' / f'{split}.csv').write_text('\n'.join(rows))

    write_fields(data / 'fields')
    write_coco(data / 'plants' / 'instances.json')
    photographs = sorted(cls.glob('train/*/*'))
    for name, table in (('leaves', 'labels'), ('scenes', 'tags')):
        (data / name / 'photos').mkdir(parents=True)
        rows = ['image,label', 'a.jpg,oak', 'b.jpg,ash', 'c.jpg,oak', 'd.jpg,ash']
        if name == 'scenes':
            rows = [row.replace('.jpg', '') for row in rows]
        (data / name / f'{table}.csv').write_text('\n'.join(rows))
        for stem, path in zip('abcd', photographs, strict=False):
            Image.open(path).save(data / name / 'photos' / f'{stem}.jpg')
    (data / 'gestures').mkdir()
    for split in ('train', 'val'):
        (data / 'gestures' / split).symlink_to(video / f'videos_{split}')
    (tmp_path / 'new_images').symlink_to(data / 'fields' / 'images' / 'val')

    image = Image.open(min(seg.glob('leftImg8bit/val/*/*.png')))
    for folder in ('photos', 'more', 'folder'):
        (tmp_path / folder).mkdir()
    for name in ('street.jpg', 'photo.jpg', 'photos/a.png', 'more/b.png'):
        image.save(tmp_path / name)
    clip = min(video.rglob('*.mp4'))
    for name in ('clip.mp4', 'drive.mp4', 'folder/other.mp4'):
        shutil.copy(clip, tmp_path / name)

    confusion = np.random.default_rng(0).integers(100, size=(2, 3, 3))
    for name in ('fcn', 'glore', 'plain'):
        np.savez(f'{name}.npz', names=['street.jpg', 'photo.jpg'],
                 classes=['a', 'b', 'c'], confusion=confusion)  # fmt: skip
    logged = [{'step': i, 'iter': i, 'loss': 1 / i, 'decode.acc_seg': i}
              for i in range(1, 9)]  # fmt: skip
    for name in ('fcn_cityscapes', 'fcn_mini', 'glore_mini'):
        log = tmp_path / 'work_dirs' / name / '20260101_000000' / 'vis_data'
        log.mkdir(parents=True)
        (log / 'scalars.json').write_text('\n'.join(map(json.dumps, logged)))
    return tmp_path


def write_fields(fields: Path) -> None:
    """Images of squares with masks and with colour masks."""
    write_squares(fields)
    for old, new in (('img', 'images'), ('ann', 'masks')):
        (fields / old).rename(fields / new)
    for path in [*fields.glob('images/*/*')]:
        Image.open(path).save(path.with_suffix('.jpg'))
        path.unlink()
    (fields / 'images' / 'test').symlink_to('val')
    palette = np.array([[120, 80, 40], [40, 160, 60]], np.uint8)
    (fields / 'colors').mkdir()
    for path in fields.glob('masks/val/*'):
        mask = palette[np.array(Image.open(path))]
        Image.fromarray(mask).save(fields / 'colors' / path.name)
    (fields / 'classes.txt').write_text('soil\ncrop\nweed\n')
    (fields / 'label_colors.txt').write_text('120 80 40 soil\n40 160 60 crop\n')


def write_coco(file: Path) -> None:
    """COCO annotations of one square."""
    square = dict(id=1, image_id=1, category_id=1, area=36, iscrowd=0)
    square['segmentation'] = [[2, 2, 8, 2, 8, 8, 2, 8]]
    image = dict(id=1, file_name='a.jpg', height=10, width=12)
    categories = [dict(id=1, name='crop')]
    coco = dict(images=[image], annotations=[square], categories=categories)
    file.parent.mkdir()
    file.write_text(json.dumps(coco))


def run(words: list[str]) -> str:
    """Run a command as a shell does, but in this process, which has all imported."""
    program, *args = words
    told = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(told),
        contextlib.redirect_stderr(told),
    ):
        try:
            if program.startswith('glore-'):
                patch.setattr(sys, 'argv', words)
                name = program.removeprefix('glore-')
                importlib.import_module(f'glore_mm.commands.{name}').main()
            elif args[0] == '-m':
                importlib.import_module(args[1]).main(args[2:])
            else:
                patch.setattr(sys, 'argv', args)
                runpy.run_path(str(ROOT / args[0]), run_name='__main__')
        except (Exception, SystemExit) as error:
            if getattr(error, 'code', True):
                pytest.fail(f'{shlex.join(words)}\n{told.getvalue()}{error!r}')
    return told.getvalue()


def run_small(words: list[str], page: Path) -> None:
    """Run a command of a page on what `place` holds."""
    words = [CONFIG[page.stem] if word == 'CONFIG' else word for word in words]
    words = [re.sub(r'(^|=)/(data|datasets)/', r'\1data/', word) for word in words]
    if words[:2] == ['python', '-m']:
        run([*words, *FEW[words[2].rpartition('.')[2]].split()])
        return
    if words[1].startswith('examples/'):
        run([*words, *FEW_STEPS[Path(words[1]).stem].split()])
        return
    at = 1 if words[0].startswith('glore-') else 2  # of the first argument
    tool = Path(words[at - 1]).stem.removeprefix('glore-')
    if tool == 'plot_log' and 'work_dirs/*' in words:
        words[at : at + 1] = sorted(map(str, Path('work_dirs').iterdir()))
    if tool == 'get_flops':  # of the first config that a pattern matches
        words = [str(min(Path().glob(w))) if '*' in w else w for w in words]
    if tool not in (
        'compare', 'plot_log', 'kinetics_list', 'get_flops', 'masks_to_indices'
    ):  # fmt: skip
        given = [word for word in words if re.match(r'[a-z_.]+=', word)]
        given = parse_options(given, dict(data_root='').get)
        cfg = load_config(words[at], given)
        options = cuts(cfg)
        if weights := given.get('load_from'):
            plain = {key: given[key] for key in given if key != 'load_from'}
            checkpoint(words[at], plain | options, weights)
        if '--views' in words:  # sets the sizes itself
            options = {key: value for key, value in options.items()
                       if not key.endswith(('.scale', '.crop_size'))}  # fmt: skip
            options['test_dataloader.dataset.indices'] = 1  # of the videos
        if '--resume' in words and not [*Path('work_dirs').rglob('*.pth')]:
            end = {key: 1 for key, value in options.items() if value == 2}
            run([*words[: at + 1], *cfg_options(options | end)])
        if tool != 'train':
            words[at + 1] = last_of_training(words[at + 1], cfg)
            if page in TUTORIALS:
                assert Path(words[at + 1]).is_file(), words[at + 1]
            words[at + 1] = checkpoint(words[at], given | options, words[at + 1])
        words += cfg_options(options)
    run(words)
    for option, path in pairwise(words):
        if option in ('--out-dir', '--show-dir', '--submission-dir', '--dump', '--out'):
            files = [file for file in (Path(path), *Path(path).rglob('*'))
                     if file.is_file()]  # fmt: skip
            assert files, f'{shlex.join(words)} has written nothing'


def last_of_training(name: str, cfg: Config) -> str:
    """A checkpoint that training ends with, as it is called where training is short."""
    if named := re.fullmatch(r'(work_dirs/\w+)/(iter|epoch)_(\d+)\.pth', name):
        folder, unit, number = named.groups()
        if folder == cfg.work_dir:
            # a config in a work dir has a short training
            config = f'{Path(cfg.filename).stem}.py'
            files = [*ROOT.glob(f'configs/*/{config}'), *Path().glob(config)]
            files = files or [cfg.filename]
            loops = [Config.fromfile(file).train_cfg for file in files]
            assert int(number) in {loop.get(f'max_{unit}s') for loop in loops}, name
        return f'{folder}/{unit}_{2 if unit == "iter" else 1}.pth'
    return name


def checkpoint(config: str, options: dict[str, object], name: str) -> str:
    """A file of that name, with random weights where no command has written it."""
    name, _, digest = name.partition('#sha256=')
    if name == 'CHECKPOINT' or not Path(name).exists():
        if name == 'resnet50-lite.pth':  # the flat twin
            config = 'configs/cls/plain_r50_imagenet.py'
            options = cuts(load_config(config)) | {'model.backbone.stem': 'lite'}
        cfg = load_config(config, options)
        content = dict(state_dict=build_model(cfg).state_dict())
        content['meta'] = dict(
            dataset_meta=dict(classes=dataset_metainfo(cfg)['classes'])
        )
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(content, name)
        if name.startswith('resnet50-lite_3d'):  # named as released
            convert_checkpoint(cfg, shutil.move(name, 'ours.pth'), name)
    if digest:
        name += '#sha256=' + hashlib.sha256(Path(name).read_bytes()).hexdigest()
    return name


# units of pictures so small have more nodes than places
small = pytest.mark.filterwarnings('ignore:GloRe.d has more nodes')
RUN = [p for p in PAGES if any(not why_not_run(words) for words in commands(p))]


@small
@pytest.mark.parametrize(
    'page', named(RUN, slow={p.stem for p in RUN} - {'evidence', 'performance'})
)
def test_commands_run(page, place):
    """Those of a page, one after the other."""
    for text in blocks(page, 'python'):
        if name := file_name(text):
            Path(name).write_text(text)
    for words in commands(page):
        if not why_not_run(words):
            run_small(words, page)


@small
@pytest.mark.slow
@pytest.mark.parametrize('page', named(TUTORIALS))
def test_tutorial(page, tmp_path, monkeypatch):
    """All of it, from an empty folder; Python blocks share their variables."""
    monkeypatch.chdir(tmp_path)
    variables = {}
    for language, text in all_blocks(page):
        if language == 'python' and (name := file_name(text)):
            Path(name).write_text(text)
        elif language == 'python':
            exec(compile(text, page.name, 'exec'), variables)
        elif language in SHELL:
            for words in read_lines(text):
                if not why_not_run(words):
                    run_small(words, page)
