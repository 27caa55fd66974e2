"""Training and testing with --compile."""

import json

import pytest

CONFIGS = {
    'seg/glore_mini': {'model.decode_head.channels': 16, 'train_cfg.max_iters': 2},
    'cls/glore_mini': {'train_cfg.max_epochs': 1},
    'video/glore_mini': {'train_cfg.max_epochs': 1},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'tools'),  # compiling a network takes a minute or two
    [
        ('seg/glore_mini', 'test'),
        ('cls/glore_mini', 'train'),
        ('video/glore_mini', 'train test'),
    ],
)
def test_results_are_the_same(
    tool, losses, small_data, tmp_path, monkeypatch, name, tools
):
    def run_it(name: str, *arguments) -> bool:
        """Run a tool with its own cache; return whether it compiled something."""
        cache = tmp_path / f'compiled{len(list(tmp_path.glob("compiled*")))}'
        cache.mkdir()
        monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(cache))
        tool(name, *arguments, cwd=tmp_path)
        return any(cache.rglob('*.py'))

    values = {
        'data_root': small_data[name.split('/')[0]],
        'train_dataloader.batch_size': 4,
        'default_hooks.logger.interval': 1,
    }
    options = [f'{key}={value}' for key, value in (values | CONFIGS[name]).items()]
    config, logged, scores = f'glore_mm::{name}.py', {}, {}
    for how in ([], ['--compile']):
        run = tmp_path / f'run{"".join(how)}'
        if 'train' in tools or not how:
            compiled = run_it('train', config, '--seed', 0, '--work-dir', run, *how,
                              '--cfg-options', *options)  # fmt: skip
            assert compiled == bool(how)
            logged[run] = losses(run)
        if 'test' in tools:
            tested = tmp_path / f'tested{"".join(how)}'
            first = tmp_path / 'run'
            (checkpoint,) = [*first.glob('iter_2.pth'), *first.glob('epoch_1.pth')]
            compiled = run_it('test', config, checkpoint, '--work-dir', tested, *how,
                              '--cfg-options', *options)  # fmt: skip
            assert compiled == bool(how)
            (metrics,) = tested.glob('*/*.json')
            scores[run] = json.loads(metrics.read_text())
    if 'train' in tools:
        one, other = logged.values()
        assert len(one) == 2 and other == pytest.approx(one, rel=1e-3)
    if 'test' in tools:
        one, other = scores.values()
        for each in (one, other):  # times
            del each['time'], each['data_time']
        assert one and other == pytest.approx(one, abs=0.5)
