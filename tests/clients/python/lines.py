"""The values of one partition as lines on standard output: lines.py ADDRESS TOPIC COUNT."""

import sys

from confluent_kafka import Consumer, TopicPartition


def main():
    address, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    consumer = Consumer(
        {"bootstrap.servers": address, "group.id": "lines", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    seen = 0
    while seen < count:
        for message in consumer.consume(10000, timeout=30):
            if message.error():
                raise SystemExit(str(message.error()))
            sys.stdout.buffer.write(message.value() + b"\n")
            seen += 1
    consumer.close()


main()
