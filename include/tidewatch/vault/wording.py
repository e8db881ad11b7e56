"""One wording for definitions that PostgreSQL words in two ways.

It keeps `a BETWEEN 1 AND 4 AND b` as ((a >= 1 AND a <= 4) AND b), writes it so into a dump, and reads that
back as (a >= 1 AND a <= 4 AND b): its parser joins chains of one operator (makeAndExpr and makeOrExpr in
src/backend/parser/gram.y). The condition is the same, the text is not, so a definition is digested with the
inner pairs of brackets of such chains taken away.
"""

import re
from dataclasses import dataclass

_PIECES = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|[^'"()]+|['"]""")
_JOINED_BY = re.compile(r"(?<!\S)(AND|OR)(?!\S)")
_BODY = re.compile(r"^AS \$(?:function|procedure)\$", re.MULTILINE)
"""What follows is not PostgreSQL's wording."""


@dataclass(frozen=True)
class _Bracket:
    """What stood between two brackets; `operator` joins all of it, None where there is none or several."""

    text: str
    operator: str | None


@dataclass(frozen=True)
class _Quoted:
    text: str


_Part = str | _Bracket | _Quoted


def levelled(definition: object) -> object:
    """The definition (JSON) with every chain of ANDs or ORs on one level. What is in quotes, bodies of
    functions and what has a bracket too many are left as they are."""
    if isinstance(definition, str):
        return _levelled(definition)
    if isinstance(definition, list):
        return [levelled(each) for each in definition]
    if isinstance(definition, dict):
        return {name: levelled(each) for name, each in definition.items()}
    return definition


def _levelled(text: str) -> str:
    if text.count("(") <= 1 or _BODY.search(text):
        return text
    open_: list[list[_Part]] = [[]]
    for piece in _PIECES.findall(text):
        if piece == "(":
            open_.append([])
        elif piece == ")":
            if len(open_) == 1:
                return text
            inner = open_.pop()
            open_[-1].append(_closed(inner))
        elif piece[0] in "'\"":
            open_[-1].append(_Quoted(piece))
        else:
            open_[-1].append(piece)
    return _written(open_[0], None) if len(open_) == 1 else text


def _closed(parts: list[_Part]) -> _Bracket:
    found = {word for part in parts if isinstance(part, str) for word in _JOINED_BY.findall(part)}
    operator = found.pop() if len(found) == 1 else None
    return _Bracket(_written(parts, operator), operator)


def _written(parts: list[_Part], operator: str | None) -> str:
    """The parts as text. A bracket that is all of what `operator` joins, and is joined by it itself, loses
    its marks."""
    written = []
    for place, part in enumerate(parts):
        if not isinstance(part, _Bracket):
            written.append(part if isinstance(part, str) else part.text)
            continue
        before = parts[place - 1] if place else f" {operator} "
        after = parts[place + 1] if place + 1 < len(parts) else f" {operator} "
        whole = isinstance(before, str) and before.endswith(f" {operator} ")
        whole = whole and isinstance(after, str) and after.startswith(f" {operator} ")
        same = operator is not None and part.operator == operator
        written.append(part.text if same and whole else f"({part.text})")
    return "".join(written)
