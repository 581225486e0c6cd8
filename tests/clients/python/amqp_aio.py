"""aio-pika: amqp_aio.py PORT. Many channels at once, RPC by direct replies, streams, cancelled consumers."""

import asyncio
import sys

import aio_pika

COUNT = 500


async def work(connection, name):
    async with connection.channel() as channel:
        await channel.set_qos(prefetch_count=10)
        queue = await channel.declare_queue(name, durable=True)
        sent = [
            channel.default_exchange.publish(aio_pika.Message(b"%d" % n), routing_key=name)
            for n in range(COUNT)
        ]
        await asyncio.gather(*sent)
        seen = []
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    seen.append(int(message.body))
                if len(seen) == COUNT:
                    break
        assert seen == list(range(COUNT)), seen
        await queue.delete()


async def call(connection):
    channel = await connection.channel()
    asked = await channel.declare_queue("questions", exclusive=True)

    async def answer(message):
        reply = aio_pika.Message(message.body[::-1], correlation_id=message.correlation_id)
        await channel.default_exchange.publish(reply, routing_key=message.reply_to)

    await asked.consume(answer, no_ack=True)
    replies = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
    got = asyncio.get_running_loop().create_future()
    await replies.consume(lambda message: got.set_result(message.body), no_ack=True)
    question = aio_pika.Message(b"abc", reply_to="amq.rabbitmq.reply-to", correlation_id="1")
    await channel.default_exchange.publish(question, routing_key="questions")
    assert await asyncio.wait_for(got, 10) == b"cba"
    await channel.close()


async def stream(connection):
    channel = await connection.channel()
    queue = await channel.declare_queue(
        "aio-stream", durable=True, arguments={"x-queue-type": "stream"}
    )
    for n in range(10):
        await channel.default_exchange.publish(aio_pika.Message(b"%d" % n), routing_key=queue.name)
    await channel.set_qos(prefetch_count=3)
    for _ in range(2):
        seen = []
        async with queue.iterator(arguments={"x-stream-offset": "first"}) as messages:
            async for message in messages:
                await message.ack()
                seen.append((int(message.body), message.headers["x-stream-offset"]))
                if len(seen) == 10:
                    break
        assert [body for body, _ in seen] == list(range(10)), seen
    await channel.close()


async def main():
    connection = await aio_pika.connect_robust(host="127.0.0.1", port=int(sys.argv[1]))
    async with connection:
        await asyncio.gather(*[work(connection, f"aio-{n}") for n in range(8)])
        await call(connection)
        await stream(connection)


asyncio.run(main())
