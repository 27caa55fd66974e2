"""Parse overrides of config keys, as in `--cfg-options KEY=VALUE …`."""

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from glore_mm.utils.errors import UserError


def parse_options(
    options: Sequence[str], current: Callable[[str], object]
) -> dict[str, Any]:
    """Parse overrides: Python literals, lists such as `a,b`, and plain text.

    If the current value is a string, the new value stays one: `data_root=2024`. The
    names in `classes` are always strings.

    Args:
        options (Sequence[str]): Strings `KEY=VALUE`.
        current (Callable[[str], object]): Returns the current value of a key.

    Raises:
        UserError: A string has no `=`.
    """
    values: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition('=')
        if not equals:
            raise UserError(f'--cfg-options {option}: expected KEY=VALUE')
        if isinstance(current(key), str) and text != 'None':
            values[key] = _unquote(text)
        elif key.rpartition('.')[2] == 'classes':
            values[key] = _parse_names(text)
        else:
            values[key] = _parse(text)
    return values


def _parse_names(text: str) -> list[str] | str | None:
    """Parse names, which stay text: `0,1` are '0' and '1'."""
    if text == 'None':
        return None
    inner = text[1:-1] if text[:1] + text[-1:] in ('[]', '()') else text
    names = [_unquote(name.strip()) for name in _split(inner)]
    return names if len(names) > 1 or inner != text else _unquote(text)


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
    for kind in int, float:  # for 08 and inf, which are not Python literals
        try:
            return kind(text)
        except ValueError:
            pass
    return {'true': True, 'false': False}.get(text.lower(), _unquote(text))


def _literal(text: str) -> Any:
    """Evaluate a Python literal; `dict(a=1)` is accepted, too."""

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
    """Split at commas outside of brackets."""
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


def _unquote(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in '\'"'
    return text[1:-1] if quoted else text
