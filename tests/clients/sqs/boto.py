"""boto3, with JSON or with Query as its version speaks: what a program does with queues.

    boto.py ENDPOINT scenario          everything, checked here
    boto.py ENDPOINT send QUEUE N      N messages in batches, a line for each that was acknowledged
    boto.py ENDPOINT drain QUEUE       receives and deletes until there is nothing, a line for each
    boto.py ENDPOINT work QUEUE        sends to a FIFO queue, receives, deletes every second, for ever
    boto.py ENDPOINT resend QUEUE N..  sends the messages with these numbers of `work` again

Every check is an assertion; a line `done NAME` follows each part of the scenario.
"""

import hashlib
import json
import os
import sys
import threading
import time

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import ClientError

ALL = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"]}


def connect(endpoint):
    return boto3.client(
        "sqs",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="AKIDTEST",
        aws_secret_access_key=os.environ.get("STENTOR_SECRET", "secret"),
        config=Config(retries={"max_attempts": 0}, read_timeout=60),
    )


def error(call, **members):
    try:
        call(**members)
    except ClientError as failure:
        return failure.response["Error"]["Code"], failure.response["Error"]["Message"]
    raise AssertionError(f"{call} {members} went well")


def take(sqs, url, **more):
    members = {"MaxNumberOfMessages": 10, **ALL, **more}
    return sqs.receive_message(QueueUrl=url, **members).get("Messages", [])


def attribute(sqs, url, name):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]


def queues(sqs):
    url = sqs.create_queue(
        QueueName="plain", Attributes={"VisibilityTimeout": "7"}, tags={"team": "a"}
    )["QueueUrl"]
    assert url.endswith("/000000000000/plain"), url
    assert sqs.get_queue_url(QueueName="plain")["QueueUrl"] == url
    assert sqs.list_queues(QueueNamePrefix="pl")["QueueUrls"] == [url]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "7", attributes
    assert attributes["QueueArn"] == "arn:aws:sqs:us-east-1:000000000000:plain", attributes
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "9"})
    assert attribute(sqs, url, "VisibilityTimeout") == "9"
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "a"}
    sqs.tag_queue(QueueUrl=url, Tags={"b": "c"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["team"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "c"}
    sqs.add_permission(QueueUrl=url, Label="l", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
    assert json.loads(attribute(sqs, url, "Policy"))["Statement"][0]["Sid"] == "l"
    sqs.remove_permission(QueueUrl=url, Label="l")
    sqs.purge_queue(QueueUrl=url)
    assert error(sqs.purge_queue, QueueUrl=url)[0] == "AWS.SimpleQueueService.PurgeQueueInProgress"
    sqs.delete_queue(QueueUrl=url)
    code, text = error(sqs.get_queue_url, QueueName="plain")
    assert code == "AWS.SimpleQueueService.NonExistentQueue", code
    assert text.startswith("The specified queue does not exist"), text


def messages(sqs):
    url = sqs.create_queue(QueueName="messages")["QueueUrl"]
    body = "<h\u00e9llo & \"w\u00f6rld\">\r\n\t\U0001f600 ]]>"
    value = {
        "text": {"DataType": "String", "StringValue": "a&b<c>\r"},
        "number": {"DataType": "Number.int", "StringValue": "-12.5"},
        "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
    }
    sent = sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=value)
    assert sent["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()
    (got,) = take(sqs, url)
    assert got["Body"] == body, got["Body"]
    assert got["MessageAttributes"] == value, got["MessageAttributes"]
    assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert got["MessageId"] == sent["MessageId"]
    assert got["Attributes"]["SenderId"] == "AKIDTEST", got["Attributes"]
    assert got["Attributes"]["ApproximateReceiveCount"] == "1", got["Attributes"]
    assert take(sqs, url) == []
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"], VisibilityTimeout=0)
    (again,) = take(sqs, url)
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    assert attribute(sqs, url, "ApproximateNumberOfMessages") == "0"
    large = "x" * (1 << 20)
    sqs.send_message(QueueUrl=url, MessageBody=large)
    (got,) = take(sqs, url)
    assert got["Body"] == large
    code, text = error(sqs.send_message, QueueUrl=url, MessageBody=large + "x")
    assert code == "InvalidParameterValue" and "shorter than 1048576 bytes" in text, text
    assert error(sqs.delete_message, QueueUrl=url, ReceiptHandle="x")[0] == "ReceiptHandleIsInvalid"


def batches(sqs):
    url = sqs.create_queue(QueueName="batches")["QueueUrl"]
    entries = [{"Id": str(n), "MessageBody": f"body {n}"} for n in range(10)]
    entries[3]["DelaySeconds"] = 901
    told = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert len(told["Successful"]) == 9 and [one["Id"] for one in told["Failed"]] == ["3"], told
    assert told["Failed"][0]["Code"] == "InvalidParameterValue" and told["Failed"][0]["SenderFault"] is True
    got = take(sqs, url)
    assert [one["Body"] for one in got] == [f"body {n}" for n in range(10) if n != 3], got
    handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
    changes = [{**handle, "VisibilityTimeout": 60} for handle in handles]
    told = sqs.change_message_visibility_batch(QueueUrl=url, Entries=changes)
    assert len(told["Successful"]) == 9 and "Failed" not in told, told
    told = sqs.delete_message_batch(QueueUrl=url, Entries=handles + [{"Id": "x", "ReceiptHandle": "x"}])
    assert len(told["Successful"]) == 9 and told["Failed"][0]["Id"] == "x", told
    code, text = error(sqs.send_message_batch, QueueUrl=url, Entries=entries * 2)
    assert code == "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", code
    assert text == "Maximum number of entries per request are 10. You have sent 20.", text


def waiting(sqs):
    url = sqs.create_queue(QueueName="waiting")["QueueUrl"]
    begin = time.monotonic()
    assert take(sqs, url, WaitTimeSeconds=1) == []
    assert 0.9 < time.monotonic() - begin < 10
    got = []
    thread = threading.Thread(target=lambda: got.extend(take(sqs, url, WaitTimeSeconds=20)))
    begin = time.monotonic()
    thread.start()
    sqs.send_message(QueueUrl=url, MessageBody="for who waits")
    thread.join()
    assert [one["Body"] for one in got] == ["for who waits"] and time.monotonic() - begin < 15


def fifo(sqs):
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName="ordered.fifo", Attributes=attributes)["QueueUrl"]
    first = sqs.send_message(QueueUrl=url, MessageBody="0", MessageGroupId="a")
    again = sqs.send_message(QueueUrl=url, MessageBody="0", MessageGroupId="a")
    assert first["MessageId"] == again["MessageId"]
    assert first["SequenceNumber"] == again["SequenceNumber"]
    entries = [
        {"Id": str(n), "MessageBody": str(n), "MessageGroupId": "ab"[n % 2]} for n in range(1, 9)
    ]
    told = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    numbers = [first["SequenceNumber"]] + [one["SequenceNumber"] for one in told["Successful"]]
    assert numbers == sorted(set(numbers)), numbers
    got = take(sqs, url)
    by_group = {}
    for one in got:
        by_group.setdefault(one["Attributes"]["MessageGroupId"], []).append(one["Body"])
    assert by_group == {"a": ["0", "2", "4", "6", "8"], "b": ["1", "3", "5", "7"]}, by_group
    sqs.send_message(QueueUrl=url, MessageBody="9", MessageGroupId="a")
    assert take(sqs, url) == [], "the group is locked"
    for one in got:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
    assert [one["Body"] for one in take(sqs, url)] == ["9"]
    code, _ = error(sqs.send_message, QueueUrl=url, MessageBody="x")
    assert code == "MissingParameter", code


def dead_letters(sqs):
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = attribute(sqs, dead, "QueueArn")
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    url = sqs.create_queue(QueueName="alive", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    assert attribute(sqs, url, "RedrivePolicy") == policy
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    for _ in range(2):
        (got,) = take(sqs, url, VisibilityTimeout=0)
    assert take(sqs, url) == []
    (got,) = take(sqs, dead, WaitTimeSeconds=5, VisibilityTimeout=0)
    assert got["Body"] == "poison"
    assert got["Attributes"]["DeadLetterQueueSourceArn"].endswith(":alive")
    task = sqs.start_message_move_task(SourceArn=arn)["TaskHandle"]
    assert task
    deadline = time.monotonic() + 30
    while True:
        (one,) = sqs.list_message_move_tasks(SourceArn=arn)["Results"]
        if one["Status"] == "COMPLETED":
            break
        assert one["Status"] == "RUNNING" and time.monotonic() < deadline, one
    assert one["ApproximateNumberOfMessagesMoved"] == 1, one
    (got,) = take(sqs, url, WaitTimeSeconds=5)
    assert got["Body"] == "poison"


def fifo_dead_letters(sqs):
    attributes = {"FifoQueue": "true"}
    dead = sqs.create_queue(QueueName="dead.fifo", Attributes=attributes)["QueueUrl"]
    arn = attribute(sqs, dead, "QueueArn")
    attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    url = sqs.create_queue(QueueName="alive.fifo", Attributes=attributes)["QueueUrl"]
    for body in "12":
        sqs.send_message(
            QueueUrl=url, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=body
        )
    assert [one["Body"] for one in take(sqs, url, VisibilityTimeout=0)] == ["1", "2"]
    assert take(sqs, url) == []
    deadline = time.monotonic() + 30
    while attribute(sqs, dead, "ApproximateNumberOfMessages") != "2":
        assert time.monotonic() < deadline
    # Within the five minutes in which the queue knows them.
    sqs.start_message_move_task(SourceArn=arn)
    while attribute(sqs, url, "ApproximateNumberOfMessages") != "2":
        assert time.monotonic() < deadline, sqs.list_message_move_tasks(SourceArn=arn)["Results"]
    assert [one["Body"] for one in take(sqs, url)] == ["1", "2"]
    assert take(sqs, dead) == []


def scenario(endpoint):
    sqs = connect(endpoint)
    print("speaks", sqs.meta.service_model.metadata["protocol"], botocore.__version__)
    for part in [queues, messages, batches, waiting, fifo, dead_letters, fifo_dead_letters]:
        part(sqs)
        print("done", part.__name__, flush=True)


def send(endpoint, name, count):
    sqs = connect(endpoint)
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    for begin in range(0, int(count), 10):
        bodies = {str(n): f"{name} {n}" for n in range(begin, begin + 10)}
        entries = [{"Id": id, "MessageBody": body} for id, body in bodies.items()]
        try:
            told = sqs.send_message_batch(QueueUrl=url, Entries=entries)
        except Exception as failure:  # the server was killed: what was not answered may be lost
            print("lost", type(failure).__name__, flush=True)
            return
        for one in told["Successful"]:
            print("sent", bodies[one["Id"]], flush=True)


def drain(endpoint, name):
    sqs = connect(endpoint)
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    # Longer than what was received before the kill may still be hidden.
    while got := take(sqs, url, WaitTimeSeconds=3):
        for one in got:
            print("got", one["Body"], flush=True)
        handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
        assert "Failed" not in sqs.delete_message_batch(QueueUrl=url, Entries=handles)


def send_numbers(sqs, url, numbers):
    entries = [
        {
            "Id": str(n),
            "MessageBody": str(n),
            "MessageGroupId": "abc"[n % 3],
            "MessageDeduplicationId": f"d{n}",
        }
        for n in numbers
    ]
    told = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    for one in told["Successful"]:
        print("sent", one["Id"], one["MessageId"], one["SequenceNumber"], flush=True)


def work(endpoint, name):
    sqs = connect(endpoint)
    attributes = {"FifoQueue": "true", "VisibilityTimeout": "2"}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    try:
        for begin in range(0, 1_000_000, 10):
            send_numbers(sqs, url, range(begin, begin + 10))
            for at, one in enumerate(take(sqs, url)):
                members = {"QueueUrl": url, "ReceiptHandle": one["ReceiptHandle"]}
                if at % 2 == 1:
                    sqs.change_message_visibility(**members, VisibilityTimeout=0)
                    continue
                print("deleting", one["Body"], flush=True)
                sqs.delete_message(**members)
                print("deleted", one["Body"], flush=True)
    except Exception as failure:  # the server was killed: what was not answered may be lost
        print("lost", type(failure).__name__, flush=True)


def resend(endpoint, name, *numbers):
    sqs = connect(endpoint)
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    numbers = [int(n) for n in numbers]
    for begin in range(0, len(numbers), 10):
        send_numbers(sqs, url, numbers[begin : begin + 10])


if __name__ == "__main__":
    endpoint, action, *arguments = sys.argv[1:]
    actions = [scenario, send, drain, work, resend]
    {one.__name__: one for one in actions}[action](endpoint, *arguments)
