"""The colour of a status: of what it means, and never the only sign of it."""

from tidewatch.evidence.report.blocks import Cell, Tone, cell
from tidewatch.evidence.report.words import Words

STATUS_TONE: dict[str, Tone] = {
    "sealed": "good",
    "accepted": "good",
    "passed": "good",
    "signed": "good",
    "degraded": "warn",
    "suspect": "bad",
    "rejected": "bad",
    "failed": "bad",
    "error": "bad",
    "refused": "bad",
    "critical": "bad",
    "unsigned": "warn",
    "warning": "warn",
}


def status_cell(say: Words, status: str) -> Cell:
    """A status with the colour of what it means."""
    return cell(say.status(status), STATUS_TONE.get(status, ""))
