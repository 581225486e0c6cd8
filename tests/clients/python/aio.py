"""aiokafka: see ../README.md for the protocol."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from common import commands, dec, emit, emit_record, expect, main, next_command


def compression(options):
    name = options.get("compression", "none")
    return None if name == "none" else name


async def produce(options):
    import json

    producer = AIOKafkaProducer(
        bootstrap_servers=options["bootstrap"],
        acks="all",
        enable_idempotence=options.get("idempotent", True),
        compression_type=compression(options),
        linger_ms=options.get("linger", 5),
        request_timeout_ms=options.get("timeout_ms", 120000),
    )
    await producer.start()
    lines = commands()
    loop = asyncio.get_running_loop()
    pending = set()
    while True:
        line = await loop.run_in_executor(None, lines.get)
        if line == "quit":
            break
        if not line:
            continue
        record = json.loads(line)
        future = await producer.send(
            options["topic"],
            value=dec(record.get("v")),
            key=dec(record.get("k")),
            headers=[(name, dec(value)) for name, value in record.get("h", [])],
            partition=record.get("p"),
            timestamp_ms=record.get("t"),
        )
        pending.add(future)

        def done(future, i=record["i"]):
            pending.discard(future)
            if future.exception() is not None:
                emit("fail", i=i, error=repr(future.exception()))
            else:
                meta = future.result()
                emit("ack", i=i, p=meta.partition, o=meta.offset)

        future.add_done_callback(done)
    await producer.stop()
    await asyncio.sleep(0)
    emit("done", left=len(pending))


class Listener(ConsumerRebalanceListener):
    async def on_partitions_revoked(self, revoked):
        emit("assigned", p=[])

    async def on_partitions_assigned(self, assigned):
        emit("assigned", p=sorted(p.partition for p in assigned))


async def consume(options):
    group, topic = options.get("group"), options["topic"]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=options["bootstrap"],
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        metadata_max_age_ms=5000,
    )
    if group:
        consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    if not group:
        await consumer._client.force_metadata_update()
        partitions = sorted(await consumer._client._wait_on_metadata(topic))
        consumer.assign([TopicPartition(topic, p) for p in partitions])
        await consumer.seek_to_beginning()
        emit("assigned", p=partitions)
    lines = commands()
    while True:
        command = next_command(lines)
        if command == "commit":
            try:
                await consumer.commit()
                emit("committed")
            except Exception as error:
                emit("error", error=repr(error))
        elif command == "quit":
            break
        for batch in (await consumer.getmany(timeout_ms=50)).values():
            for r in batch:
                emit_record(r.partition, r.offset, r.key, r.value, r.headers, r.timestamp)
    await consumer.stop()
    emit("closed")


async def admin(options):
    client = AIOKafkaAdminClient(bootstrap_servers=options["bootstrap"])
    await client.start()
    topic = options["topic"]

    async def step(name, work):
        try:
            emit("admin", op=name, ok=True, detail=str(await work()))
        except Exception as error:
            emit("admin", op=name, ok=False, detail=repr(error))

    async def create():
        answer = await client.create_topics([NewTopic(topic, 3, 1)])
        expect(all(error[1] == 0 for error in answer.topic_errors), str(answer))

    async def listed():
        expect(topic in await client.list_topics(), "not listed")

    async def describe():
        found = (await client.describe_topics([topic]))[0]
        expect(len(found["partitions"]) == 3, str(found))

    async def more_partitions():
        answer = await client.create_partitions({topic: NewPartitions(5)})
        expect(all(error[1] == 0 for error in answer.topic_errors), str(answer))

    async def groups():
        return len(await client.list_consumer_groups())

    async def cluster():
        answer = await client.describe_cluster()
        expect(len(answer["brokers"]) >= 1, str(answer))

    async def delete():
        answer = await client.delete_topics([topic])
        expect(all(error[1] == 0 for error in answer.topic_error_codes), str(answer))

    await step("create-topic", create)
    await step("list-topics", listed)
    await step("describe-topic", describe)
    await step("create-partitions", more_partitions)
    await step("list-groups", groups)
    await step("describe-cluster", cluster)
    await step("delete-topic", delete)
    await client.close()
    emit("done")


def run(work):
    return lambda options: asyncio.run(work(options))


main({"produce": run(produce), "consume": run(consume), "admin": run(admin)})
