"""People who do not exist, reachable nowhere.

Why nobody can be reached by this data:

* Phone numbers come only from ranges that regulators keep free for films and examples: Ofcom's drama numbers
  (United Kingdom: 07700 900000-900999, 020 7946 0000-0999, 01632 960000-960999, and 496 0000-0999 in ten
  cities) and 555-0100 to 555-0199 of the North American plan. No Chinese range is reserved like this, and any
  plausible +86 number may be somebody's, so the data has none although its customers live in China.
* E-mail addresses end in example.com, example.net, example.org or the top-level name `.example`, which
  RFC 2606 and RFC 6761 reserve: they are never registered to anyone and take no mail.
* WeChat identifiers have more than the 20 characters that WeChat allows.
* Network addresses of staff are of 192.0.2.0/24, kept for documentation by RFC 5737.
* Names are drawn from lists of surnames and syllables; a likeness to a person is chance.
"""

from random import Random

from tidewatch.local.seed.grammar import load

_CITY_CODES = ("113", "114", "115", "116", "117", "121", "131", "141", "151", "161")
_NANP_AREAS = ("212", "305", "312", "415", "503", "604", "617", "647", "702", "808", "917")
_MAIL_HOSTS = ("example.com", "example.com", "example.net", "example.org", "mail.example", "post.example")


def full_name(lang: str, rng: Random) -> str:
    """A name as people of that language write it."""
    names = load("people")
    if lang == "en":
        return f"{rng.choice(names['first'])} {rng.choice(names['last'])}"
    given = "".join(rng.choice(names["given"]) for _ in range(1 + (rng.random() < 0.75)))
    return f"{rng.choice(names['surname'])}{given}"


def phone(rng: Random) -> str:
    """An international number of a range reserved for fiction."""
    kind, number = rng.random(), rng.randrange(1000)
    if kind < 0.35:
        return f"+44 7700 900{number:03d}"
    if kind < 0.50:
        return f"+44 20 7946 0{number:03d}"
    if kind < 0.70:
        return f"+44 {rng.choice(_CITY_CODES)} 496 0{number:03d}"
    if kind < 0.80:
        return f"+44 1632 960{number:03d}"
    return f"+1 {rng.choice(_NANP_AREAS)}-555-01{number % 100:02d}"


def email(number: int, rng: Random) -> str:
    """An address under a reserved domain; the number makes it unique."""
    return f"{rng.choice(('user', 'home', 'kettle', 'mug', 'guest'))}.{number}@{rng.choice(_MAIL_HOSTS)}"


def wechat_id(number: int) -> str:
    """Too long to be one."""
    return f"example-not-a-wechat-id-{number:06d}"


def office_ip(number: int) -> str:
    """An address of the block kept for documentation."""
    return f"192.0.2.{number % 254 + 1}"
