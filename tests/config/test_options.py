"""Overrides of config keys on the command line."""

import pytest

from glore_mm.config.options import parse_options
from glore_mm.utils.errors import UserError


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('3', 3),
        ('1e3', 1000.0),
        ('08', 8),
        ('true', True),
        ('None', None),
        ('a', 'a'),
        ('a b', 'a b'),
        ("'3'", '3'),
        ('1,2', [1, 2]),
        ('(1,2)', (1, 2)),
        ('[a,b]', ['a', 'b']),
        ('road sign,car', ['road sign', 'car']),
        ('[(1,2),[a,b],c]', [(1, 2), ['a', 'b'], 'c']),
        ("dict(type='SGD',lr=0.1)", dict(type='SGD', lr=0.1)),
        ("[dict(type='A',b=dict(c=[1]))]", [dict(type='A', b=dict(c=[1]))]),
        ("{'a': 1}", {'a': 1}),
        ('dict(a=f())', 'dict(a=f())'),
        ('a=b', 'a=b'),
    ],
)
def test_values(text, value):
    assert parse_options([f'key={text}'], {}.get) == dict(key=value)


@pytest.mark.parametrize('text', ['my data', '2024', '1e3', 'a,b', 'true', '(x)'])
def test_a_value_that_replaces_a_string_stays_a_string(text):
    assert parse_options([f'root={text}'], dict(root='data').get) == dict(root=text)
    assert parse_options(['root=None'], dict(root='data').get) == dict(root=None)


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('0,1', ['0', '1']),
        ("[01, 'road sign']", ['01', 'road sign']),
        ('true,None', ['true', 'None']),
        ('(a,)', ['a']),
        ('classes.txt', 'classes.txt'),
        ('None', None),
    ],
)
def test_names_of_classes_are_text(text, value):
    assert parse_options([f'data.classes={text}'], {}.get) == {'data.classes': value}


def test_no_value():
    with pytest.raises(UserError, match='--cfg-options lr: expected KEY=VALUE'):
        parse_options(['lr'], {}.get)
