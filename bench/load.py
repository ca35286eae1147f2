# SPDX-License-Identifier: Apache-2.0
"""Load: our own client for requests to several proxies in turn and another for TLS handshakes, wrk for all other requests,
plain sockets for connections that do nothing."""
import json
import os
import re
import socket
import subprocess
import tempfile

from machine import LOAD_CORE

MICROSECONDS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}


class LoadFailed(Exception):
    """wrk said something else than numbers."""


def microseconds(text):
    found = re.match(r"([\d.]+)(us|ms|s|m)", text)
    return float(found.group(1)) * MICROSECONDS[found.group(2)] if found else 0


def requests(port, path, connections, seconds, fields=(), scheme="http"):
    """Runs wrk: requests, their rate, latencies, and what went wrong."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for name, value in (("appid", "1"), *fields):
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run([*command, f"{scheme}://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=False)
    said = done.stdout
    count = re.search(r"(\d+) requests in", said)
    if not count or int(count.group(1)) == 0:
        raise LoadFailed("nothing was answered: " + " ".join((said + done.stderr).split())[:300])
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return {"requests": int(count.group(1)), "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1)),
            "p50_us": microseconds(re.search(r"50%\s+(\S+)", said).group(1)),
            "p99_us": microseconds(re.search(r"99%\s+(\S+)", said).group(1)),
            "other_statuses": int(refused.group(1)) if refused else 0,
            "errors": sum(map(int, errors.groups())) if errors else 0}


GRPC_PATH = "/grpc"  # of a unary call
GRPC_BYTES = 100


def grpc_options(directory):
    """For h2load: one message behind its five octets, as a client of gRPC sends it."""
    file = os.path.join(directory, "message")
    with open(file, "wb") as message:
        message.write(b"\0" + GRPC_BYTES.to_bytes(4, "big") + b"x" * GRPC_BYTES)
    return ["-d", file, "-H", "content-type: application/grpc", "-H", "te: trailers"]


def streams(port, path, connections, streams_each, seconds, scheme="http"):
    """Runs h2load: requests over HTTP/2, so many at once on each connection. It tells no percentiles."""
    with tempfile.TemporaryDirectory() as directory:
        options = grpc_options(directory) if path == GRPC_PATH else []
        return run_streams(port, path, connections, streams_each, seconds, scheme, options)


def run_streams(port, path, connections, streams_each, seconds, scheme, options):
    command = ["taskset", "-c", str(LOAD_CORE), "h2load", "-t1", f"-c{connections}", f"-m{streams_each}",
               f"--duration={seconds}", "-H", "appid: 1", *options, f"{scheme}://127.0.0.1:{port}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    count = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", done.stdout)
    if not count or int(count.group(1)) == 0:
        raise LoadFailed("nothing was answered: " + " ".join((done.stdout + done.stderr).split())[-300:])
    served, failed, errored = map(int, count.groups())
    good = int(re.search(r"status codes: (\d+) 2xx", done.stdout).group(1))
    # Of those that are under way at the end it counts the status, but no success.
    return {"requests": served, "rps": served / seconds, "other_statuses": max(0, served - good), "errors": failed + errored}


def in_turn(tool, path, targets, windows, window_ms, field=None):
    """Requests on connections that stay, to all targets in turn, window by window: a list of windows for each target.
    A target is (port, connections, further fields, process ids)."""
    said = [f"{port}:{connections}:{fields}:{','.join(map(str, pids))}" for port, connections, fields, pids in targets]
    done = subprocess.run(["taskset", "-c", str(LOAD_CORE), tool, str(windows), str(window_ms), path, *said],
                          capture_output=True, text=True, check=False, env={**os.environ, "TURNS_FIELD": field or ""})
    if done.returncode != 0:
        raise LoadFailed(done.stderr.strip()[-300:])
    rows = [[] for _ in targets]
    for line in done.stdout.splitlines():
        window = json.loads(line)
        if window["requests"] == 0:
            raise LoadFailed(f"port {targets[window['target']][0]} answered nothing")
        window["cpu_us"] /= window["requests"]
        window["rps"] = window["requests"] / window.pop("seconds")
        rows[window.pop("target")].append(window)
    return rows


def handshakes(tool, port, path, connections, seconds, kind):
    """TLS connections of one request each: of "full" handshakes, or "resumed" ones."""
    done = subprocess.run(["taskset", "-c", str(LOAD_CORE), tool, str(port), str(connections), str(seconds), kind, path],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadFailed((done.stdout + done.stderr).strip()[-300:])
    return json.loads(done.stdout)


class IdleConnections:
    """Keep-alive connections that have had one response each."""

    def __init__(self, port, count):
        self.open = [self.connect(port) for _ in range(count)]

    @staticmethod
    def connect(port):
        connection = socket.create_connection(("127.0.0.1", port), 10)
        connection.sendall(b"GET /1k HTTP/1.1\r\nHost: bench\r\n\r\n")
        received = b""
        while b"\r\n\r\n" not in received or len(received.split(b"\r\n\r\n", 1)[1]) < 1024:
            piece = connection.recv(65536)
            if not piece:
                raise LoadFailed("the proxy ended a keep-alive connection")
            received += piece
        return connection

    def close(self):
        for connection in self.open:
            connection.close()
