"""Why a text has its label: the n-grams that spoke for it and against it."""

from dataclasses import dataclass

URL_WORD, MENTION_WORD = "<url>", "<mention>"


@dataclass(frozen=True)
class Reason:
    """An n-gram of the normalised text, how often it occurs, and what it adds to the score of the label given
    over the mean of the other classes (in units of log odds; negative speaks against it)."""

    ngram: str
    times: int
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """The label and its probability; `base` is what the label has before any n-gram is seen; the reasons of
    the largest effect, largest first. `unseen`: the share of the n-grams that training did not know."""

    label: str
    probability: float
    base: float
    unseen: float
    reasons: tuple[Reason, ...]


def spell(text: str) -> list[str]:
    """The n-grams of a normalised text, in the order in which `features.ngrams` hashes them: slow and plain.

    Pairs of words are written with a space between; the first word of a text is a pair with nothing.
    """
    padded = f" {text} "
    found: list[str] = []
    word, before = "", ""
    for at, character in enumerate(padded):
        for length in range(1, 4):
            if at + 1 >= length:
                found.append(padded[at + 1 - length : at + 1])
        if _is_letter(character):
            if at >= 3:
                found.append(padded[at - 3 : at + 1])
            word += character
        elif word:
            found += [word, f"{before} {word}"]
            before, word = word, ""
    return found


def _is_letter(character: str) -> bool:
    return "a" <= character <= "z" or "0" <= character <= "9" or character == "'" or "À" <= character < "ᄀ"
