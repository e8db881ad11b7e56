"""What expires goes from real regions, nothing half visible; what is kept stays whole."""

from history_rig import HistoryRig

from tidewatch.backup.retention.expire import mark, preview
from tidewatch.backup.retention.remove import remove
from tidewatch.vault.verify import verify_copy

PACK = "objects/pack-00001.tar.zst.age"


def _whole(rig: HistoryRig, backup_id: str) -> None:
    for region in rig.regions:
        report = verify_copy(region, backup_id, rig.keys.signing_key.public, now=rig.clock())
        assert report.manifest is not None and [o.problem for o in report.objects if o.size is None] == []


def test_what_nobody_needs_goes_and_what_a_kept_backup_refers_to_stays(rig: HistoryRig) -> None:
    old = rig.made(5, "a")
    also = rig.made(4, "b")
    (rig.media / "b").unlink()
    kept = [rig.made(1, "c"), rig.made(0, "d")]
    assert [d.keep for d in preview(rig.ctx, "media")] == [False, False, True, True]
    marked = mark(rig.ctx, "media")
    assert marked.expired == (old, also) and mark(rig.ctx, "media").expired == ()
    for region in rig.regions:
        done = remove(rig.ctx, region)
        assert (done.finished, done.waiting, done.refused) == (1, 1, 0), done
        assert (
            rig.keys_in(region, old)
            == [k for k in rig.keys_in(region, old) if k.startswith("objects/")]
            != []
        )
        assert rig.keys_in(region, also) == []
    for backup_id in kept:
        _whole(rig, backup_id)
    assert rig.kinds().count("backup.expired") == 2 and rig.kinds().count("removal.done") == 3
    assert remove(rig.ctx, rig.regions[0]).keys == 0
