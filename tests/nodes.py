"""Scripts whose nodes meet over sockets, for every backend."""

from __future__ import annotations

import time
from collections.abc import Callable

ALL_REDUCE = '''\
"""Sum a number over all nodes, as the all-reduce of a distributed training does."""
import argparse
import json
import os
import socket
import struct
import time

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float, required=True)
parser.add_argument("--save", default="model.txt")
args = parser.parse_args()
rank, count = int(os.environ["NODE_RANK"]), int(os.environ["NODE_COUNT"])
assert os.environ["INITIAL_CLUSTER_SIZE"] == str(count)
with open(os.environ["CLUSTER_NODES_METADATA_FILE"]) as file:
    addresses = {node["Rank"]: node["IPAddress"] for node in json.load(file)}
assert sorted(addresses) == list(range(count)), addresses
meeting = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
assert meeting[0] == addresses[0]


def connect():
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(meeting, 5, source_address=(addresses[rank], 0))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


own = args.x + rank
if rank == 0:
    total, peers = own, []
    with socket.create_server(meeting) as server:
        for _ in range(count - 1):
            peer, (address, _) = server.accept()
            assert address in addresses.values(), address
            total += struct.unpack("d", peer.recv(8))[0]
            peers.append(peer)
    for peer in peers:
        peer.sendall(struct.pack("d", total))
        peer.close()
else:
    with connect() as peer:
        peer.sendall(struct.pack("d", own))
        total = struct.unpack("d", peer.recv(8))[0]
os.makedirs(os.path.dirname(args.save) or ".", exist_ok=True)
with open(args.save, "w") as file:
    file.write(f"rank {rank} of {count}")
print(f"hello from {rank}")
print(f"value={total}")
'''


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: If it does not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition does not hold"
        time.sleep(0.01)
