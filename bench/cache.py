#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a cache decides, measured in the proxy: its hit ratio for requests of a Zipf distribution over ten times its size,
beside that of LRU of the same size, which is simulated; and many misses of one slow object at a time, over four workers.
    bench/cache.py [zipf] [coalescing]"""
import collections
import os
import random
import selectors
import socket
import sys
import threading
import time

import machine
import peers

SIZE, OBJECT, TIMES, DRAWS, WARM = 8 << 20, 8 << 10, 10, 60000, 20000
CLIENTS, SLOW_BYTES, PIECES, SECONDS = 200, 10 << 20, 20, 1.0
HEAD_BYTES = 300  # what a stored response takes besides its body, about; LRU is given the same
HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: %d\r\n\r\n"


class Origin:
    """Answers each request by `answer(connection)`; counts them."""

    def __init__(self, answer):
        self.answer, self.requests = answer, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            while read_head(connection):
                self.requests += 1
                self.answer(connection)


def read_head(connection):
    text = b""
    while b"\r\n\r\n" not in text:
        got = connection.recv(65536)
        if not got:
            return None
        text += got
    return text


def start(origin, workers, size):
    port = peers.FIRST_PORT + 90
    if not machine.is_free(port):
        sys.exit(f"port {port} is taken: by a proxy of an earlier run?")
    command = [peers.PERILUNE, "run", "--workers", str(workers), os.path.join(peers.HERE, "policies", "cache.lua")]
    os.makedirs(peers.BUILD, exist_ok=True)
    process = machine.Process(command, "0-%d" % (os.cpu_count() - 1), os.path.join(peers.BUILD, "cache.log"),
                              {"LISTEN": f"127.0.0.1:{port}", "ORIGINS": f"127.0.0.1:{origin.port}", "CACHE": size})
    if not machine.wait_for_port(port):
        process.stop()
        sys.exit("the proxy did not start: see build/bench/cache.log")
    return process, port


# --- hit ratio ---------------------------------------------------------------------------------------------------------


def draws():
    """Zipf(1.0): object i is asked for in proportion to 1 / i."""
    count = SIZE * TIMES // OBJECT
    return random.Random(1).choices(range(count), [1 / (i + 1) for i in range(count)], k=DRAWS)


def lru_ratio(asked):
    room, kept, hits = SIZE // (OBJECT + HEAD_BYTES), collections.OrderedDict(), 0
    for number, one in enumerate(asked):
        if one in kept:
            kept.move_to_end(one)
            hits += number >= WARM
            continue
        kept[one] = True
        if len(kept) > room:
            kept.popitem(last=False)
    return hits / (len(asked) - WARM)


def proxy_ratio(asked):
    """A response from the cache has an Age."""
    body = HEAD % OBJECT + b"x" * OBJECT
    origin, hits = Origin(lambda connection: connection.sendall(body)), 0
    process, port = start(origin, 1, "%dM" % (SIZE >> 20))
    try:
        client = socket.create_connection(("127.0.0.1", port))
        for number, one in enumerate(asked):
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: bench\r\n\r\n" % one)
            head, rest = read_head(client).split(b"\r\n\r\n", 1)
            left = OBJECT - len(rest)
            while left > 0:
                left -= len(client.recv(left))
            hits += number >= WARM and b"\r\nAge:" in head
    finally:
        process.stop()
    return hits / (len(asked) - WARM)


def zipf():
    asked = draws()
    lru, ours = lru_ratio(asked), proxy_ratio(asked)
    print(f"Zipf(1.0) over {TIMES} times the size of the cache: hits {ours:.1%}, LRU {lru:.1%}: {(ours - lru) * 100:+.1f} "
          f"points (goal +3)", flush=True)


# --- coalescing --------------------------------------------------------------------------------------------------------


class Slow:
    """Sends an object in pieces, once all clients have had the time to ask, and notes when its head left."""

    def __init__(self):
        self.began = 0

    def __call__(self, connection):
        time.sleep(2 * SECONDS)
        self.began = time.monotonic()
        connection.sendall(HEAD % SLOW_BYTES)
        time.sleep(SECONDS)
        for _ in range(PIECES):
            connection.sendall(b"y" * (SLOW_BYTES // PIECES))
            time.sleep(SECONDS / PIECES)


def ask_all(port):
    """Of each client: when its first byte came, and how many it got. Nothing is read ahead of the others."""
    selector, first, got = selectors.DefaultSelector(), {}, collections.Counter()
    for number in range(CLIENTS):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ, number)
    room, waiting, end = bytearray(1 << 18), CLIENTS, time.monotonic() + 120
    while waiting and time.monotonic() < end:
        for key, _ in selector.select(1):
            count = key.fileobj.recv_into(room)
            first.setdefault(key.data, time.monotonic())
            got[key.data] += count
            if not count:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                waiting -= 1
    return first, got


def coalescing():
    slow = Slow()
    origin = Origin(slow)
    process, port = start(origin, 4, "256M")
    try:
        first, got = ask_all(port)
    finally:
        process.stop()
    whole = sum(SLOW_BYTES < got[number] < SLOW_BYTES + 1000 for number in range(CLIENTS))
    late = sorted((at - slow.began) * 1000 for at in first.values())
    print(f"{CLIENTS} misses of a slow {SLOW_BYTES >> 20} MB object, 4 workers: {origin.requests} request at the origin, "
          f"{whole} whole; first byte behind the origin's: median {late[len(late) // 2]:.1f} ms, last {late[-1]:.1f} ms "
          f"(goals 1, {CLIENTS}, 10 ms)", flush=True)


if __name__ == "__main__":
    machine.stop_on_sigterm()
    for name in sys.argv[1:] or ("zipf", "coalescing"):
        {"zipf": zipf, "coalescing": coalescing}[name]()
