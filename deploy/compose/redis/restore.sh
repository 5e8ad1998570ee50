#!/bin/sh
# Makes Redis's data what a snapshot says. Redis, and all instances, must be stopped.
# Usage: restore.sh DUMP.RDB [FOLDER OF THE DATA]
#
# Copying the snapshot into place is not enough: with an append-only file configured, Redis 7 does not look at it and
# starts empty. So it is loaded once without, and written out as an append-only file.
set -eu

dump=$1
data=${2:-/data}
socket=$data/restore.sock

fail() {
    echo "restore: $*" >&2
    exit 1
}

ask() {
    redis-cli -s "$socket" "$@"
}

# Waits until a command's answer has a line.
until_told() {
    line=$1
    shift
    until ask "$@" 2>/dev/null | tr -d '\r' | grep -qx "$line"; do
        kill -0 "$server" 2>/dev/null || fail "redis-server ended; its output is above"
        sleep 0.1
    done
}

[ -r "$dump" ] || fail "$dump cannot be read by user $(id -u): chmod a+r it (its records are sealed)"
redis-check-rdb "$dump" >/dev/null || fail "$dump is no snapshot, or is damaged"
if [ -e "$data/appendonlydir" ]; then
    # Kept until the next restore, for whoever picked the wrong snapshot.
    rm -rf "$data/before-restore"
    mv "$data/appendonlydir" "$data/before-restore"
fi
cp "$dump" "$data/dump.rdb"
redis-server --dir "$data" --port 0 --unixsocket "$socket" --appendonly no --save '' --loglevel warning &
server=$!
until_told PONG PING
ask CONFIG SET appendonly yes >/dev/null
until_told aof_rewrite_scheduled:0 INFO persistence
until_told aof_rewrite_in_progress:0 INFO persistence
until_told aof_last_bgrewrite_status:ok INFO persistence
echo "restore: $(ask DBSIZE) keys"
ask SHUTDOWN NOSAVE >/dev/null 2>&1 || true
wait "$server"
