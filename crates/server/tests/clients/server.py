"""What the tests know of the server that they talk to."""

import json
import os
import re
import time
import unittest
import urllib.request

URL = os.environ["SERVER_URL"]
KEY = os.environ.get("SERVER_KEY", "none")
MODEL = os.environ["SERVER_MODEL"]
CONTEXT = int(os.environ["SERVER_CONTEXT"])

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "role": {"enum": ["reader", "writer"]},
    },
    "required": ["name", "age", "role"],
    "additionalProperties": False,
}
# Longer than the context of the model however it is cut into tokens.
TOO_LONG = "one two three " * CONTEXT


def get(path):
    request = urllib.request.Request(URL + path, headers={"authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


def metric(name):
    """The sum of a metric over its labels."""
    lines = re.findall(rf"^{re.escape(name)}(?:{{.*?}})? (\S+)$", get("/metrics"), re.MULTILINE)
    return sum(map(float, lines))


def is_idle():
    return metric("vllm:num_requests_running") == 0 and metric("vllm:num_requests_waiting") == 0


class ServerTest(unittest.TestCase):
    """After each test nothing runs any more, whatever the client did."""

    def tearDown(self):
        deadline = time.monotonic() + 30
        while not is_idle():
            self.assertLess(time.monotonic(), deadline, "a request of a client that has gone still runs")
            time.sleep(0.05)

    def assert_person(self, text):
        person = json.loads(text)
        self.assertEqual(set(person), {"name", "age", "role"})
        self.assertIsInstance(person["age"], int)
        self.assertIn(person["role"], ("reader", "writer"))
