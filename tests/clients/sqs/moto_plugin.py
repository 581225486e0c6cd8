"""For pytest, running moto's tests against a server: every test begins without queues, as moto's own
server would have it, and a line `verdict TEST OUTCOME` follows each.
"""

import os

import boto3
import pytest

_client = boto3.client
_outcomes = {}


@pytest.fixture(autouse=True)
def without_queues():
    sqs = _client("sqs", endpoint_url=os.environ["TEST_SERVER_MODE_ENDPOINT"], region_name="us-east-1")
    for url in sqs.list_queues().get("QueueUrls", []):
        sqs.delete_queue(QueueUrl=url)


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        _outcomes.setdefault(report.nodeid, report.outcome)


def pytest_sessionfinish():
    print()
    for test, outcome in _outcomes.items():
        print("verdict", test.removeprefix("tests/test_sqs/"), outcome)
