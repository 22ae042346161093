#!/bin/sh
# The part of the official image's entry point that the compose file needs: a database with a user and a password from a file.
set -eu
as_postgres="setpriv --reuid=postgres --regid=postgres --clear-groups"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  install --directory --owner=postgres --mode=0700 "$PGDATA"
  install --owner=postgres --mode=0600 "$POSTGRES_PASSWORD_FILE" /tmp/password
  $as_postgres initdb --pgdata "$PGDATA" --encoding UTF8 --locale C.UTF-8 --username "$POSTGRES_USER" --pwfile /tmp/password --auth-host scram-sha-256 --auth-local trust
  rm /tmp/password
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
  echo "unix_socket_directories = '/tmp'" >> "$PGDATA/postgresql.conf"
  $as_postgres pg_ctl --pgdata "$PGDATA" --options "-c listen_addresses=" --wait start
  $as_postgres createdb --host /tmp --username "$POSTGRES_USER" "$POSTGRES_DB" || [ "$POSTGRES_DB" = "$POSTGRES_USER" ]
  $as_postgres pg_ctl --pgdata "$PGDATA" --mode fast --wait stop
fi
exec $as_postgres "$@"
