-- A post that was deleted meanwhile is not shown.
insert into sentiment.differences (run_id, place, text_sha256, truth, champion_says, challenger_says, champion_p,
                                   challenger_p)
select %(run_id)s, %(place)s, t.text_sha256, %(truth)s, %(champion_says)s, %(challenger_says)s, %(champion_p)s::real[],
       %(challenger_p)s::real[]
from sentiment.texts t where t.text_sha256 = %(text_sha256)s
