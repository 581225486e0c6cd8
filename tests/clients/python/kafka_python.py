"""kafka-python: see ../README.md for the protocol."""

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener

from common import commands, emit, emit_record, main, next_command, records


def compression(options):
    name = options.get("compression", "none")
    return None if name == "none" else name


def produce(options):
    producer = KafkaProducer(
        bootstrap_servers=options["bootstrap"],
        acks="all",
        enable_idempotence=options.get("idempotent", True),
        compression_type=compression(options),
        linger_ms=options.get("linger", 5),
        delivery_timeout_ms=options.get("timeout_ms", 120000),
    )
    pending = []
    for record in records():
        future = producer.send(
            options["topic"],
            value=record["v"],
            key=record["k"],
            headers=record["h"],
            partition=record.get("p"),
            timestamp_ms=record.get("t"),
        )
        future.add_callback(
            lambda meta, i=record["i"]: emit("ack", i=i, p=meta.partition, o=meta.offset)
        )
        future.add_errback(lambda error, i=record["i"]: emit("fail", i=i, error=repr(error)))
        pending.append(future)
    producer.flush(timeout=options.get("timeout_ms", 120000) / 1000)
    producer.close()
    emit("done", left=sum(not future.is_done for future in pending))


class Listener(ConsumerRebalanceListener):
    def __init__(self):
        self.held = set()

    def on_partitions_assigned(self, partitions):
        self.held.update(p.partition for p in partitions)
        emit("assigned", p=sorted(self.held))

    def on_partitions_revoked(self, partitions):
        self.held.difference_update(p.partition for p in partitions)
        emit("assigned", p=sorted(self.held))


def consume(options):
    group, topic = options.get("group"), options["topic"]
    consumer = KafkaConsumer(
        bootstrap_servers=options["bootstrap"],
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    if group:
        consumer.subscribe([topic], listener=Listener())
    else:
        partitions = sorted(consumer.partitions_for_topic(topic))
        consumer.assign([TopicPartition(topic, p) for p in partitions])
        consumer.seek_to_beginning()
        emit("assigned", p=partitions)
    lines = commands()
    while True:
        command = next_command(lines)
        if command == "commit":
            try:
                consumer.commit()
                emit("committed")
            except Exception as error:
                emit("error", error=repr(error))
        elif command == "quit":
            break
        for batch in consumer.poll(timeout_ms=50).values():
            for r in batch:
                emit_record(r.partition, r.offset, r.key, r.value, r.headers, r.timestamp)
    consumer.close()
    emit("closed")


def admin(options):
    import kafka_python_admin

    kafka_python_admin.run(options)


main({"produce": produce, "consume": consume, "admin": admin})
