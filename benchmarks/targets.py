"""What was to be reached, and whether it was. Every target is told, missed ones too."""

from dataclasses import dataclass

from measure import Json, summary

MIB = 1 << 20


@dataclass(frozen=True)
class Target:
    """One target at one size."""

    size: int
    what: str
    limit: str
    found: str
    reached: bool | None
    """None: there is no limit, or no peer to compare with."""


def medians(contest: Json) -> dict[str, Json]:
    """Contender -> medians of its runs."""
    return {name: summary(runs) for name, runs in contest["runs"].items()}


def base(found: dict[str, Json]) -> tuple[str, float] | None:
    """The faster of the script's ways to one region: (name, seconds); None when there is no script."""
    ways = [(name, one["seconds"]) for name, one in found.items() if name.startswith("script/one region")]
    return min(ways, key=lambda way: way[1]) if ways else None


def restic_seconds(found: dict[str, Json]) -> float | None:
    """Backup and both copies, in whichever order was faster."""
    if "restic/backup" not in found:
        return None
    copies = min(found["restic/copies"]["seconds"], found["restic/copies at once"]["seconds"])
    return float(found["restic/backup"]["seconds"] + copies)


def targets(contests: list[Json]) -> list[Target]:
    """Of every size that was measured against the free endpoints."""
    rows: list[Target] = []
    peaks: dict[int, int] = {}
    for contest in contests:
        if contest["servers"] != "free":
            continue
        size, found = contest["shape"]["bytes"], medians(contest)
        script, everything = base(found), found["tidewatch/all"]["seconds"]
        peer = restic_seconds(found)
        pipeline = found["handed/stage"]["seconds"]
        all_cores = found.get("script/all cores for zstd, one region")
        if all_cores is not None:
            known = f"{everything / all_cores['seconds']:.2f}"
            rows.append(Target(size, "everything / script with zstd -T0", "(no target)", known, None))
        rows += [
            _ratio(size, "stage without fingerprint / script to one region", pipeline, script, 1.10),
            _ratio(size, "everything / script to one region", everything, script, 1.5),
            Target(
                size,
                "restic with two copies / everything",
                ">= 3.5",
                "not measured" if peer is None else f"{peer / everything:.2f}",
                None if peer is None else peer / everything >= 3.5,
            ),
        ]
        for phase in ("stage", "judge", "commit"):
            one = found[f"tidewatch/{phase}"]
            peak = int(one["peak_bytes"])
            loaded = f"{one['loaded_bytes'] / MIB:.0f} MiB before the work"
            told = f"{peak / MIB:.0f} MiB ({loaded})"
            what = f"peak memory of {phase}, children included"
            rows.append(Target(size, what, "< 300 MiB", told, peak < 300 * MIB))
        peaks[size] = int(found["tidewatch/stage"]["peak_bytes"])
    if len(peaks) > 1:
        small, large = min(peaks), max(peaks)
        more = (peaks[large] - peaks[small]) / MIB
        rows.append(
            Target(large, "peak memory of stage is flat", "<= 32 MiB more", f"{more:+.0f} MiB", more <= 32)
        )
    return rows


def _ratio(size: int, what: str, seconds: float, script: tuple[str, float] | None, limit: float) -> Target:
    if script is None:
        return Target(size, what, f"<= {limit:.2f}", "not measured", None)
    found = seconds / script[1]
    return Target(size, what, f"<= {limit:.2f}", f"{found:.2f}", found <= limit)
