#!/bin/sh
# amqplib's own suite against a server at localhost:5672, which is what it wants:
# suite.sh SERVER FOLDER MODULES
# To be run in a network of its own where that can be had.
set -eu
server=$1 folder=$2 modules=$3
ip link set lo up 2>/dev/null || true
: >"$folder/announced"
STENTOR__DATA_DIR=$folder/data STENTOR__KAFKA__LISTEN=off STENTOR__HTTP__LISTEN=off \
    STENTOR__AMQP__LISTEN="[::]:5672" STENTOR__AMQP__PRODUCT=RabbitMQ \
    "$server" serve >"$folder/announced" 2>"$folder/log" &
running=$!
trap 'kill $running' EXIT
while ! grep -q 'is ready' "$folder/announced"; do
    kill -0 $running
    sleep 0.1
done
cd "$modules/amqplib"
# Tests that fail are the caller's to judge.
node --test --test-timeout=6000 --test-reporter=tap test/*.test.js || true
