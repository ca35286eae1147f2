#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures rate_limit.cluster: four proxies, one Redis, uneven load (wrk, connections 10:1:1:1) far beyond the limit.

    bench/cluster_limit.py PERILUNE [report|exact] [--seconds 10] [--limit 1000] [--stop-redis] [--check]

Prints how many requests passed and how many should have, the number of calls of scripts by a proxy in a second, and p99
of the load. When Redis saw the first and the last request is known only to lie between their starts and ends: so the
right number is given as a range. With --stop-redis, Redis is stopped (SIGSTOP)
from a third to two thirds of the time. With --check, it ends with 1 where a goal is missed: 3 % of what is right
(report), one request (exact), 10 calls of scripts a second and proxy (report), 55 ms (p99 while Redis is stopped).
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

POLICY = """
local perilune = require "perilune"
local store = require("perilune.redis").new(os.getenv "STORE")
local limit = require("perilune.rate_limit").cluster { store = store, name = "bench", max = tonumber(os.getenv "LIMIT"),
  mode = os.getenv "MODE", close = false, key = function(session) return session:path() end }
local passed, state = perilune.counter "passed", perilune.dict "state"
perilune.listen("127.0.0.1:0", { request_filter = function(session)
  if session:path() == "/stats" then
    return session:respond { status = 200, body = ("[%d,%.6f,%.6f,%.6f,%.6f]"):format(passed:get(), state:get "first",
      state:get "first_end", state:get "last", state:get "last_end") }
  end
  local counts = session:path() == "/"
  if counts then
    local now = perilune.now()
    state:add("first", now)
    state:set("last", now)
  end
  local is_over = limit(session)
  if counts then
    local now = perilune.now()
    state:add("first_end", now)
    state:set("last_end", now)
    if not is_over then passed:add(1) end
  end
  if is_over then return true end
  return session:respond { status = 200, body = "ok" }
end })
"""


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("perilune")
    parser.add_argument("mode", nargs="?", default="report", choices=["report", "exact"])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--stop-redis", action="store_true")
    parser.add_argument("--check", action="store_true")
    return parser.parse_args()


def wait_a_little(process, log=None):
    """Ends the program where the process that is waited for has ended."""
    if process.poll() is not None:
        sys.exit(f"{process.args[0]} ended: " + (open(log).read() if log else f"code {process.returncode}"))
    time.sleep(0.05)


def start_redis(directory, running):
    path = directory + "/redis"
    redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", directory],
                             stdout=subprocess.DEVNULL)
    running.append(redis)
    while not os.path.exists(path):
        wait_a_little(redis)
    return redis, path


def start_proxy(given, directory, number, path, running):
    log = open(f"{directory}/log{number}", "w+")
    env = dict(os.environ, STORE="unix:" + path, LIMIT=str(given.limit), MODE=given.mode)
    running.append(subprocess.Popen([given.perilune, "run", "--workers", "1", directory + "/policy.lua"], env=env,
                                    stderr=log))
    while True:
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)(?s:.*)ready:", open(log.name).read())
        if found:
            return int(found.group(1))
        wait_a_little(running[-1], log.name)


def script_calls(path):
    text = subprocess.run(["redis-cli", "-s", path, "info", "commandstats"], capture_output=True, text=True).stdout
    return sum(int(n) for n in re.findall(r"cmdstat_eval(?:sha)?:calls=(\d+)", text))


def load(given, ports, redis):
    loads = [subprocess.Popen(["wrk", "-t1", f"-c{20 if i == 0 else 2}", f"-d{given.seconds}s", "--latency",
                               f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)
             for i, port in enumerate(ports)]
    if given.stop_redis:
        time.sleep(given.seconds / 3)
        redis.send_signal(signal.SIGSTOP)
        time.sleep(given.seconds / 3)
        redis.send_signal(signal.SIGCONT)
    return [one.communicate()[0] for one in loads]


def main():
    given, running = arguments(), []
    with tempfile.TemporaryDirectory() as directory:
        try:
            open(directory + "/policy.lua", "w").write(POLICY)
            redis, path = start_redis(directory, running)
            ports = [start_proxy(given, directory, i, path, running) for i in range(4)]
            for port in ports:  # connected, and the script is there
                urllib.request.urlopen(f"http://127.0.0.1:{port}/warm")
            time.sleep(3)  # all know of each other
            before = script_calls(path)
            told = load(given, ports, redis)
            calls = script_calls(path) - before
            stats = [json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/stats")) for port in ports]
        finally:
            for process in reversed(running):
                process.terminate()
                process.wait()
    passed, seconds = sum(s[0] for s in stats), max(s[4] for s in stats) - min(s[1] for s in stats)
    least = max(s[3] for s in stats) - min(s[2] for s in stats)
    right = [given.limit * time + given.limit for time in (least, seconds)]
    off = min(0, passed - right[0]) + max(0, passed - right[1])
    requests = sum(int(re.search(r"(\d+) requests in", text).group(1)) for text in told)
    print(f"{given.mode}: {passed} of {requests} passed in {seconds:.2f} s, {right[0]:.1f} to {right[1]:.1f} are right: "
          f"{100 * off / right[1]:+.2f} %; demand {requests / right[1]:.0f} times the limit")
    slowest = [re.search(r"99%\s+(\S+)", text).group(1) for text in told]
    print(f"calls of scripts: {calls / 4 / seconds:.1f} a second and proxy; p99: " + ", ".join(slowest))
    if given.check:
        sys.exit(missed(given, off, right[1], calls / 4 / seconds, slowest))


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def missed(given, off, right, calls, slowest):
    """1 if a goal is missed, which is said; else 0. Where Redis is stopped, nobody can count exactly."""
    faults, most = [], max(milliseconds(text) for text in slowest)
    if given.mode == "report" and calls > 10.5:
        faults.append(f"{calls:.1f} calls of scripts a second and proxy, at most 10 are right")
    if given.stop_redis:
        if most > 55:
            faults.append(f"p99 is {most:.1f} ms, at most 55 ms are right")
    elif abs(off) > (0.03 * right if given.mode == "report" else 1):
        faults.append(f"{off:+.1f} requests")
    for fault in faults:
        print("missed:", fault)
    return 1 if faults else 0


main()
