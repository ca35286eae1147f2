#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what traces cost: instructions of a proxy for one request by how many requests are sampled (none at all, 0 %,
1 %, 100 %), counted by callgrind; with --cpu, CPU time of all threads instead, with the kernel's part, side by side and in
turn (costs.py).

    bench/traces.py PERILUNE [--requests 2000] [--check]
    bench/traces.py PERILUNE --cpu [--windows 200] [--connections 16] [--check]

With --check, it ends with 1 where a request's instructions in the worker grow by more than 3 % at 0 %, 3 % at 1 % or 22 %
at 100 %, with its two spans; with --cpu, where CPU time grows by more than 1, 2 or 10 %.
"""
import sys
import tempfile

import costs

ORIGIN = """
require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
  return session:respond { status = 200, body = "ok" }
end })
"""
PROXY = """
local perilune = require "perilune"
local ratio, address = tonumber(os.getenv "RATIO"), os.getenv "PEER"
if ratio then perilune.tracing { endpoint = os.getenv "COLLECTOR", ratio = ratio } end
perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = address } end })
"""
STATES = {"nothing": None, "0 %": "0", "1 %": "0.01", "100 %": "1"}
MOST = {False: {"0 %": 3, "1 %": 3, "100 %": 22}, True: {"0 %": 1, "1 %": 2, "100 %": 10}}  # % more


def environment(ratio, origin):
    env = {"PEER": origin, "COLLECTOR": f"http://{origin}/v1/traces"}
    return env if ratio is None else {**env, "RATIO": ratio}


def count(given, directory, origin):
    """How many % more each state takes, and that in words."""
    none = None
    for name, ratio in STATES.items():
        worker, others, _ = costs.instructions(given.perilune, directory, PROXY, environment(ratio, origin), 500,
                                               500 + given.requests)
        none = none or worker
        yield name, (worker / none - 1) * 100, f"{worker:,.0f} instructions a request, {worker - none:+,.0f}; other threads " \
            f"{others:,.0f}"


def time_all(given, directory, origin):
    states = [(name, PROXY, environment(ratio, origin), None) for name, ratio in STATES.items()]
    rows = costs.cpu(given.perilune, directory, states, given.windows, 50, given.connections)
    for name, (share, spread, rate, cpu_us) in zip(STATES, rows):
        yield name, (share - 1) * 100, f"CPU {cpu_us:.1f} us a request (middle half within {spread * 100:.1f} points); " \
            f"{rate:,.0f} requests a second"


def main():
    given, missed = costs.arguments(), False
    with tempfile.TemporaryDirectory() as directory, costs.Running() as running:
        _, origin, _ = costs.start_proxy(running, given.perilune, directory, "origin", ORIGIN, {})
        for name, share, words in (time_all if given.cpu else count)(given, directory, origin):
            print(f"sampled {name}: {words} ({share:+.1f} %)", flush=True)
            if share > MOST[given.cpu].get(name, 0):
                print(f"missed: at most {MOST[given.cpu].get(name, 0)} % more is right")
                missed = True
    sys.exit(1 if missed and given.check else 0)


main()
