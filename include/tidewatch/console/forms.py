"""Forms: each carries a token that belongs to the session; without it nothing is changed."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Annotated, TypeVar

from fastapi import Depends, HTTPException, Request
from starlette.datastructures import UploadFile

from tidewatch.access.roles import Person, Right

MAX_TEXT = 2000
Value = TypeVar("Value", bound=str)


class Form:
    """What somebody typed, checked to come from a form of this session."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def text(self, name: str, *, longest: int = MAX_TEXT) -> str:
        """The field without blanks around it, "" when it is absent. Raises HTTPException 422 when too long,
        or when it holds what cannot be stored."""
        value = self._fields.get(name, "").strip()
        if len(value) > longest or "\0" in value:
            raise HTTPException(422, f"{name}: at most {longest} characters")
        return value.encode("utf-8", "replace").decode()


def token(person: Person) -> str:
    """What the forms of this session carry."""
    return hmac.new(person.form_key, b"form", hashlib.sha256).hexdigest()


def seal(person: Person, about: str, value: str) -> str:
    """`value` as 64 digits that tell the browser nothing, and that `unseal` reads in this session only."""
    text = f"sealed\0{about}\0{value}".encode()
    return hmac.new(person.form_key, text, hashlib.sha256).hexdigest()


def unseal(person: Person, about: str, sealed: str, values: Iterable[Value]) -> Value | None:
    """Which of `values` was sealed about this; None: none of them, or in another session."""
    for value in values:
        if hmac.compare_digest(sealed.encode(), seal(person, about, value).encode()):
            return value
    return None


async def signed_form(request: Request) -> Form:
    """The fields of a form of ours. Raises HTTPException 403 when its token is not this session's."""
    fields = await read_fields(request)
    person: Person | None = request.state.person
    if person is None or not hmac.compare_digest(
        fields.get("form_token", "").encode(), token(person).encode()
    ):
        raise HTTPException(403, "form")
    return Form(fields)


async def read_fields(request: Request) -> dict[str, str]:
    """The text fields of a form; a file in the place of a text counts as absent."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise HTTPException(415, "A form is expected")
    form = await request.form(max_files=0, max_fields=50)
    return {name: value for name, value in form.items() if not isinstance(value, UploadFile)}


class Needs:
    """A route's right: `Depends(Needs("backups.read"))` gives the person or refuses."""

    def __init__(self, right: Right) -> None:
        self.right = right

    def __call__(self, request: Request) -> Person:
        person: Person | None = request.state.person
        if person is None:
            raise HTTPException(401)
        if not person.may(self.right):
            raise HTTPException(403, "right")
        return person


SignedForm = Annotated[Form, Depends(signed_form)]
