"""The tools, as a user runs them: real processes, real files."""

import csv
import json
import re
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from options import cfg_options
from paths import ROOT
from PIL import Image

from glore_mm.apis.infer import infer
from glore_mm.apis.train import train
from glore_mm.config.load import load_config
from glore_mm.seg.benchmarks import CityscapesFolders
from glore_mm.seg.visualization import overlay
from glore_mm.utils.cityscapes_labels import LABEL_IDS
from glore_mm.utils.cli import cli_entry_point
from glore_mm.utils.errors import UserError

CONFIG = ROOT / 'configs' / 'seg' / 'glore_mini.py'
ITERATIONS = 4


def options(data, **more):
    """--cfg-options for a run of seconds: small head, few iterations, small crops."""
    small = {
        'data_root': data,
        'model.decode_head.channels': 16,
        'model.auxiliary_head.channels': 16,
        'train_dataloader.batch_size': 2,
        'train_cfg.max_iters': ITERATIONS,
        'train_cfg.val_interval': ITERATIONS,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.logger.interval': 1,
    } | more
    return cfg_options(small)


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu')


@pytest.fixture(scope='session')
def trained(tool, mini, tmp_path_factory):
    """The work dir and the output of a training."""
    folder = tmp_path_factory.mktemp('trained')
    done = tool('train', CONFIG, '--seed', 0, *options(mini), cwd=folder)
    return folder, done.stdout


@pytest.fixture(scope='session')
def checkpoint(trained):
    return trained[0] / 'work_dirs' / 'glore_mini' / f'iter_{ITERATIONS}.pth'


@pytest.fixture(scope='session')
def clip(mini, tmp_path_factory):
    """A video of street scenes with odd sides; must not be changed."""
    path = tmp_path_factory.mktemp('videos') / 'drive.avi'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 95, 47, 'yuv420p'
        for file in sorted((mini / 'leftImg8bit').rglob('*.png')):
            image = Image.open(file).resize((95, 47))
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return path


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def test_train_prints_its_config_and_progress(trained):
    folder, output = trained
    first = output.splitlines()[0]
    assert first.startswith(f'config {CONFIG} | task segmentation | device ')
    assert first.endswith('| work dir work_dirs/glore_mini')
    assert re.search(
        rf'Iter\(train\) \[\s*3/{ITERATIONS}\].*eta: 0:00:\d\d.*loss: ', output
    )
    assert re.search(r'Iter\(val\) .*mIoU: \d', output)
    assert 'sky' in output  # the table of classes
    assert 'Config:' not in output  # this belongs to the log file
    work_dir = folder / 'work_dirs' / 'glore_mini'
    assert (work_dir / 'iter_2.pth').is_file()
    assert (work_dir / 'last_checkpoint').read_text().endswith(f'iter_{ITERATIONS}.pth')
    assert (work_dir / 'glore_mini.py').is_file()
    (log,) = work_dir.glob('*/*.log')
    assert 'train_cfg' in log.read_text()


@pytest.mark.slow
def test_training_is_reproducible_and_resumes(trained, tool, mini, tmp_path):
    """A run of 2 + 2 iterations prints where it ends, and does not restart."""
    folder, _ = trained
    shorter = options(mini, **{'train_cfg.max_iters': 2})
    tool('train', CONFIG, '--seed', 0, '--work-dir', 'run', *shorter, cwd=tmp_path)
    first = load(tmp_path / 'run' / 'iter_2.pth')
    other = load(folder / 'work_dirs' / 'glore_mini' / 'iter_2.pth')
    assert first['state_dict'].keys() == other['state_dict'].keys()
    for key, value in first['state_dict'].items():
        assert torch.equal(value, other['state_dict'][key]), key

    done = tool(
        'train', CONFIG, '--resume', '--work-dir', 'run', *options(mini), cwd=tmp_path
    )
    assert 'resumed epoch: 0, iter: 2' in done.stdout
    assert not re.search(rf'Iter\(train\) \[\s*1/{ITERATIONS}\]', done.stdout)
    assert load(tmp_path / 'run' / f'iter_{ITERATIONS}.pth')['meta']['iter'] == 4


@pytest.mark.slow
def test_pretrained_weights(tool, mini, tmp_path):
    """As in the Cityscapes configs, but from a file."""
    from mmengine.registry import MODELS, init_default_scope

    init_default_scope('mmseg')
    import mmseg.models  # noqa: F401

    backbone = MODELS.build(dict(type='mmseg.ResNetV1c', depth=18))
    torch.save(backbone.state_dict(), tmp_path / 'resnet18.pth')
    more = {'model.pretrained': 'resnet18.pth', 'optim_wrapper.optimizer.lr': 1e-5}
    tool('train', CONFIG, *options(mini, **more), cwd=tmp_path)
    checkpoint = tmp_path / 'work_dirs' / 'glore_mini' / 'iter_4.pth'
    trained = load(checkpoint)['state_dict']
    for key, value in backbone.named_parameters():
        assert torch.allclose(trained[f'backbone.{key}'], value, atol=1e-3), key
    done = tool('test', CONFIG, checkpoint, *options(mini, **more), cwd=tmp_path)
    assert 'mIoU' in done.stdout


@pytest.mark.slow
def test_mixed_precision(tool, trained, mini, tmp_path, losses):
    done = tool('train', CONFIG, '--amp', '--seed', 0, *options(mini), cwd=tmp_path)
    assert re.search(r'Iter\(val\) .*mIoU: \d', done.stdout)
    saved = load(tmp_path / 'work_dirs' / 'glore_mini' / 'iter_4.pth')
    assert all(v.dtype != torch.bfloat16 for v in saved['state_dict'].values())
    full, mixed = losses(trained[0]), losses(tmp_path)
    assert mixed[0] != full[0] and mixed == pytest.approx(full, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize('ignored', [255, 0])
def test_all_outputs_of_test(checkpoint, tool, mini, tmp_path, ignored):
    shutil.copytree(mini, tmp_path / 'data')
    mini = tmp_path / 'data'
    for path in mini.rglob('*labelTrainIds.png'):
        truth = np.array(Image.open(path))
        Image.fromarray(np.where(truth == 255, ignored, truth).astype('u1')).save(path)
    given = options(mini, **{'test_evaluator.ignore_index': ignored})
    done = tool(
        'test', CONFIG, checkpoint, '--submission-dir', 'submission', '--show-dir',
        'shown', '--dump', 'dump.npz', *given, cwd=tmp_path,
    )  # fmt: skip
    names = sorted(path.name for path in (mini / 'leftImg8bit' / 'val').rglob('*.png'))
    assert len(names) == 2

    miou = float(re.search(r'mIoU: ([\d.]+)', done.stdout)[1])
    with np.load(tmp_path / 'dump.npz') as dump:
        assert [Path(name).name for name in dump['names']] == names
        confusion = dump['confusion'].sum(axis=0)
    hit = np.diag(confusion)
    with np.errstate(invalid='ignore'):
        iou = hit / (confusion.sum(0) + confusion.sum(1) - hit)
    assert 100 * np.nanmean(iou) == pytest.approx(miou, abs=0.01)

    for name in names:
        (written,) = (tmp_path / 'submission').glob(f'*/{name}')
        written = np.array(Image.open(written))
        assert written.shape == (48, 96)
        assert set(np.unique(written)) <= set(LABEL_IDS.values())
        (shown,) = (tmp_path / 'shown').glob(f'*/{name}')  # in its city
        shown = np.array(Image.open(shown))
        assert (shown.shape[1], shown.shape[0] > 48) == (4 * 96, True)
        (truth,) = mini.rglob(name.replace('leftImg8bit', 'gtFine_labelTrainIds'))
        errors = shown[-48:, -96:, 0]
        assert set(np.unique(errors)) <= {0, 128, 255}  # 128: ignored
        truth = np.array(Image.open(truth))
        np.testing.assert_array_equal(errors == 128, truth == ignored)


@pytest.mark.slow
def test_tta(checkpoint, tool, mini, tmp_path):
    plain = tool(
        'test', CONFIG, checkpoint, '--dump', 'a.npz', *options(mini), cwd=tmp_path
    )
    tta = tool(
        'test',
        CONFIG,
        checkpoint,
        '--tta',
        '--dump',
        'b.npz',
        *options(mini),
        cwd=tmp_path,
    )
    assert 'mIoU' in plain.stdout
    assert 'mIoU' in tta.stdout
    with np.load(tmp_path / 'a.npz') as a, np.load(tmp_path / 'b.npz') as b:
        assert a['confusion'].sum() == b['confusion'].sum()
        assert not np.array_equal(a['confusion'], b['confusion'])


def test_infer(checkpoint, tool, mini, tmp_path):
    (tmp_path / 'one').mkdir()
    image = sorted((mini / 'leftImg8bit').rglob('*.png'))[0]
    turned = Image.Exif()
    turned[0x0112] = 6  # as phones write them: to be displayed rotated by 90 degrees
    Image.open(image).convert('L').save(tmp_path / 'one' / 'grey.jpg', exif=turned)
    done = tool(
        'infer', CONFIG, checkpoint, image, 'one', '--out-dir', 'out', '--json',
        'found.json', '--csv', 'found.csv', '--top-k', 2, *options(mini), cwd=tmp_path,
    )  # fmt: skip
    records = json.loads((tmp_path / 'found.json').read_text())
    assert [record['input'] for record in records] == [str(image), 'one/grey.jpg']
    for record in records:
        scores = [found['score'] for found in record['classes']]
        assert 1 <= len(scores) <= 2
        assert scores == sorted(scores, reverse=True)
        assert 0 < sum(scores) <= 1
        label = record['classes'][0]['label']
        assert f'{record["input"]}: {label} ' in done.stdout
        mask = Image.open(tmp_path / 'out' / f'{Path(record["input"]).stem}.png')
        assert mask.mode == 'P'
        assert mask.size[0] * mask.size[1] == 96 * 48
        share = (np.array(mask) == list(LABEL_IDS).index(label)).mean()
        assert share == pytest.approx(scores[0], abs=1e-4)
        assert (
            tmp_path / 'out' / f'{Path(record["input"]).stem}_overlay.jpg'
        ).is_file()
    rows = list(csv.DictReader((tmp_path / 'found.csv').open()))
    assert [row['label'] for row in rows] == [
        found['label'] for record in records for found in record['classes']
    ]


@pytest.mark.slow
def test_infer_on_a_video(checkpoint, clip, tool, mini, tmp_path):
    """In a folder with an image; its frames are segmented like images."""
    frames = decoded(clip)
    (tmp_path / 'frames').mkdir()
    for index, frame in enumerate(frames):
        frame.save(tmp_path / 'frames' / f'{index}.png')
    (tmp_path / 'mine').mkdir()
    shutil.copy(clip, tmp_path / 'mine')
    frames[0].save(tmp_path / 'mine' / 'still.png')
    for folder, out in (('frames', 'images'), ('mine', 'out')):
        done = tool(
            'infer', CONFIG, checkpoint, folder, '--out-dir', out, '--json',
            'found.json', '--top-k', 19, *options(mini), cwd=tmp_path,
        )  # fmt: skip
    assert not done.stderr  # a progress bar appears in terminals only
    out = tmp_path / 'out'
    assert sorted(path.name for path in out.iterdir()) == [
        'drive', 'drive_overlay.mp4', 'legend.png', 'still.png', 'still_overlay.jpg',
    ]  # fmt: skip

    masks = [Image.open(path) for path in sorted((out / 'drive').iterdir())]
    assert [Path(m.filename).name for m in masks] == [f'{i:06d}.png' for i in range(6)]
    assert {(mask.mode, mask.size) for mask in masks} == {('P', (95, 47))}
    labels = np.stack([np.asarray(mask) for mask in masks])
    for index, found in enumerate(labels):
        image = Image.open(tmp_path / 'images' / f'{index}.png')
        np.testing.assert_array_equal(found, np.asarray(image))
    record = json.loads((tmp_path / 'found.json').read_text())[0]
    assert record['input'] == 'mine/drive.avi'
    names = list(LABEL_IDS)
    for found in record['classes']:
        share = (labels == names.index(found['label'])).mean()
        assert share == pytest.approx(found['score'], abs=1e-4)
    assert {found['label'] for found in record['classes']} == {
        names[c] for c in np.unique(labels)
    }

    palette = CityscapesFolders.METAINFO['palette']
    with av.open(str(out / 'drive_overlay.mp4')) as video:
        stream = video.streams.video[0]
        assert (stream.codec.name, stream.average_rate) == ('h264', 10)
    for drawn, frame, found in zip(
        decoded(out / 'drive_overlay.mp4'), frames, labels, strict=True
    ):
        assert drawn.size == (94, 46)
        expected = overlay(np.asarray(frame), found, palette)[:46, :94].astype(int)
        assert np.abs(np.asarray(drawn) - expected).mean() < 8
    colours = {colour for _, colour in Image.open(out / 'legend.png').getcolors(9999)}
    assert colours > {tuple(colour) for colour in palette}


@pytest.mark.slow
def test_two_processes(tool, mini, tmp_path):
    """Torchrun on CPUs: train, validate, save, resume, test; one SyncBN warning."""
    args = ('dist_train.sh', CONFIG, 2, '--work-dir', 'run')
    first = tool(*args, *options(mini, **{'train_cfg.max_iters': 2}), cwd=tmp_path)
    output = first.stdout + first.stderr
    assert output.count('SyncBN needs a GPU') == 1
    assert output.count('task segmentation') == 1
    assert re.search(r'Iter\(val\) .*mIoU: \d', output)
    second = tool(*args, '--resume', *options(mini), cwd=tmp_path)
    assert 'resumed epoch: 0, iter: 2' in second.stdout
    saved = tmp_path / 'run' / f'iter_{ITERATIONS}.pth'
    assert load(saved)['meta']['iter'] == ITERATIONS
    done = tool(
        'dist_test.sh',
        CONFIG,
        saved,
        2,
        '--dump',
        'two.npz',
        *options(mini),
        cwd=tmp_path,
    )
    alone = tool(
        'test', CONFIG, saved, '--dump', 'one.npz', *options(mini), cwd=tmp_path
    )
    assert re.search(r'mIoU: [\d.]+', done.stdout)[0] in alone.stdout
    with np.load(tmp_path / 'one.npz') as one, np.load(tmp_path / 'two.npz') as two:
        assert one['names'].tolist() == two['names'].tolist()
        np.testing.assert_array_equal(one['confusion'], two['confusion'])


@pytest.mark.slow
def test_two_processes_print_one_error(tool, tmp_path):
    done = tool('dist_train.sh', CONFIG, 2, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.count('error: no data set at ') == 1
    assert not (tmp_path / 'work_dirs').exists()


# ------------------------------------------------------- errors of users


def assert_error(done, *texts):
    """One clear message, a non-zero exit status, no traceback."""
    assert done.returncode == 1, done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1, done.stderr
    assert 'Traceback' not in done.stderr
    for text in texts:
        assert str(text) in errors[0]


def test_no_config(tool, tmp_path):
    assert_error(
        tool('train', 'no.py', cwd=tmp_path, check=False), 'no config at no.py'
    )


def test_no_data(tool, tmp_path):
    done = tool('train', CONFIG, cwd=tmp_path, check=False)
    assert_error(
        done, 'no data set at data/mini_cityscapes/leftImg8bit/train', 'data_root='
    )
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.parametrize(
    ('pattern', 'text'),
    [
        ('leftImg8bit/train/aachen/*.png', 'label map(s) have no image, the first: '),
        ('gtFine/train/*/*.png', 'image(s) have no label map, the first: '),
        ('leftImg8bit/val/*/*.png', 'the split is empty: no images in '),
    ],
)
def test_incomplete_data(tool, data, tmp_path, pattern, text):
    for path in data.glob(pattern):
        path.unlink()
    done = tool('train', CONFIG, *options(data), cwd=tmp_path, check=False)
    assert_error(done, text, data)
    assert not (tmp_path / 'work_dirs').exists()


def damaged_label(data):
    for path in (data / 'gtFine' / 'train').rglob('*_labelTrainIds.png'):
        Image.fromarray(np.full((48, 96), 77, np.uint8)).save(path)
    return (
        '_gtFine_labelTrainIds.png has the label value(s) 77; the classes are 0 to 18'
    )


def truncated_image(data):
    for path in (data / 'leftImg8bit' / 'train').rglob('*.png'):
        path.write_bytes(path.read_bytes()[:2000])
    return '_leftImg8bit.png: cannot be read as an image'


@pytest.mark.parametrize(
    ('damage', 'workers'), [(damaged_label, 0), (truncated_image, 1)]
)
def test_damaged_data(tool, data, tmp_path, damage, workers):
    """Found in training, in this process or a worker; no file is overwritten."""
    text = damage(data)
    earlier = tmp_path / 'run' / 'iter_2.pth'
    earlier.parent.mkdir()
    earlier.write_text('precious')
    persistent = bool(workers)
    more = {
        'train_dataloader.num_workers': workers,
        'train_dataloader.persistent_workers': persistent,
    }
    done = tool(
        'train', CONFIG, '--work-dir', 'run', *options(data, **more), cwd=tmp_path,
        check=False,
    )  # fmt: skip
    assert_error(done, text, data)
    assert earlier.read_text() == 'precious'
    assert not list(tmp_path.rglob('iter_4.pth'))


@pytest.mark.slow
def test_damaged_test_data_stops_the_test(checkpoint, tool, data, tmp_path):
    path = sorted((data / 'leftImg8bit' / 'val').rglob('*.png'))[0]
    path.write_bytes(path.read_bytes()[:2000])
    done = tool(
        'test', CONFIG, checkpoint, '--dump', 'x.npz', *options(data), cwd=tmp_path,
        check=False,
    )  # fmt: skip
    assert_error(done, path, 'cannot be read as an image')
    assert not (tmp_path / 'x.npz').exists()


@pytest.mark.slow
def test_checkpoints_that_do_not_match(checkpoint, tool, mini, tmp_path):
    fcn = CONFIG.with_name('fcn_mini.py')
    done = tool('test', fcn, checkpoint, *options(mini), cwd=tmp_path, check=False)
    assert_error(done, checkpoint, 'is the checkpoint of another network than', fcn,
            'not of this network (such as decode_head.units.0.')  # fmt: skip
    more = {'model.decode_head.channels': 24}
    done = tool('infer', CONFIG, checkpoint, mini, *options(mini, **more), cwd=tmp_path,
                check=False)  # fmt: skip
    assert_error(done, 'of another shape (such as decode_head.conv_seg.weight)')
    (tmp_path / 'broken.pth').write_bytes(checkpoint.read_bytes()[:5000])
    done = tool('test', CONFIG, 'broken.pth', *options(mini), cwd=tmp_path, check=False)
    assert_error(done, 'broken.pth cannot be read as a checkpoint: ', 'It is damaged')
    done = tool('test', CONFIG, 'none.pth', *options(mini), cwd=tmp_path, check=False)
    assert_error(done, 'no checkpoint at none.pth')


def with_glore(unit: str, placement: str) -> str:
    return (
        f"_base_ = '{ROOT}/configs/seg/fcn_mini.py'\n"
        "model = dict(backbone=dict(_delete_=True, type='WithGloRe', "
        f'backbone=_base_.model.backbone, unit={unit}, placement={placement}))\n'
    )


@pytest.mark.parametrize(
    ('unit', 'placement', 'key', 'text'),
    [
        ('dict()', 'dict(layer9=1)', '', "'layer9', which is not a module of ResNetV1c;"
                                         ' it has: stem, maxpool, layer1, layer2'),
        ('dict()', 'dict(layer3=3)', '', "has 3 units in 'layer3' of ResNetV1c, "
                                         'which has 2 blocks'),
        ("dict(type='GloRe4d')", 'dict(layer3=1)', '.unit', 'GloRe4d is not in the'),
        ('dict(num_nodes=0)', 'dict(layer3=1)', '.unit',
         'num_nodes must be an integer of at least 1, got 0'),
        ('dict(nodes=4)', 'dict(layer3=1)', '.unit',
         "unexpected keyword argument 'nodes'"),
    ],
)  # fmt: skip
def test_wrong_models(mini, tmp_path, unit, placement, key, text):
    (tmp_path / 'mine.py').write_text(with_glore(unit, placement))
    cfg = load_config(
        str(tmp_path / 'mine.py'), dict(data_root=str(mini)), str(tmp_path / 'run')
    )
    with pytest.raises(UserError) as caught:
        train(cfg)
    assert f'mine.py: model.backbone{key} cannot be built: ' in str(caught.value)
    assert text in str(caught.value)
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_wrong_keys_in_a_user_s_config(tool, mini, tmp_path):
    done = tool(
        'train', CONFIG, *options(mini, **{'model.decode_head.num_node': 4}),
        cwd=tmp_path, check=False,
    )  # fmt: skip
    assert_error(done, f'{CONFIG}: model.decode_head cannot be built: ', "'num_node'")
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.parametrize(
    ('wrong', 'key', 'text'),
    [
        ({'train_dataloader.batchsize': 2}, 'train_dataloader', 'batchsize'),
        ({'train_dataloader.sampler.type': 'x'}, 'train_dataloader.sampler', 'x is no'),
        ({'optim_wrapper.optimizer.rate': 1}, 'optim_wrapper.optimizer', 'rate'),
        ({'param_scheduler.0.type': 'Poly'}, 'param_scheduler.0', 'Poly is not in the'),
        ({'default_hooks.logger.every': 5}, 'default_hooks.logger', 'every'),
        ({'val_evaluator.type': 'IoU'}, 'val_evaluator', 'IoU is not in the'),
        ({'model.decode_head.loss_decode.weight': 1}, 'model.decode_head.loss_decode',
         'weight'),
    ],
    ids=lambda value: '' if isinstance(value, str) else next(iter(value)),
)  # fmt: skip
def test_wrong_keys(mini, tmp_path, wrong, key, text):
    with pytest.raises(UserError) as caught:
        train(load_config(CONFIG, dict(data_root=str(mini), **wrong), str(tmp_path)))
    assert f'{CONFIG}: {key} cannot be built: ' in str(caught.value)
    assert text in str(caught.value)


def test_missing_parts(mini, tmp_path):
    cfg = load_config(CONFIG, dict(data_root=str(mini), optim_wrapper=1), str(tmp_path))
    with pytest.raises(UserError, match='optim_wrapper must be a dict, found 1'):
        train(cfg)
    cfg.optim_wrapper = None
    with pytest.raises(UserError, match='optim_wrapper must be a dict, found nothing'):
        train(cfg)


@pytest.mark.slow
def test_resume_without_a_checkpoint(tool, mini, tmp_path):
    done = tool('train', CONFIG, '--resume', *options(mini), cwd=tmp_path, check=False)
    assert_error(done, '--resume: work_dirs/glore_mini has no checkpoint')
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.slow
def test_resume_with_another_network(trained, tool, mini, tmp_path):
    """Even the config next to the checkpoints is not overwritten."""
    run = shutil.copytree(trained[0] / 'work_dirs' / 'glore_mini', tmp_path / 'run')
    (run / 'last_checkpoint').write_text(str(run / f'iter_{ITERATIONS}.pth'))
    before = sorted(run.rglob('*'))
    fcn = CONFIG.with_name('fcn_mini.py')
    done = tool('train', fcn, '--resume', '--work-dir', run, *options(mini),
                cwd=tmp_path, check=False)  # fmt: skip
    assert_error(done, run, 'is the checkpoint of another network than', fcn)
    assert sorted(run.rglob('*')) == before
    more = {'load_from': 'nowhere.pth'}
    done = tool('train', fcn, *options(mini, **more), cwd=tmp_path, check=False)
    assert_error(done, 'no checkpoint at nowhere.pth')
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.slow
def test_infer_does_not_overwrite_its_input(checkpoint, tool, mini, tmp_path):
    image = sorted((mini / 'leftImg8bit').rglob('*.png'))[0]
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        shutil.copy(image, tmp_path / folder / 'x.png')
    shutil.copy(image, tmp_path / 'x.png')
    Image.open(image).save(tmp_path / 'x_overlay.jpg')
    for inputs, out, text in (
        (['a/x.png', 'x_overlay.jpg'], '.', 'would overwrite x_overlay.jpg'),
        (['a/x.png'], 'a', 'the result of a/x.png would overwrite a/x.png'),
        (['a', 'b'], 'out', 'would overwrite the result of a/x.png'),
    ):
        done = tool('infer', CONFIG, checkpoint, *inputs, '--out-dir', out,
                    *options(mini), cwd=tmp_path, check=False)  # fmt: skip
        assert_error(done, text)
    assert (tmp_path / 'a' / 'x.png').read_bytes() == image.read_bytes()
    assert not (tmp_path / 'out').exists()


def test_infer_does_not_overwrite_a_folder_or_the_legend(clip, tmp_path):
    (tmp_path / 'drive').mkdir()
    for name in ('legend.jpg', 'legend.png'):
        (tmp_path / name).touch()
    cfg = Config(dict(default_scope='mmseg'))
    for path, text in (
        (str(clip), f'would overwrite the folder {tmp_path}/drive'),
        (f'{tmp_path}/legend.jpg', 'legend.jpg would overwrite the legend'),
        (f'{tmp_path}/legend.png', f'the legend would overwrite {tmp_path}'),
    ):
        with pytest.raises(UserError, match=text):
            next(infer(cfg, 'none.pth', [path], str(tmp_path)))


def test_infer_leaves_no_files_for_a_damaged_video(
    checkpoint, clip, tool, mini, tmp_path
):
    content = clip.read_bytes()
    (tmp_path / 'cut.avi').write_bytes(content[: len(content) // 2])
    done = tool('infer', CONFIG, checkpoint, 'cut.avi', '--out-dir', 'out',
                *options(mini), cwd=tmp_path, check=False)  # fmt: skip
    assert_error(done, 'cut.avi: PyAV cannot open it')
    assert not list((tmp_path / 'out').iterdir())


@pytest.mark.slow
def test_infer_with_wrong_inputs(checkpoint, tool, mini, tmp_path):
    (tmp_path / 'notes.txt').write_text('no picture')
    for name, text in (
        ('none.png', 'none.png: no such file'),
        ('notes.txt', 'notes.txt: cannot be read as an image'),
    ):
        done = tool(
            'infer', CONFIG, checkpoint, name, *options(mini), cwd=tmp_path, check=False
        )
        assert_error(done, text)


def test_interrupted(capsys):
    @cli_entry_point
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == 'interrupted\n'
