#!/bin/sh
# Airflow's simple auth manager opens its password file for writing, which a mounted secret does not allow:
# give it a copy in this container's memory.
set -eu
umask 077
cp /run/secrets/airflow_users.json "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
exec airflow api-server "$@"
