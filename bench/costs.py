# SPDX-License-Identifier: Apache-2.0
"""What a request costs a proxy, compared with the same proxy in another state. Instructions are counted by callgrind,
thread by thread: other load on the machine does not matter, but nothing of the kernel is counted, whose part of a request
is several times as large. CPU time is that of all threads, with the kernel's part, of proxies that run side by side and
get their load in turn (turns.c)."""
import argparse
import glob
import http.client
import os
import re
import statistics
import subprocess
import sys
import time

import load

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments(*more):
    """What such a bench is told; `more`: options of its own, which take a value."""
    parser = argparse.ArgumentParser()
    parser.add_argument("perilune")
    for name in more:
        parser.add_argument(name)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--connections", type=int, default=16)
    return parser.parse_args()


class Running:
    """Processes that end with this block."""

    def __init__(self):
        self.all = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.all:
            self.end(process)

    def start(self, command, log, env=None):
        process = subprocess.Popen(command, env={**os.environ, **(env or {})}, stdout=open(log + ".out", "w"),
                                   stderr=open(log, "w"))
        self.all.append(process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def wait_for(process, log, pattern, seconds=60):
    """For a line in its log; ends the program where the process has ended."""
    end = time.time() + seconds
    while time.time() < end:
        found = re.search(pattern, read(log))
        if found:
            return found
        if process.poll() is not None:
            break
        time.sleep(0.05)
    sys.exit(f"{' '.join(process.args)}: nothing like {pattern} in its log:\n{read(log)}")


def start_proxy(running, perilune, directory, name, policy, env, before=()):
    """A proxy of this policy (a path, or Lua itself), with one worker: its process, address, and what its files begin
    with."""
    base = f"{directory}/{name}"
    if policy.endswith(".lua"):
        path = policy
    else:
        path = base + ".lua"
        with open(path, "w", encoding="utf-8") as file:
            file.write(policy)
    process = running.start([*before, perilune, "run", "--workers", "1", "--socket", base + ".socket", "--pid-file",
                             base + ".pid", path], base + ".log", env)
    found = wait_for(process, base + ".log", r"listening on (127\.0\.0\.1:\d+)(?s:.*)ready:")
    return process, found.group(1), base


def look_on(running, perilune, base, words):
    """A `perilune trace` that has begun; its output goes to a file."""
    watch = running.start([perilune, "trace", *words, "--pid-file", base + ".pid"], base + ".watch")
    wait_for(watch, base + ".log", "a trace has begun")


def ask(address, count):
    """One after the other on one connection."""
    connection = http.client.HTTPConnection(address)
    for _ in range(count):
        connection.request("GET", "/")
        connection.getresponse().read()
    connection.close()


def threads_of(out):
    """Instructions of each thread, in the order of their birth."""
    totals = []
    for path in sorted(glob.glob(out + "-*")):
        totals.append(int(re.search(r"^(?:summary|totals): (\d+)", read(path), re.M).group(1)))
        os.unlink(path)
    return totals


def run_once(perilune, directory, policy, env, count, watch):
    out = f"{directory}/callgrind"
    before = ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--callgrind-out-file=" + out]
    with Running() as running:
        process, address, base = start_proxy(running, perilune, directory, "proxy", policy, env, before)
        if watch is not None:
            look_on(running, perilune, base, watch)
        ask(address, count)
        Running.end(process)
        seen = os.path.getsize(base + ".watch.out") if watch is not None else 0
    return threads_of(out), seen


def instructions(perilune, directory, policy, env, few, many, watch=None):
    """For one request: of the worker, of all other threads, and how many bytes the watch has printed."""
    first, _ = run_once(perilune, directory, policy, env, few, watch)
    second, seen = run_once(perilune, directory, policy, env, many, watch)
    more = [(b - a) / (many - few) for a, b in zip(first, second)]
    worker = max(more)
    return worker, sum(more) - worker, seen


def cpu(perilune, directory, states, windows, window_ms, connections):
    """CPU time of a request in each state, as a share of the first one's: the median of pairs of windows that follow each
    other; how far apart the middle half of the pairs is; and requests a second while it has the load. A state is (name,
    policy, env, words of a trace that looks on or None)."""
    tool = directory + "/turns"
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", tool, HERE + "/turns.c"], check=True)
    with Running() as running:
        targets = []
        for number, (_, policy, env, watch) in enumerate(states):
            process, address, base = start_proxy(running, perilune, directory, f"cpu{number}", policy, env)
            if watch is not None:
                look_on(running, perilune, base, watch)
            targets.append((int(address.split(":")[1]), connections, 0, [process.pid]))
        rows = load.in_turn(tool, "/", targets, windows, window_ms)
    result = []
    for row in rows:
        shares = [window["cpu_us"] / first["cpu_us"] for window, first in zip(row, rows[0])]
        quarters = statistics.quantiles(shares, n=4)
        result.append((quarters[1], quarters[2] - quarters[0], statistics.median(w["rps"] for w in row),
                       statistics.median(w["cpu_us"] for w in row)))
    return result
