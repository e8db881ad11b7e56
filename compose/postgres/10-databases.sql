-- Runs once, when the volume is empty: the two databases, their owners, and the role that backups read with.
-- The passwords come from the secret files; they are never arguments of a command.
\set ON_ERROR_STOP on
\getenv secrets TIDEWATCH_SECRETS_DIR
\if :{?secrets}
\else
\set secrets /run/secrets
\endif
\set tidewatch_password `cat :'secrets'/postgres_tidewatch_password`
\set airflow_password `cat :'secrets'/postgres_airflow_password`
\set backup_password `cat :'secrets'/postgres_backup_password`

-- Statements with passwords stay out of the server's log, also when one of them fails.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;

CREATE ROLE tidewatch LOGIN PASSWORD :'tidewatch_password';
CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
-- Reads every table, also those with row-level security: a backup that skips rows is none.
CREATE ROLE tidewatch_backup LOGIN PASSWORD :'backup_password' BYPASSRLS CONNECTION LIMIT 20;
GRANT pg_read_all_data TO tidewatch_backup;
ALTER ROLE tidewatch_backup SET default_transaction_read_only = on;

CREATE DATABASE tidewatch OWNER tidewatch;
CREATE DATABASE airflow OWNER airflow;
REVOKE CONNECT, TEMPORARY ON DATABASE tidewatch FROM PUBLIC;
REVOKE CONNECT, TEMPORARY ON DATABASE airflow FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
GRANT CONNECT ON DATABASE tidewatch TO tidewatch_backup;
GRANT CONNECT ON DATABASE airflow TO tidewatch_backup;
