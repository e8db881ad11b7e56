insert into quality.results
    (gate, run_id, subject, batch, position, expectation, columns, severity, success, evaluated, expected,
     observed, unexpected_count, element_count, rows, note_zh, note_en)
values
    (%(gate)s, %(run_id)s, %(subject)s, %(batch)s, %(position)s, %(expectation)s, %(columns)s, %(severity)s,
     %(success)s, %(evaluated)s, %(expected)s, %(observed)s, %(unexpected_count)s, %(element_count)s, %(rows)s,
     %(note_zh)s, %(note_en)s)
