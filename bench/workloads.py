# SPDX-License-Identifier: Apache-2.0
"""What is measured: requests under load, memory at rest, growth. A measurement is a list of rounds per row."""
import contextlib
import time

import load
import machine
import peers

WITH_POLICY = ["perilune", "nginx+lua", "haproxy+lua", "pingora"]
PLAIN = ["perilune plain", "nginx", "haproxy", "pingora plain"]

CACHED = ["perilune cached", "nginx cached", "varnish cached"]
GZIP = "Accept-Encoding: gzip"

WINDOW_MS = 150  # long against the moment in which a proxy warms up, short against what disturbs a machine


class Workload:
    """Requests of one kind to some peers; `goal` is the most that the row `subject` may cost, as a multiple of `base`.
    Plain ones are asked in turn, in windows, with one further `field`; TLS one after another, and with `handshakes` ("full" or "resumed") each
    request has a connection of its own. With `streams` it is HTTP/2, so many requests at once on each connection, one
    proxy after another."""

    def __init__(self, name, title, path, connections, rows, base="relay", goals=None, most=None, handshakes=None,
                 window_ms=WINDOW_MS, streams=None, field=None):
        self.name, self.title, self.path, self.connections = name, title, path, connections
        self.rows, self.base, self.goals, self.most, self.handshakes = rows, base, goals or {}, most, handshakes
        self.window_ms, self.has_tls, self.streams = window_ms, any(" tls" in row for row in rows), streams
        self.field = field


def with_tls(name, title, path, connections, handshakes=None):
    """Two workloads: TLS with clients only, and with the origins as well; goal: not dearer than nginx."""
    for sides, suffix in (("TLS with clients", ""), ("TLS on both sides", " both")):
        rows = [f"{kind} tls{suffix}" for kind in ("perilune", "nginx", "haproxy")]
        yield Workload(name + suffix.replace(" ", "-"), f"{sides}: {title}", path, connections, rows, base=rows[1],
                       goals={rows[0]: 1.00}, handshakes=handshakes)


def http2(name, title, path, connections, streams, suffix="", peers_of=("perilune", "nginx", "caddy", "haproxy"), goal=None):
    """HTTP/2 with clients; `suffix`: " tls", or " h2" to the origins as well."""
    rows = [f"{kind} h2{suffix}" for kind in peers_of]
    goals = {rows[0]: goal} if goal else None
    return Workload(name, f"HTTP/2: {title}", path, connections, rows, base=rows[-1], streams=streams, goals=goals)


WORKLOADS = [
    Workload("policy-64", "1 KB, 64 connections, the policy", "/1k", 64, ["relay", *WITH_POLICY],
             goals={"perilune": 1.20}),
    Workload("policy-256", "1 KB, 256 connections, the policy", "/1k", 256, ["relay", *WITH_POLICY],
             goals={"perilune": 1.20}),
    Workload("plain-64", "1 KB, 64 connections, no script", "/1k", 64, ["relay", *PLAIN], goals={"perilune plain": 1.15}),
    Workload("plain-256", "1 KB, 256 connections, no script", "/1k", 256, ["relay", *PLAIN],
             goals={"perilune plain": 1.15}),
    Workload("100k", "100 KB, 32 connections", "/100k", 32, ["relay", "perilune", *PLAIN], goals={"perilune": 1.15}),
    Workload("10m", "10 MB, 8 connections", "/10m", 8, ["relay", "perilune", *PLAIN], goals={"perilune": 1.05},
             window_ms=500),
    Workload("refused", "429 by the policy, 64 connections", "/1k", 64, WITH_POLICY, base="nginx+lua",
             goals={"perilune": 0.75}, most=1),
    *with_tls("tls-full", "full handshakes, one request of 1 KB each, 32 connections", "/1k", 32, "full"),
    *with_tls("tls-resumed", "resumed handshakes, one request of 1 KB each, 32 connections", "/1k", 32, "resumed"),
    *with_tls("tls-64", "1 KB, 64 keep-alive connections", "/1k", 64),
    *with_tls("tls-10m", "10 MB, 2 connections", "/10m", 2),
    Workload("cached-1k", "hits of 1 KB, 64 connections", "/cached/1k", 64, ["relay", *CACHED], goals={"perilune cached": 0.60}),
    Workload("cached-10m", "hits of 10 MB, 8 connections", "/cached/10m", 8, [*CACHED, "nginx cached copied"], base="nginx cached",
             goals={"perilune cached": 0.20}, window_ms=500),
    Workload("missed-1k", "misses of 1 KB that are not kept, 64 connections", "/missed/1k", 64, ["relay", *CACHED]),
    Workload("cached-coded", "hits of 100 KB of JSON, for clients that accept gzip, 32 connections", "/cached/json/100k", 32,
             ["perilune cached", "perilune coded"], base="perilune cached", goals={"perilune coded": 1.10}, field=GZIP),
    Workload("gzip-20k", "20 KB of JSON, gzip at level 5 on the fly, 32 connections", "/json/20k", 32,
             ["perilune gzip", "nginx gzip"], base="nginx gzip", goals={"perilune gzip": 1.00}, field=GZIP),
    http2("h2-10", "1 KB, 32 connections of 10 streams", "/1k", 32, 10),
    http2("h2-100", "1 KB, 8 connections of 100 streams", "/1k", 8, 100),
    http2("h2-100k", "100 KB, 8 connections of 4 streams", "/100k", 8, 4),
    http2("h2-10m", "10 MB, 2 connections of 2 streams", "/10m", 2, 2, goal=0.90),
    http2("h2-tls-10", "1 KB over TLS, 32 connections of 10 streams", "/1k", 32, 10, " tls", goal=0.80),
    http2("h2-tls-10m", "10 MB over TLS, 2 connections of 2 streams", "/10m", 2, 2, " tls", goal=0.90),
    http2("h2-h2-10", "1 KB to origins of HTTP/2, 32 connections of 10 streams", "/1k", 32, 10, " h2",
          ("perilune", "haproxy"), 0.80),
    http2("h2-grpc", "gRPC unary, 32 connections of 10 streams", load.GRPC_PATH, 32, 10, " h2", ("perilune", "haproxy"), 0.80),
]


class Running:
    """A peer while it is measured."""

    def __init__(self, name, workers=1, origins=None, env=None, copy=0):
        start = peers.start_of(name, workers, origins, copy)
        if not machine.is_free(start.port):
            raise load.LoadFailed(f"port {start.port} is taken")
        command, own = peers.PEERS[name](start)
        self.port, self.scheme = start.port, "https" if start.has_tls else "http"
        self.process = machine.Process(command, machine.PROXY_CORE, f"{peers.BUILD}/{start.name}.log", {**own, **(env or {})})

    def __enter__(self):
        if not machine.wait_for_port(self.port):
            self.process.stop()
            raise load.LoadFailed("did not start: see build/bench/*.log")
        return self

    def __exit__(self, *_):
        self.process.stop()

    def cost(self, path, connections, seconds, handshakes=None, streams=None):
        """One second to warm up, then what a request takes."""
        def ask(how_long):
            if handshakes:
                return load.handshakes(peers.HANDSHAKES, self.port, path, connections, how_long, handshakes)
            if streams:
                return load.streams(self.port, path, connections, streams, how_long, scheme=self.scheme)
            return load.requests(self.port, path, connections, how_long, scheme=self.scheme)
        ask(1)
        before = self.process.cpu_seconds()
        done = ask(seconds)
        done["cpu_us"] = (self.process.cpu_seconds() - before) / done["requests"] * 1e6
        return done


def measure(rounds, names, one):
    """one(name) for each name, again and again: all rows see the same disturbances."""
    rows, failures = {name: [] for name in names}, {}
    for turn in range(rounds):
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            try:
                rows[name].append(one(name))
            except load.LoadFailed as failure:
                failures[name] = str(failure)
    return {"rows": rows, "failures": failures}


class Case:
    """A peer that runs beside others, and how it is asked."""

    def __init__(self, name, connections=64, fields=1, workers=1, origins=None):
        self.name, self.connections, self.fields, self.workers, self.origins = name, connections, fields, workers, origins


def in_turn(cases, path, rounds, seconds, window_ms, env=None, field=None):
    """All cases run at once; each round starts them anew and visits each for `seconds` in windows."""
    rows, absent, failures = [[] for _ in cases], {}, {}
    for _ in range(rounds):
        with contextlib.ExitStack() as stack:
            running = start_all(stack, cases, env, absent)
            targets = [(one.port, cases[number].connections, cases[number].fields, one.process.pids())
                       for number, one in running.items()]
            try:
                done = load.in_turn(peers.TURNS, path, targets, round(seconds * 1000 / window_ms), window_ms,
                                    field)
            except load.LoadFailed as failure: # whose it is, it says; the round is lost for all
                failures.update({number: str(failure) for number in running})
                continue
            for number, windows in zip(running, done):
                rows[number] += windows
    return rows, {**failures, **absent}


def start_all(stack, cases, env, absent):
    """By number. One that fails once takes no further part: the windows of all others stay side by side."""
    running = {}
    for number, case in enumerate(cases):
        if number in absent:
            continue
        try:
            running[number] = stack.enter_context(Running(case.name, case.workers, case.origins, env, number))
        except load.LoadFailed as failure:
            absent[number] = str(failure)
    return running


def run(workload, rounds, seconds, names):
    env = {"MAX_REQ": str(workload.most)} if workload.most is not None else {}
    if not workload.has_tls and not workload.streams:
        rows, failures = in_turn([Case(name, workload.connections) for name in names], workload.path, rounds, seconds,
                                 workload.window_ms, env, workload.field)
        return {"rows": dict(zip(names, rows)), "failures": {names[number]: why for number, why in failures.items()}}

    def one(name):
        with Running(name, env=env) as running:
            return running.cost(workload.path, workload.connections, seconds, handshakes=workload.handshakes,
                                streams=workload.streams)
    return measure(rounds, names, one)


# --- memory at rest ----------------------------------------------------------------------------------------------------


def idle_memory(names, count):
    """KiB per keep-alive connection that has had a response and is silent."""
    def one(name):
        with Running(name) as running:
            load.requests(running.port, "/1k", 16, 1)
            before = running.process.pss_kib()
            connections = load.IdleConnections(running.port, count)
            time.sleep(1)
            held = (running.process.pss_kib() - before) / count
            connections.close()
            return {"kib": held}
    return measure(1, names, one)


def quiet_memory(names, workers):
    """MiB of a process that serves nothing, per worker."""
    def one(name):
        with Running(name, workers) as running:
            time.sleep(1)
            return {"mib": running.process.pss_kib() / 1024 / workers}
    return measure(1, names, one)


# --- growth ------------------------------------------------------------------------------------------------------------


def growth(rounds, seconds):
    """What a request costs as one thing grows: a list of (what grows, how much, windows, failure)."""
    def policy(what, amounts, case):
        rows, failures = in_turn([case(amount) for amount in amounts], "/1k", rounds, seconds, WINDOW_MS)
        return [(what, amount, rows[i], failures.get(i)) for i, amount in enumerate(amounts)]
    return [*policy("connections", (1, 64, 1000, min(10000, machine.most_connections())),
                    lambda n: Case("perilune", connections=n)),
            *policy("backends", (1, 10, 100), lambda n: Case("perilune", origins=peers.BACKENDS[:n])),
            *policy("request fields", (10, 80), lambda n: Case("perilune", fields=n - 2)),
            *policy("workers", (1, 2, 4), lambda n: Case("perilune", workers=n))]
