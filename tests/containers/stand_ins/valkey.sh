#!/bin/sh
# As the official image's entry point does, give up root before the server starts, and only then.
set -eu
if [ "$1" = valkey-server ]; then
  chown -R valkey /data
  set -- setpriv --reuid=valkey --regid=valkey --clear-groups "$@"
fi
exec "$@"
