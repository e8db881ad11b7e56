#!/bin/sh
# One-shot: bring both databases to this version's shape and make the buckets. Safe to run again.
set -eu
echo "Airflow's metadata database"
airflow db migrate
echo "Tidewatch's database"
tidewatch db migrate
echo "Buckets"
exec python /opt/tidewatch/compose/create_buckets.py
