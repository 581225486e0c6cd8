"""What the Python client programs share: JSON lines out, commands and records in.

The protocol is in ../README.md.
"""

import base64
import json
import queue
import sys
import threading


def emit(kind, **fields):
    fields["e"] = kind
    sys.stdout.write(json.dumps(fields, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def enc(data):
    return None if data is None else base64.b64encode(data).decode("ascii")


def dec(text):
    return None if text is None else base64.b64decode(text)


def records():
    """Records to send, one JSON line each, until the harness closes our stdin."""
    for line in sys.stdin:
        line = line.strip()
        if line:
            record = json.loads(line)
            record["k"] = dec(record.get("k"))
            record["v"] = dec(record.get("v"))
            record["h"] = [(name, dec(value)) for name, value in record.get("h", [])]
            yield record


def emit_record(partition, offset, key, value, headers, timestamp):
    emit(
        "record",
        p=partition,
        o=offset,
        k=enc(key),
        v=enc(value),
        h=[[name, enc(data)] for name, data in (headers or [])],
        t=timestamp,
    )


def commands():
    """A queue that fills with the lines of stdin; the end of stdin counts as `quit`."""
    lines = queue.Queue()

    def read():
        for line in sys.stdin:
            lines.put(line.strip())
        lines.put("quit")

    threading.Thread(target=read, daemon=True).start()
    return lines


def next_command(lines):
    try:
        return lines.get_nowait()
    except queue.Empty:
        return None


class Admin:
    """Runs one admin step after the other and prints what came of each."""

    def step(self, name, work):
        try:
            detail = work()
            emit("admin", op=name, ok=True, detail=str(detail))
        except Exception as error:  # the harness decides what a failure means
            emit("admin", op=name, ok=False, detail=f"{type(error).__name__}: {error}")


def expect(condition, message):
    if not condition:
        raise AssertionError(message)


def until(work, message, seconds=20):
    """Asks again until the answer is true: metadata may lag the change that made it."""
    import time

    deadline = time.monotonic() + seconds
    while True:
        last = work()
        if last:
            return last
        if time.monotonic() > deadline:
            raise AssertionError(message)


def main(commands_by_name):
    name, options = sys.argv[1], json.loads(sys.argv[2])
    commands_by_name[name](options)
