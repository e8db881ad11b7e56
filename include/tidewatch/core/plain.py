"""Text that people look at: nothing in it steers a terminal, a page or the direction of reading."""


def plain(text: str) -> str:
    """`text` with everything escaped that could steer what shows it or reorder what stands there: escape
    sequences, line breaks, marks of writing direction (`\\x1b`, `\\n`, `\\u202e`)."""
    return "".join(c if is_plain(c) else c.encode("unicode_escape").decode() for c in text)


def is_plain(character: str) -> bool:
    """Whether a character shows as itself and does nothing else."""
    return character.isprintable() or character == "\N{IDEOGRAPHIC SPACE}"


def shows(text: str) -> bool:
    """Whether there is something to see in it, and all of it can be written down. A name or a reason that
    nobody sees is none, and what no database keeps (half a character, a NUL) is none either."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text and any(c.isprintable() and not c.isspace() for c in text)
