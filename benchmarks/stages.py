"""Where the time of a phase goes, from what the phase itself says on its way."""

from collections.abc import Sequence

_ENDS = {
    "stage": (
        ("tables locked", "begin, snapshot, locks"),
        ("dump sent", "dump, compress, encrypt, send to three regions; fingerprint beside it"),
        ("everything is sent", "roles; wait for the fingerprint"),
        ("", "record"),
    ),
    "judge": (("proved", "lock and read back in three regions"), ("", "gate, record")),
    "commit": (
        ("manifest is signed", "sign"),
        ("the manifest is stored", "manifest in three regions, read back"),
        ("", "record"),
    ),
}
"""phase -> (what the last line of a stage contains, name of the stage), in order."""


def stages(phase: str, steps: Sequence[tuple[float, str]], seconds: float) -> dict[str, float]:
    """Seconds of each stage of `phase`; `steps` are (seconds since its start, line)."""
    taken: dict[str, float] = {}
    so_far = 0.0
    for ending, name in _ENDS[phase]:
        moments = [at for at, line in steps if ending and ending in line]
        if not ending:
            moments = [seconds]
        if moments:
            taken[name] = round(max(moments) - so_far, 3)
            so_far = max(moments)
    return taken
