"""A condition has one wording, however deep its brackets are; another condition has another."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidewatch.vault.wording import levelled

Tree = Any
_LEAVES = st.sampled_from(
    ["(a >= 1)", "(b <> ' AND (')", 'x.f("c AND d")', "(NOT e)", "(g = ANY (ARRAY[1, 2]))"]
)
_TREES: st.SearchStrategy[Tree] = st.recursive(
    _LEAVES,
    lambda inner: st.tuples(st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
    max_leaves=12,
)


def worded(tree: Tree) -> str:
    """As PostgreSQL writes a tree: brackets around each operator."""
    if isinstance(tree, str):
        return tree
    operator, operands = tree
    return "(" + f" {operator} ".join(map(worded, operands)) + ")"


def flat(tree: Tree) -> Tree:
    """The tree with chains of one operator on one level."""
    if isinstance(tree, str):
        return tree
    operator, operands = tree[0], [flat(o) for o in tree[1]]
    joined = [part for o in operands for part in (o[1] if o[0] == operator else [o])]
    return operator, joined


@given(_TREES)
def test_a_chain_of_one_operator_has_one_level_of_brackets(tree: Tree) -> None:
    for frame in ("CHECK ({})", "{}", " SELECT {} AS q\n   FROM x.t\n  WHERE {};"):
        deep, level = (frame.replace("{}", worded(t)) for t in (tree, flat(tree)))
        assert levelled(deep) == level == levelled(level)


@given(_TREES, _TREES)
def test_conditions_that_differ_keep_differing(one: Tree, other: Tree) -> None:
    same = levelled(worded(one)) == levelled(worded(other))
    assert same == (flat(one) == flat(other))


def test_a_bracket_within_need_not_stand_beside_the_outer_one() -> None:
    assert levelled("(x.f(a) AND (x.f(b) AND (c >= 1)))") == "(x.f(a) AND x.f(b) AND (c >= 1))"


def test_what_is_no_condition_of_postgresqls_wording_is_left_as_it_is() -> None:
    for text in (
        "'((a AND b) AND c)'",
        "((a AND b) AND c",
        "((a AND b) AND c))",
        "((a AND b) OR (c AND d))",
        "(((a AND b)) AND c)",
        "sum(x) OVER (ORDER BY ((y)) ROWS BETWEEN (1) PRECEDING AND (2) FOLLOWING)",
        "CREATE FUNCTION f()\nAS $function$ ((a AND b) AND c) $function$",
    ):
        assert levelled(text) == text
    assert levelled({"check": ["((a AND b) AND c)", None, 3]}) == {"check": ["(a AND b AND c)", None, 3]}
