"""Overrides of config keys, as `--cfg-options KEY=VALUE …` gives them."""

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from glore_mm.utils.errors import UserError


def parse_options(
    options: Sequence[str], current: Callable[[str], object]
) -> dict[str, Any]:
    """Parse overrides: Python literals, lists such as `a,b`, and plain text.

    What replaces a string stays one, whatever it looks like: `data_root=2024`.

    Args:
        options (Sequence[str]): `KEY=VALUE` each.
        current (Callable[[str], object]): The value that a key has so far.

    Raises:
        UserError: One has no `=`.
    """
    values = {}
    for option in options:
        key, equals, text = option.partition('=')
        if not equals:
            raise UserError(f'--cfg-options {option}: expected KEY=VALUE')
        if isinstance(current(key), str) and text != 'None':
            values[key] = _unquoted(text)
        else:
            values[key] = _parse(text)
    return values


def _parse(text: str) -> Any:
    text = text.strip()
    try:
        value = _literal(text)
        is_list = isinstance(value, tuple) and not text.startswith('(')
        return list(value) if is_list else value
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        pass
    if text[:1] + text[-1:] in ('[]', '()'):
        items = list(map(_parse, _split(text[1:-1])))
        return tuple(items) if text[0] == '(' else items
    if len(parts := list(_split(text))) > 1:
        return list(map(_parse, parts))
    for kind in int, float:  # 08, inf
        try:
            return kind(text)
        except ValueError:
            pass
    return {'true': True, 'false': False}.get(text.lower(), _unquoted(text))


def _literal(text: str) -> Any:
    """A Python literal; `dict(a=1)` is one, too."""

    class DictCalls(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            self.generic_visit(node)
            named = [keyword for keyword in node.keywords if keyword.arg]
            is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict'
            if not is_dict or node.args or len(named) < len(node.keywords):
                return node
            keys: list[ast.expr | None] = [ast.Constant(k.arg) for k in named]
            return ast.Dict(keys, [keyword.value for keyword in named])

    return ast.literal_eval(DictCalls().visit(ast.parse(text, mode='eval')))


def _split(text: str) -> Iterator[str]:
    """The parts between commas that stand in no brackets."""
    part, depth = '', 0
    for character in text:
        depth += (character in '([{') - (character in ')]}')
        if character == ',' and depth == 0:
            yield part
            part = ''
        else:
            part += character
    if part.strip():
        yield part


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in '\'"'
    return text[1:-1] if quoted else text
