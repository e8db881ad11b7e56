select data_type
from information_schema.columns
where table_schema = %(schema)s and table_name = %(table)s and column_name = %(column)s
