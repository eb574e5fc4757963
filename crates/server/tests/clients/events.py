"""Reads cache events as a router does. Arguments: the server, the endpoint of events, that of missed ones."""

import json
import sys
import urllib.request

import msgpack
import zmq

server, events, replay = sys.argv[1:]
context = zmq.Context()
subscriber = context.socket(zmq.SUB)
subscriber.connect(events)
subscriber.setsockopt(zmq.SUBSCRIBE, b"kv@")


def ask(n):
    prompt = [300 + (token * 7 + n) % 500 for token in range(40)]
    body = json.dumps({"model": "rocmforge-demo", "prompt": prompt, "max_tokens": 1}).encode()
    request = urllib.request.Request(f"{server}/v1/completions", body, {"content-type": "application/json"})
    urllib.request.urlopen(request).read()


for n in range(100):
    ask(n)
    if subscriber.poll(200):
        break
topic, number, payload = subscriber.recv_multipart()
assert topic == b"kv@pod@rocmforge-demo", topic
seconds, changes, rank = msgpack.unpackb(payload)
assert rank is None and seconds > 1e9
names = [change[0] for change in changes]
assert "BlockStored" in names, names
first, second = [change for change in changes if change[0] == "BlockStored"][:2]
assert first[2] is None and second[2] == first[1][0], "each block names the one before it"
assert len(first[3]) == first[4] == 16

dealer = context.socket(zmq.DEALER)
dealer.connect(replay)
dealer.send_multipart([b"", (0).to_bytes(8, "big")])
numbers = []
while dealer.poll(5000):
    _, found, payload = dealer.recv_multipart()
    if not payload:
        break
    numbers.append(int.from_bytes(found, "big"))
assert int.from_bytes(number, "big") in numbers and numbers == list(range(len(numbers))), numbers
