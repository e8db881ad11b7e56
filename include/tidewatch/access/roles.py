"""Roles and what each may do. The list is closed; whoever has several roles may do what any of them may."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Role = Literal["auditor", "compliance", "engineer", "analyst"]
ROLES: tuple[Role, ...] = get_args(Role)

Right = Literal[
    "evidence.read",  # the ledger, its anchors, the export
    "backups.read",
    "backups.verify",  # have the regions asked again
    "restores.read",
    "restores.sign",
    "findings.read",
    "findings.close",
    "holds.read",
    "holds.change",  # place and lift
    "quality.read",  # gates, and the reasons of quarantine
    "quality.rows",  # the refused rows themselves, which may hold personal data
    "model.read",  # figures of the sentiment model, its versions and retrainings
    "model.decide",  # whether a challenger comes into use
    "model.posts",  # the posts on which two versions differ, which are personal data
    "labelling.read",  # posts that wait for a label
    "labelling.label",
]

_READS: frozenset[Right] = frozenset(
    {
        "evidence.read",
        "backups.read",
        "restores.read",
        "findings.read",
        "holds.read",
        "quality.read",
        "model.read",
    }
)
_POSTS: frozenset[Right] = frozenset(
    {"model.read", "model.decide", "model.posts", "labelling.read", "labelling.label"}
)
_ENGINEERS: frozenset[Right] = frozenset({"backups.verify", "findings.close", "holds.change", "quality.rows"})
RIGHTS: Mapping[Role, frozenset[Right]] = {
    "auditor": frozenset({"evidence.read"}),
    "compliance": _READS | {"restores.sign", "holds.change"},
    "engineer": _READS | _ENGINEERS | _POSTS,
    "analyst": _POSTS | {"quality.read"},
}


@dataclass(frozen=True)
class Person:
    """Somebody who has signed in. `form_key` belongs to this session alone: forms are signed with it."""

    name: str
    roles: frozenset[Role]
    form_key: bytes = field(repr=False)

    @property
    def rights(self) -> frozenset[Right]:
        return frozenset().union(*(RIGHTS[role] for role in self.roles))

    def may(self, right: Right) -> bool:
        return right in self.rights


def known_roles(names: Iterable[str]) -> frozenset[Role]:
    """Those of `names` that are roles."""
    return frozenset(role for role in ROLES if role in set(names))
