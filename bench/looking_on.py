#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what `perilune trace` costs the requests of a proxy, by scene and by what is looked for.

    bench/looking_on.py PERILUNE [--only SCENE] [--watch NAME] [--requests 2000] [--check]
    bench/looking_on.py PERILUNE --cpu [--only SCENE] [--windows 200] [--connections 16]

Scenes: "own" answers in request_filter, "peer" asks a peer and has no other hook, "tutorial" is policies/balancer.lua.
One request in a thousand is answered by a 503. Instructions of the worker are counted, by callgrind; the other
threads' are shown, too. With --check, it ends with 1 where a filter that takes one in a thousand, or none, needs more
than 2 % in the scenes with a peer. With --cpu, it measures CPU time of all threads instead, with the kernel's part, side
by side and in turn.
"""
import os
import sys
import tempfile

import costs

COUNTER = """
local count = 0
local function status()
  count = count + 1
  return count % 1000 == 0 and 503 or 200
end
"""
OWN = COUNTER + """
require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
  return session:respond { status = status(), body = "ok" }
end })
"""
PEER = """
require("perilune").listen("127.0.0.1:0", { upstream_peer = function() return { address = os.getenv "ORIGINS" } end })
"""
TUTORIAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "policies/balancer.lua")
SCENES = {"own": OWN, "peer": PEER, "tutorial": TUTORIAL}
WATCHES = {
    "nobody": None,
    "path, none": ["--match", "path=/none*"],
    "client, none": ["--client", "10.0.0.0/8"],
    "status, 1 of 1000": ["--status", "5xx"],
    "slower, none": ["--slower", "10s"],
    "all, no fields": ["--no-fields"],
    "all": [],
}
FEW = 2  # % more, at most, of
FILTERS = {"path, none", "client, none", "status, 1 of 1000", "slower, none"}


def watches(given):
    return {name: words for name, words in WATCHES.items() if words is None or not given.watch or given.watch in name}


def count(given, directory, scene, policy, env):
    """False: a goal is missed."""
    none, is_good = None, True
    for name, words in watches(given).items():
        worker, others, seen = costs.instructions(given.perilune, directory, policy, env, 1000, 1000 + given.requests, words)
        none = none or worker
        share = (worker / none - 1) * 100
        print(f"{scene}: {name}: {worker:,.0f} instructions a request, {worker - none:+,.0f} ({share:+.1f} %); "
              f"other threads {others:,.0f}; {seen:,} bytes printed", flush=True)
        if scene != "own" and name in FILTERS and share > FEW:
            print(f"missed: at most {FEW} % more is right")
            is_good = False
    return is_good


def time_all(given, directory, scene, policy, env):
    states = [(name, policy, env, words) for name, words in watches(given).items()]
    rows = costs.cpu(given.perilune, directory, states, given.windows, 50, given.connections)
    for (name, *_), (share, spread, rate, cpu_us) in zip(states, rows):
        print(f"{scene}: {name}: CPU {cpu_us:.1f} us a request, {(share - 1) * 100:+.1f} % (middle half within "
              f"{spread * 100:.1f} points); {rate:,.0f} requests a second", flush=True)
    return True


def main():
    given, is_good = costs.arguments("--only", "--watch"), True
    with tempfile.TemporaryDirectory() as directory, costs.Running() as running:
        _, origin, _ = costs.start_proxy(running, given.perilune, directory, "origin", OWN, {})
        env = {"ORIGINS": origin, "LISTEN": "127.0.0.1:0"}
        for scene, policy in SCENES.items():
            if not given.only or scene == given.only:
                is_good &= (time_all if given.cpu else count)(given, directory, scene, policy, env)
    sys.exit(1 if given.check and not is_good else 0)


main()
