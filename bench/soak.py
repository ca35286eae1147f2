#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A soak: full load for minutes, while connections come and go. Fails unless the memory is flat after the first minute,
nobody saw an error, and in the end every descriptor was given back.

The load: one wrk that stays, one after another that come for a moment with few or many connections, and one whose every
request ends its connection."""
import os
import random
import re
import subprocess
import sys
import threading
import time

import load
import machine
import peers

WARM_UP = 60
TOLERANCE = 1.03        # of the memory
SLACK_KIB = 512
PORT = 18180


class Soak:
    """Three kinds of load at once, and what they met."""

    def __init__(self, seconds):
        self.end = time.time() + seconds
        self.requests, self.troubles, self.lock = 0, [], threading.Lock()
        # A client that closes first leaves its ports in TIME-WAIT for a minute: so these take turns to be few.
        kinds = [lambda: (64, 10, ()), lambda: (random.choice([1, 16, 256, 1024]), random.choice([1, 2, 5]), ()),
                 lambda: (4, 1, (("Connection", "close"),))]
        self.threads = [threading.Thread(target=self.go_on, args=(kind, pause)) for kind, pause in zip(kinds, (0, 0, 4))]

    def go_on(self, kind, pause):
        while time.time() < self.end:
            connections, seconds, fields = kind()
            try:
                done = load.requests(PORT, "/1k", connections, seconds, fields)
            except load.LoadFailed as failure:
                done = {"requests": 0, "errors": 1, "other_statuses": 0, "said": str(failure)}
            with self.lock:
                self.requests += done["requests"]
                if done["errors"] or done["other_statuses"]:
                    self.troubles.append(done)
            time.sleep(pause)

    def run(self, every_second):
        for thread in self.threads:
            thread.start()
        while any(thread.is_alive() for thread in self.threads):
            every_second()
            time.sleep(1)


def open_files(process):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in process.pids())


def is_flat(samples, warm_up):
    """No later third of the time after the warm-up may need more than its first."""
    after = samples[warm_up:]
    third = max(1, len(after) // 3)
    first = max(after[:third], default=0)
    last = max(after[-third:], default=0)
    print(f"memory: {first} KiB at most in the first third after the warm-up, {last} KiB in the last")
    return last <= first * TOLERANCE + SLACK_KIB


def start_proxy():
    start = peers.Start("soak", PORT, [f"127.0.0.1:{port}" for port in peers.ORIGIN_PORTS], workers=2)
    command, env = peers.perilune(start)
    log = os.path.join(peers.BUILD, "soak.log")
    open(log, "w", encoding="utf-8").close()
    return machine.Process(command, machine.PROXY_CORE, log, env), log


def complaints(log):
    lines = (machine.read(log) or "").splitlines()
    return [line for line in lines if re.search(r" (warn|error) ", line)]


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    machine.most_connections()
    machine.stop_on_sigterm()
    os.makedirs(peers.BUILD, exist_ok=True)
    origin = machine.Process(peers.origin(), machine.LOAD_CORE, os.path.join(peers.BUILD, "origin.out"))
    machine.wait_for_port(peers.ORIGIN_PORTS[0])
    proxy, log = start_proxy()
    try:
        if not machine.wait_for_port(PORT):
            sys.exit("the proxy did not start: see build/bench/soak.log")
        before, samples, soak = open_files(proxy), [], Soak(seconds)
        soak.run(lambda: samples.append(proxy.pss_kib()))
        time.sleep(2)
        origin.stop() # ends what the pool keeps
        time.sleep(2)
        left = open_files(proxy) - before
        alive = proxy.process.poll() is None
        said = complaints(log)
    finally:
        proxy.stop()
        origin.stop()
    print(f"{soak.requests} requests in {seconds} s, {len(soak.troubles)} runs of wrk with errors, "
          f"{len(said)} complaints in the log, {left} descriptors not given back")
    for trouble in [*soak.troubles[:5], *said[:5]]:
        print(f"  {trouble}")
    flat = is_flat(samples, min(WARM_UP, seconds // 4))
    sys.exit(0 if alive and flat and not soak.troubles and not said and left <= 0 else "the soak failed")


if __name__ == "__main__":
    main()
