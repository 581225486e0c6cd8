"""kcat behind the protocol of ../README.md: it starts kcat and translates its text.

kcat has no commands of its own on stdin while it consumes, so `commit` stops it (it then commits
what it has read and leaves its group), and `quit` after that has nothing left to do.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from common import commands, emit, emit_record, main, records  # noqa: E402

KCAT = os.environ.get("KCAT", "kcat")


def arguments(options):
    return [KCAT, "-b", options["bootstrap"], "-t", options["topic"]]


def produce(options):
    """One run of kcat per (partition, headers): kcat sets both for a whole run.

    kcat prints no offsets; an `ack` without one says that the run ended well (kcat waits for
    every delivery and fails otherwise).
    """
    runs, order = {}, []
    for record in records():
        name = (record.get("p"), tuple(record["h"]), record["v"] is None)
        if name not in runs:
            runs[name] = []
            order.append(name)
        runs[name].append(record)
    for name in order:
        partition, headers, tombstone = name
        command = arguments(options) + ["-P", "-K", "\x01", "-D", "\x02", "-X", "acks=all"]
        command += ["-X", "enable.idempotence=true", "-z", options.get("compression", "none")]
        if partition is not None:
            command += ["-p", str(partition)]
        for key, value in headers:
            command += ["-H", f"{key}={value.decode()}" if value is not None else key]
        if tombstone:
            command += ["-Z"]
        data = b"\x02".join((r["k"] or b"") + b"\x01" + (r["v"] or b"") for r in runs[name])
        result = subprocess.run(command, input=data, capture_output=True)
        for record in runs[name]:
            if result.returncode == 0 and b"ERROR" not in result.stderr:
                emit("ack", i=record["i"], p=partition, o=None)
            else:
                emit("fail", i=record["i"], error=result.stderr.decode(errors="replace")[-400:])
    emit("done", left=0)


# Length-prefixed, so that any byte may stand in a key or value.
FORMAT = "R %p %o %T %K %S %h\n%k%s\n"


def read_records(stream):
    for line in iter(stream.readline, b""):
        if not line.startswith(b"R "):
            continue
        parts = line[2:-1].split(b" ", 5)
        partition, offset, timestamp, key_len, value_len = (int(x) for x in parts[:5])
        body = stream.read(max(key_len, 0) + max(value_len, 0) + 1)
        key = body[: max(key_len, 0)] if key_len >= 0 else None
        value = body[max(key_len, 0) : -1] if value_len >= 0 else None
        headers = []
        for item in filter(None, parts[5].split(b",")) if len(parts) > 5 else []:
            name, _, data = item.partition(b"=")
            headers.append((name.decode(), None if data == b"NULL" else data))
        emit_record(partition, offset, key, value, headers, timestamp)


def watch_rebalances(stream, topic):
    """kcat tells its assignments on stderr."""
    held = set()
    for raw in stream:
        line = raw.decode(errors="replace")
        found = re.search(r"rebalanced.*?: (assigned|revoked): (.*)", line)
        if found:
            partitions = {int(p) for p in re.findall(r"\[(\d+)\]", found.group(2))}
            if found.group(1) == "assigned":
                held |= partitions
            else:
                held -= partitions
            emit("assigned", p=sorted(held))
        elif "ERROR" in line:
            emit("warning", error=line.strip())


def consume(options):
    group = options.get("group")
    if group:
        command = [KCAT, "-b", options["bootstrap"], "-X", "auto.offset.reset=earliest"]
        command += ["-u", "-f", FORMAT, "-G", group, options["topic"]]
    else:
        command = arguments(options) + ["-C", "-u", "-f", FORMAT, "-o", "beginning"]
    stderr = tempfile.TemporaryFile() if not group else subprocess.PIPE
    kcat = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
    reader = threading.Thread(target=read_records, args=(kcat.stdout,))
    reader.start()
    if group:
        watch = threading.Thread(target=watch_rebalances, args=(kcat.stderr, options["topic"]))
        watch.daemon = True
        watch.start()
    lines = commands()
    while True:
        command = lines.get()
        if command in ("commit", "quit") and kcat.poll() is None:
            kcat.terminate()
            kcat.wait(30)
            reader.join(30)
        if command == "commit":
            emit("committed")
        elif command == "quit":
            break
    emit("closed")


def admin(options):
    """kcat has no admin calls but the listing of metadata and the query of offsets."""

    def step(name, command, wanted):
        result = subprocess.run(command, capture_output=True, text=True)
        ok = result.returncode == 0 and wanted in result.stdout
        emit("admin", op=name, ok=ok, detail=(result.stdout + result.stderr)[-300:])

    topic = options["topic"]
    sent = subprocess.run(arguments(options) + ["-P", "-p", "0"], input=b"one\ntwo", check=False)
    emit("admin", op="auto-create", ok=sent.returncode == 0, detail="")
    step("list", [KCAT, "-b", options["bootstrap"], "-L"], f'topic "{topic}"')
    step("list-topic", arguments(options) + ["-L"], "partition 0, leader")
    query = [KCAT, "-b", options["bootstrap"], "-Q", "-t", f"{topic}:0:-1"]
    step("query-latest", query, "[0] offset 2")
    step("query-earliest", query[:-1] + [f"{topic}:0:-2"], "[0] offset 0")
    step("query-timestamp", query[:-1] + [f"{topic}:0:1"], "[0] offset 0")
    emit("done")


main({"produce": produce, "consume": consume, "admin": admin})
