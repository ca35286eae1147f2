#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what traces cost: instructions of a proxy for one request, all its threads, by how many requests are sampled
(none at all, 0 %, 1 %, 100 %). Callgrind counts them, so that other load does not matter; it counts nothing of the
kernel, whose part of a request is several times as large and stays the same. Timers of the control worker are counted,
too, as far as a longer run has more of them: of a build without optimization at link time, 18,100, and 1,100, 2,300 and
8,800 more.

    bench/traces.py PERILUNE [--requests 2000] [--check]

With --check, it ends with 1 where a request takes more than 2,000 instructions more at 0 %, 3,000 at 1 %, or 10,000 at
100 %, with its two spans and their export.
"""
import argparse
import http.client
import os
import re
import subprocess
import sys
import tempfile
import time

ORIGIN = """
require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
  return session:respond { status = 200, body = "ok" }
end })
"""
PROXY = """
local perilune = require "perilune"
local ratio = tonumber(os.getenv "RATIO")
if ratio then perilune.tracing { endpoint = os.getenv "COLLECTOR", ratio = ratio } end
perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = os.getenv "PEER" } end })
"""
MOST = {"0": 2000, "0.01": 3000, "1": 10000}
WARM = 500


def start(command, directory, name, text, env, running):
    path, log = f"{directory}/{name}.lua", f"{directory}/{name}.log"
    open(path, "w").write(text)
    process = subprocess.Popen(command + ["run", "--workers", "1", path], env=dict(os.environ, **env),
                               stderr=open(log, "w"))
    running.append(process)
    while True:
        found = re.search(r"listening on (127\.0\.0\.1:\d+)(?s:.*)ready:", open(log).read())
        if found:
            return process, found.group(1)
        if process.poll() is not None:
            sys.exit(open(log).read())
        time.sleep(0.05)


def instructions(given, directory, ratio, origin, requests, running):
    """Of a proxy from its start to its end, with so many requests in between."""
    out = f"{directory}/callgrind"
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, given.perilune]
    env = {"PEER": origin, "RATIO": ratio, "COLLECTOR": f"http://{origin}/v1/traces"}
    process, address = start(command, directory, "proxy", PROXY, env, running)
    connection = http.client.HTTPConnection(address)
    for _ in range(requests):
        connection.request("GET", "/")
        connection.getresponse().read()
    process.terminate()
    process.wait()
    return int(re.search(r"^(?:summary|totals): (\d+)", open(out).read(), re.M).group(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("perilune")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--check", action="store_true")
    given, running, none, missed = parser.parse_args(), [], None, 0
    with tempfile.TemporaryDirectory() as directory:
        try:
            _, origin = start([given.perilune], directory, "origin", ORIGIN, {}, running)
            for ratio in ["none", *MOST]:
                few = instructions(given, directory, ratio, origin, WARM, running)
                many = instructions(given, directory, ratio, origin, WARM + given.requests, running)
                each = (many - few) / given.requests
                none = none or each
                print(f"sampled {ratio}: {each:,.0f} instructions a request, {each - none:+,.0f}", flush=True)
                if ratio in MOST and each - none > MOST[ratio]:
                    print(f"missed: at most {MOST[ratio]:,} more are right")
                    missed = 1
        finally:
            for process in running:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
    sys.exit(missed if given.check else 0)


main()
