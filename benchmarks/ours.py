"""Tidewatch's own pipeline: stage, judge, commit, each in a process of its own."""

import json
import secrets
import sys
from pathlib import Path

from measure import Json, Taken, run
from rig import HERE, Running

PHASES = ("stage", "judge", "commit")
_KEPT = ("imports", "own_peak_bytes", "loaded_bytes", "cpu_self", "steps", "result")


def backup(place: Running, source: str = "ops", *, fingerprint: Path | None = None) -> dict[str, Taken]:
    """One whole backup; what each phase took, and `all`. Fails unless it is sealed."""
    rig = place.rig.save()
    option: list[str | Path] = [] if fingerprint is None else ["--fingerprint", fingerprint]
    if fingerprint is not None and not fingerprint.exists():
        run([sys.executable, HERE / "phase.py", rig, "fingerprint", source, *option])
    taken = {"stage": _phase(place, [rig, "stage", source, secrets.token_hex(4), *option])}
    backup_id = taken["stage"].detail["result"]["backup_id"]
    for phase in PHASES[1:]:
        taken[phase] = _phase(place, [rig, phase, backup_id])
    verdict = taken["commit"].detail["result"]["verdict"]
    assert verdict == "sealed", taken["commit"].detail["result"]
    return taken | {"all": _sum(list(taken.values()))}


def _phase(place: Running, arguments: list[str | Path]) -> Taken:
    done = run([sys.executable, HERE / "phase.py", *arguments], servers=place.servers())
    facts: Json = json.loads(done.output.splitlines()[-1])
    return Taken(
        facts["seconds"],
        facts["cpu_self"] + facts["cpu_children"],
        done.peak_bytes,
        done.postgres_cpu,
        done.endpoint_cpu,
        done.others_cores,
        detail={k: facts[k] for k in _KEPT},
    )


def _sum(parts: list[Taken]) -> Taken:
    total = Taken()
    for part in parts:
        total.seconds += part.seconds
        total.cpu += part.cpu
        total.peak_bytes = max(total.peak_bytes, part.peak_bytes)
        total.postgres_cpu += part.postgres_cpu
        total.endpoint_cpu += part.endpoint_cpu
        total.others_cores = max(total.others_cores, part.others_cores)
    own = max(part.detail["own_peak_bytes"] for part in parts)
    total.detail = {"own_peak_bytes": own, "imports": sum(part.detail["imports"] for part in parts)}
    return total
