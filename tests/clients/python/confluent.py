"""confluent-kafka (librdkafka): see ../README.md for the protocol."""

import threading

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition, libversion
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from common import Admin, commands, emit, emit_record, expect, main, next_command, records, until


def produce(options):
    producer = Producer(
        {
            "bootstrap.servers": options["bootstrap"],
            "enable.idempotence": options.get("idempotent", True),
            "acks": options.get("acks", "all"),
            "compression.type": options.get("compression", "none"),
            "linger.ms": options.get("linger", 5),
            "message.timeout.ms": options.get("timeout_ms", 120000),
            **options.get("extra", {}),
        }
    )

    # Callbacks run in poll: also while nothing more comes in.
    ended = threading.Event()

    def poll():
        while not ended.is_set():
            producer.poll(0.1)

    poller = threading.Thread(target=poll)
    poller.start()
    for record in records():
        def done(error, message, i=record["i"]):
            if error is not None:
                emit("fail", i=i, error=str(error))
            else:
                emit("ack", i=i, p=message.partition(), o=message.offset())

        arguments = {"partition": record["p"]} if record.get("p") is not None else {}
        if record.get("t") is not None:
            arguments["timestamp"] = record["t"]
        while True:
            try:
                producer.produce(
                    options["topic"],
                    value=record["v"],
                    key=record["k"],
                    headers=record["h"] or None,
                    on_delivery=done,
                    **arguments,
                )
                break
            except BufferError:
                producer.poll(0.1)
    ended.set()
    poller.join()
    left = producer.flush(options.get("timeout_ms", 120000) / 1000)
    emit("done", left=left)


def consume(options):
    group = options.get("group")
    consumer = Consumer(
        {
            "bootstrap.servers": options["bootstrap"],
            "group.id": group or "not-a-group",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": options.get("assignor", "range,roundrobin"),
            **({"group.instance.id": options["instance"]} if options.get("instance") else {}),
            **options.get("extra", {}),
        }
    )
    held = set()

    def assigned(_, partitions):
        held.update(p.partition for p in partitions)
        emit("assigned", p=sorted(held))

    def revoked(_, partitions):
        held.difference_update(p.partition for p in partitions)
        emit("assigned", p=sorted(held))

    if group:
        consumer.subscribe(
            [options["topic"]], on_assign=assigned, on_revoke=revoked, on_lost=revoked
        )
    else:
        topic = consumer.list_topics(options["topic"], timeout=30).topics[options["topic"]]
        consumer.assign([TopicPartition(options["topic"], p, 0) for p in topic.partitions])
        emit("assigned", p=sorted(topic.partitions))
    lines = commands()
    while True:
        command = next_command(lines)
        if command == "commit":
            try:
                consumer.commit(asynchronous=False)
                emit("committed")
            except KafkaException as error:
                if "_NO_OFFSET" in str(error):
                    emit("committed")
                else:
                    emit("error", error=str(error))
        elif command == "quit":
            break
        for message in consumer.consume(500, timeout=0.05):
            if message.error():
                emit("warning", error=str(message.error()))
                continue
            emit_record(
                message.partition(),
                message.offset(),
                message.key(),
                message.value(),
                message.headers(),
                message.timestamp()[1],
            )
    consumer.close()
    emit("closed")


def admin(options):
    client = AdminClient({"bootstrap.servers": options["bootstrap"]})
    topic, group = options["topic"], options["group"]
    resource = ConfigResource(ResourceType.TOPIC, topic)
    steps = Admin()

    def create():
        new = NewTopic(topic, 3, 1, config={"retention.ms": "86400000"})
        client.create_topics([new])[topic].result(30)

    def exists_is_refused():
        try:
            client.create_topics([NewTopic(topic, 3, 1)])[topic].result(30)
        except KafkaException as error:
            expect(error.args[0].name() == "TOPIC_ALREADY_EXISTS", str(error))
            return error.args[0].name()
        raise AssertionError("the second creation succeeded")

    def partitions():
        return client.list_topics(topic, timeout=10).topics[topic].partitions

    def describe_configs():
        config = client.describe_configs([resource])[resource].result(30)
        expect(config["retention.ms"].value == "86400000", config["retention.ms"].value)
        return len(config)

    def alter():
        change = ConfigEntry(
            "retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET
        )
        changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
        client.incremental_alter_configs([changed])[changed].result(30)
        until(
            lambda: client.describe_configs([resource])[resource].result(30)["retention.ms"].value
            == "3600000",
            "the new value does not show",
        )

    def more_partitions():
        client.create_partitions([NewPartitions(topic, 5)])[topic].result(30)
        until(lambda: len(partitions()) == 5, "five partitions do not show")

    def describe_topic():
        from confluent_kafka import TopicCollection

        found = client.describe_topics(TopicCollection([topic]))[topic].result(30)
        expect(len(found.partitions) == 5, str(len(found.partitions)))
        return found.topic_id

    def group_work():
        producer = Producer({"bootstrap.servers": options["bootstrap"]})
        for i in range(10):
            producer.produce(topic, value=b"%d" % i, partition=0)
        expect(producer.flush(30) == 0, "not flushed")
        consumer = Consumer(
            {
                "bootstrap.servers": options["bootstrap"],
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([topic])
        seen = []
        until(lambda: seen.extend(consumer.consume(10, timeout=1)) or len(seen) >= 10, "10", 60)
        consumer.commit(asynchronous=False)
        consumer.close()

    def list_groups():
        groups = client.list_consumer_groups().result(30).valid
        expect(any(g.group_id == group for g in groups), "the group is not listed")

    def describe_group():
        found = client.describe_consumer_groups([group])[group].result(30)
        expect(found.group_id == group, found.group_id)
        return found.state

    def group_offsets():
        asked = ConsumerGroupTopicPartitions(group)
        answer = client.list_consumer_group_offsets([asked])[group].result(30)
        at = {p.partition: p.offset for p in answer.topic_partitions}
        expect(at.get(0) == 10, str(at))

    def list_offsets():
        partition = TopicPartition(topic, 0)
        answer = client.list_offsets({partition: OffsetSpec.latest()})[partition].result(30)
        expect(answer.offset == 10, str(answer.offset))

    def delete_records():
        partition = TopicPartition(topic, 0, 4)
        answer = client.delete_records([partition])[partition].result(30)
        expect(answer.low_watermark == 4, str(answer.low_watermark))

    def delete_group():
        client.delete_consumer_groups([group])[group].result(30)

    def cluster():
        answer = client.describe_cluster().result(30)
        expect(len(answer.nodes) >= 1, "no node")
        return answer.cluster_id

    def delete_topic():
        client.delete_topics([topic])[topic].result(30)
        until(lambda: topic not in client.list_topics(timeout=10).topics, "still listed")

    steps.step("create-topic", create)
    steps.step("create-topic-again", exists_is_refused)
    steps.step("metadata", lambda: until(lambda: len(partitions()) == 3, "three partitions"))
    steps.step("describe-configs", describe_configs)
    steps.step("alter-configs", alter)
    steps.step("create-partitions", more_partitions)
    steps.step("describe-topic", describe_topic)
    steps.step("group-work", group_work)
    steps.step("list-groups", list_groups)
    steps.step("describe-group", describe_group)
    steps.step("group-offsets", group_offsets)
    steps.step("list-offsets", list_offsets)
    steps.step("delete-records", delete_records)
    steps.step("delete-group", delete_group)
    steps.step("describe-cluster", cluster)
    steps.step("delete-topic", delete_topic)
    emit("done", version=libversion()[0])


main({"produce": produce, "consume": consume, "admin": admin})
