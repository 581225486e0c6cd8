"""Publishes by one protocol and consumes by another: every ordered pair of Kafka, AMQP and SQS.

usage: cross.py KAFKA_ADDRESS AMQP_PORT SQS_URL
"""

import base64
import itertools
import json
import sys

import boto3
import pika
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

COUNT = 50
KAFKA, AMQP, SQS = sys.argv[1], int(sys.argv[2]), sys.argv[3]

sqs = boto3.client(
    "sqs",
    endpoint_url=SQS,
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)


def amqp():
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", AMQP))


def messages():
    """Bodies and headers: text that every protocol can have."""
    for n in range(COUNT):
        yield f"message {n} \u2713".encode(), {"color": f"red-{n}", "n": str(n)}


# Each protocol makes the queue in its own way: the others find what it has made.


def make_kafka(name):
    admin = AdminClient({"bootstrap.servers": KAFKA})
    admin.create_topics([NewTopic(name, 1)])[name].result()


def make_amqp(name):
    connection = amqp()
    connection.channel().queue_declare(name, durable=True)
    connection.close()


def make_sqs(name):
    return sqs.create_queue(QueueName=name)["QueueUrl"]


def publish_kafka(name, sent):
    failed = []
    producer = Producer({"bootstrap.servers": KAFKA})
    for body, headers in sent:
        producer.produce(
            name,
            body,
            partition=0,
            headers=list(headers.items()),
            on_delivery=lambda error, _: error and failed.append(error),
        )
    producer.flush()
    assert not failed, failed


def publish_amqp(name, sent):
    connection = amqp()
    channel = connection.channel()
    channel.confirm_delivery()
    for body, headers in sent:
        properties = pika.BasicProperties(delivery_mode=2, headers=headers)
        channel.basic_publish("", name, body, properties, mandatory=True)
    connection.close()


def publish_sqs(name, sent):
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    for body, headers in sent:
        sqs.send_message(
            QueueUrl=url,
            MessageBody=body.decode(),
            MessageAttributes={
                key: {"DataType": "String", "StringValue": value}
                for key, value in headers.items()
            },
        )


def own(headers, wanted):
    """What the publisher has set, of what came."""
    return {key: value for key, value in headers.items() if key in wanted}


def consume_kafka(name, wanted):
    consumer = Consumer({"bootstrap.servers": KAFKA, "group.id": "cross"})
    consumer.assign([TopicPartition(name, 0, 0)])
    got = []
    while len(got) < COUNT:
        message = consumer.poll(30)
        assert message is not None, f"{len(got)} came"
        assert not message.error(), message.error()
        headers = {
            key: value.decode()
            for key, value in message.headers() or []
            if key in wanted
        }
        got.append((message.value(), headers))
    consumer.close()
    return got


def consume_amqp(name, wanted):
    connection = amqp()
    channel = connection.channel()
    got = []
    for method, properties, body in channel.consume(name, inactivity_timeout=30):
        assert method is not None, f"{len(got)} came"
        got.append((body, own(properties.headers or {}, wanted)))
        channel.basic_ack(method.delivery_tag)
        if len(got) == COUNT:
            break
    channel.cancel()
    left = channel.queue_declare(name, passive=True).method.message_count
    assert left == 0, f"{left} are left"
    connection.close()
    return got


def consume_sqs(name, wanted):
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    got = []
    while len(got) < COUNT:
        answer = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=20,
            MessageAttributeNames=["All"],
        )
        batch = answer.get("Messages", [])
        assert batch, f"{len(got)} came"
        for message in batch:
            attributes = message.get("MessageAttributes", {})
            headers = {key: value["StringValue"] for key, value in attributes.items() if key in wanted}
            got.append((message["Body"].encode(), headers))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert left["ApproximateNumberOfMessages"] == "0", left
    assert left["ApproximateNumberOfMessagesNotVisible"] == "0", left
    return got


PROTOCOLS = {
    "kafka": (make_kafka, publish_kafka, consume_kafka),
    "amqp": (make_amqp, publish_amqp, consume_amqp),
    "sqs": (make_sqs, publish_sqs, consume_sqs),
}


def pairs():
    for first, second in itertools.product(PROTOCOLS, repeat=2):
        name = f"{first}-to-{second}"
        make, publish, _ = PROTOCOLS[first]
        make(name)
        if second != "kafka" and second != first:
            # Over what is there: a cursor of its own for a topic, the same queue for a queue.
            PROTOCOLS[second][0](name)
        sent = list(messages())
        publish(name, sent)
        got = PROTOCOLS[second][2](name, sent[0][1])
        assert got == sent, f"{name}: {got[:3]} instead of {sent[:3]}"
        print("done", name, flush=True)


def binary():
    """A body that is no text: as it is everywhere but in SQS, where an attribute says that it is
    base64."""
    body = bytes(range(256))
    make_sqs("binary")
    publish_amqp("binary", [(body, {})])
    url = sqs.get_queue_url(QueueName="binary")["QueueUrl"]
    message = sqs.receive_message(
        QueueUrl=url, WaitTimeSeconds=20, MessageAttributeNames=["All"]
    )["Messages"][0]
    encoding = message["MessageAttributes"]["content-transfer-encoding"]
    assert encoding == {"StringValue": "base64", "DataType": "String"}, encoding
    assert base64.b64decode(message["Body"]) == body
    print("done binary", flush=True)


def properties():
    """The properties of AMQP that other protocols know by name."""
    make_amqp("properties")
    connection = amqp()
    sent = pika.BasicProperties(
        content_type="text/plain", message_id="m-1", correlation_id="c-1", delivery_mode=2
    )
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish("", "properties", b"hello", sent)
    connection.close()
    consumer = Consumer({"bootstrap.servers": KAFKA, "group.id": "cross"})
    consumer.assign([TopicPartition("properties", 0, 0)])
    headers = dict(consumer.poll(30).headers())
    consumer.close()
    known = {key: headers.get(key) for key in ("content-type", "message-id", "correlation-id")}
    wanted = {"content-type": b"text/plain", "message-id": b"m-1", "correlation-id": b"c-1"}
    assert known == wanted, headers
    url = sqs.get_queue_url(QueueName="properties")["QueueUrl"]
    message = sqs.receive_message(
        QueueUrl=url, WaitTimeSeconds=20, MessageAttributeNames=["All"]
    )["Messages"][0]
    attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert attributes.get("content-type") == "text/plain", json.dumps(attributes)
    print("done properties", flush=True)


pairs()
binary()
properties()
