"""pika: amqp_pika.py PORT publish|consume. What is published and confirmed is consumed after a crash."""

import sys

import pika
from pika.exceptions import ChannelClosedByBroker, UnroutableError

COUNT = 200
PROPERTIES = pika.BasicProperties(
    delivery_mode=2,
    content_type="text/plain",
    correlation_id="c",
    headers={"number": 7, "word": "x", "yes": True, "list": [1, "a"], "none": None},
)


def connect(port):
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, heartbeat=10))


def refused(connection, code, act):
    channel = connection.channel()
    try:
        act(channel)
    except ChannelClosedByBroker as error:
        assert error.reply_code == code, error
        return
    raise AssertionError(f"nothing was refused with {code}")


def publish(port):
    connection = connect(port)
    channel = connection.channel()
    channel.exchange_declare("pika", "topic", durable=True)
    channel.queue_declare("pika", durable=True, arguments={"x-max-priority": 3})
    channel.queue_bind("pika", "pika", "orders.#")
    channel.confirm_delivery()
    for number in range(COUNT):
        channel.basic_publish("pika", "orders.new", b"%d" % number, PROPERTIES, mandatory=True)
    try:
        channel.basic_publish("pika", "nobody", b"lost", mandatory=True)
        raise AssertionError("it was routed")
    except UnroutableError as error:
        assert error.messages[0].body == b"lost"
    refused(connection, 404, lambda ch: ch.queue_declare("missing", passive=True))
    refused(connection, 406, lambda ch: ch.queue_declare("pika", durable=False))
    refused(connection, 403, lambda ch: ch.exchange_delete("amq.topic"))
    # The first half is consumed and acknowledged, the second delivered and not. A transaction's end
    # is on disk: what was acknowledged in it does not come again.
    transaction = connection.channel()
    transaction.tx_select()
    transaction.basic_qos(prefetch_count=COUNT)
    seen = 0
    for method, properties, body in transaction.consume("pika", inactivity_timeout=30):
        assert method is not None, f"{seen} came"
        assert body == b"%d" % seen, body
        assert properties.headers == PROPERTIES.headers, properties.headers
        assert (properties.content_type, properties.correlation_id) == ("text/plain", "c")
        seen += 1
        if seen == COUNT // 2:
            transaction.basic_ack(method.delivery_tag, multiple=True)
            transaction.tx_commit()
        if seen == COUNT:
            break
    assert channel.queue_declare("pika", passive=True).method.message_count == 0
    transaction.basic_publish("", "pika", b"rolled back")
    transaction.tx_rollback()
    transaction.basic_publish("", "pika", b"last", PROPERTIES)
    transaction.tx_commit()


def consume(port):
    connection = connect(port)
    channel = connection.channel()
    again = []
    for method, _, body in channel.consume("pika", inactivity_timeout=10):
        if method is None:
            break
        channel.basic_ack(method.delivery_tag)
        again.append((body, method.redelivered))
        if body == b"last":
            break
    bodies = [body for body, _ in again]
    unacknowledged = [b"%d" % number for number in range(COUNT // 2, COUNT)]
    assert bodies == unacknowledged + [b"last"], bodies
    assert all(redelivered for body, redelivered in again if body != b"last"), again
    connection.close()


{"publish": publish, "consume": consume}[sys.argv[2]](int(sys.argv[1]))
