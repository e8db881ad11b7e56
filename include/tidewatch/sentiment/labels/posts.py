"""What is labelled: a post, who it is, and which texts can be one."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tidewatch.core.canonical import digest, sha256_hex
from tidewatch.core.errors import ConfigError

Label = Literal["negative", "neutral", "positive", "unclear"]
UNCLEAR: Label = "unclear"
"""A person looked and cannot tell. It replaces that person's earlier label; nothing is trained on it."""

Source = Literal["seed", "import", "label_studio", "console"]

LONGEST_TEXT = 1_000_000
LONGEST_NAME = 200
LONGEST_PLATFORM = 100
LONGEST_ID = 400


@dataclass(frozen=True, slots=True)
class Post:
    """A post: its text, and where it is known by which id. Without both, the text is its identity.

    `platform` in lower case. `posted_at` is aware. Raises ConfigError for half an identity.
    """

    text: str = field(repr=False)
    platform: str | None = None
    native_id: str | None = None
    posted_at: datetime | None = None

    def __post_init__(self) -> None:
        if (self.platform is None) != (self.native_id is None):
            raise ConfigError(
                "A post has half an identity",
                expected="the platform and the id it has there, or neither",
                found="a platform only" if self.native_id is None else "an id only",
                do="give both, or leave both out: then the text is the identity",
            )

    @property
    def text_sha256(self) -> str:
        """SHA-256 of the text in UTF-8, hex."""
        return sha256_hex(self.text.encode())

    @property
    def key(self) -> str:
        """SHA-256 of who the post is, hex."""
        return post_key(self.platform, self.native_id, self.text_sha256)


def post_key(platform: str | None, native_id: str | None, text_sha256: str) -> str:
    """The identity of a post as 64 hex digits: of platform and id where it has them, else of its text."""
    return digest(["text", text_sha256] if platform is None else ["post", platform, native_id])


def tidy(post: Post) -> Post:
    """The post as it is kept: no white space around text and ids, the platform in lower case."""
    platform = None if post.platform is None else post.platform.strip().lower()
    native_id = None if post.native_id is None else post.native_id.strip()
    return Post(post.text.strip(), platform, native_id, post.posted_at)


def text_problem(text: str, longest: int = LONGEST_TEXT) -> str | None:
    """Why `text` (of a tidy post) cannot be a post, in words without the text; None: it can."""
    if not text:
        return "the text is empty"
    if len(text) > longest:
        return f"the text has {len(text)} characters, {longest} are allowed"
    if "\0" in text:
        return "the text holds a NUL character"
    if not encodable(text):
        return "the text holds half of a character (a lone surrogate)"
    return None


def name_problem(name: str, longest: int = LONGEST_NAME) -> str | None:
    """Why `name` (stripped) cannot name an annotator, a platform or an id; None: it can."""
    if not name:
        return "is empty"
    if len(name) > longest:
        return f"has {len(name)} characters, {longest} are allowed"
    if not name.isprintable() or not encodable(name):
        return "holds control characters"
    return None


def encodable(text: str) -> bool:
    """Whether `text` has a UTF-8 form: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
