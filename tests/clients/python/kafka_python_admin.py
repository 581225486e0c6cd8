"""kafka-python's admin client, one step per operation."""

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError

from common import Admin, emit, expect, until


def run(options):
    bootstrap, topic, group = options["bootstrap"], options["topic"], options["group"]
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    steps = Admin()

    def create():
        client.create_topics([NewTopic(topic, 3, 1, topic_configs={"retention.ms": "86400000"})])

    def again():
        try:
            client.create_topics([NewTopic(topic, 3, 1)])
        except TopicAlreadyExistsError:
            return
        raise AssertionError("the second creation succeeded")

    def partitions():
        return client.describe_topics([topic])[0]["partitions"]

    def configs():
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        answer = client.describe_configs([resource], config_filter="all")
        expect("86400000" in str(answer), str(answer)[:500])

    def alter():
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "3600000"})
        client.alter_configs([resource])
        asked = ConfigResource(ConfigResourceType.TOPIC, topic)
        until(
            lambda: "3600000" in str(client.describe_configs([asked], config_filter="all")),
            "the new value does not show",
        )

    def more_partitions():
        client.create_partitions({topic: NewPartitions(5)})
        until(lambda: len(partitions()) == 5, "five partitions do not show")

    def group_work():
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        for i in range(10):
            producer.send(topic, value=b"%d" % i, partition=0)
        producer.flush(timeout=30)
        producer.close()
        consumer = KafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        seen = []

        def poll():
            for batch in consumer.poll(timeout_ms=500).values():
                seen.extend(batch)
            return len(seen) >= 10

        until(poll, "ten records", 60)
        consumer.commit()
        consumer.close()

    def list_groups():
        expect(group in str(client.list_groups()), "the group is not listed")

    def describe_group():
        expect(group in str(client.describe_groups([group])), "the group is not described")

    def group_offsets():
        answer = str(client.list_group_offsets([group]))
        expect("offset=10" in answer or "10" in answer, answer)

    def delete_records():
        client.delete_records({TopicPartition(topic, 0): 4})
        consumer = KafkaConsumer(bootstrap_servers=bootstrap)
        start = consumer.beginning_offsets([TopicPartition(topic, 0)])
        end = consumer.end_offsets([TopicPartition(topic, 0)])
        consumer.close()
        expect(list(start.values()) == [4] and list(end.values()) == [10], f"{start} {end}")

    def delete_topic():
        client.delete_topics([topic])
        until(lambda: topic not in str(client.list_topics()), "still listed")

    steps.step("create-topic", create)
    steps.step("create-topic-again", again)
    steps.step("describe-topic", lambda: until(lambda: len(partitions()) == 3, "three partitions"))
    steps.step("describe-configs", configs)
    steps.step("alter-configs", alter)
    steps.step("create-partitions", more_partitions)
    steps.step("group-work", group_work)
    steps.step("list-groups", list_groups)
    steps.step("describe-group", describe_group)
    steps.step("group-offsets", group_offsets)
    steps.step("delete-records", delete_records)
    steps.step("delete-group", lambda: client.delete_groups([group]))
    steps.step("describe-cluster", client.describe_cluster)
    steps.step("describe-log-dirs", client.describe_log_dirs)
    steps.step("delete-topic", delete_topic)
    client.close()
    emit("done")
