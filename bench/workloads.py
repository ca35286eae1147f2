# SPDX-License-Identifier: Apache-2.0
"""What is measured: requests under load, memory at rest, growth. A measurement is a list of rounds per row."""
import statistics
import time

import load
import machine
import peers

WITH_POLICY = ["perilune", "nginx+lua", "haproxy+lua", "pingora"]
PLAIN = ["perilune plain", "nginx", "haproxy", "pingora plain"]


class Workload:
    """Requests of one kind to some peers; `goal` is the most that the row `subject` may cost, as a multiple of `base`.
    With `handshakes` ("full" or "resumed") each request has a TLS connection of its own."""

    def __init__(self, name, title, path, connections, rows, base="relay", goals=None, most=None, handshakes=None):
        self.name, self.title, self.path, self.connections = name, title, path, connections
        self.rows, self.base, self.goals, self.most, self.handshakes = rows, base, goals or {}, most, handshakes


def with_tls(name, title, path, connections, handshakes=None):
    """Two workloads: TLS with clients only, and with the origins as well; goal: not dearer than nginx."""
    for sides, suffix in (("TLS with clients", ""), ("TLS on both sides", " both")):
        rows = [f"{kind} tls{suffix}" for kind in ("perilune", "nginx", "haproxy")]
        yield Workload(name + suffix.replace(" ", "-"), f"{sides}: {title}", path, connections, rows, base=rows[1],
                       goals={rows[0]: 1.00}, handshakes=handshakes)


WORKLOADS = [
    Workload("policy-64", "1 KB, 64 connections, the policy", "/1k", 64, ["relay", *WITH_POLICY],
             goals={"perilune": 1.20}),
    Workload("policy-256", "1 KB, 256 connections, the policy", "/1k", 256, ["relay", *WITH_POLICY],
             goals={"perilune": 1.20}),
    Workload("plain-64", "1 KB, 64 connections, no script", "/1k", 64, ["relay", *PLAIN], goals={"perilune plain": 1.15}),
    Workload("plain-256", "1 KB, 256 connections, no script", "/1k", 256, ["relay", *PLAIN],
             goals={"perilune plain": 1.15}),
    Workload("100k", "100 KB, 32 connections", "/100k", 32, ["relay", "perilune", *PLAIN], goals={"perilune": 1.15}),
    Workload("10m", "10 MB, 8 connections", "/10m", 8, ["relay", "perilune", *PLAIN], goals={"perilune": 1.05}),
    Workload("refused", "429 by the policy, 64 connections", "/1k", 64, WITH_POLICY, base="nginx+lua",
             goals={"perilune": 0.75}, most=1),
    *with_tls("tls-full", "full handshakes, one request of 1 KB each, 32 connections", "/1k", 32, "full"),
    *with_tls("tls-resumed", "resumed handshakes, one request of 1 KB each, 32 connections", "/1k", 32, "resumed"),
    *with_tls("tls-64", "1 KB, 64 keep-alive connections", "/1k", 64),
    *with_tls("tls-10m", "10 MB, 2 connections", "/10m", 2),
]


class Running:
    """A peer while it is measured."""

    def __init__(self, name, workers=1, origins=None, env=None):
        start = peers.start_of(name, workers, origins)
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

    def cost(self, path, connections, seconds, fields=(), handshakes=None):
        """One second to warm up, then what a request takes."""
        def ask(how_long):
            if handshakes:
                return load.handshakes(peers.HANDSHAKES, self.port, path, connections, how_long, handshakes)
            return load.requests(self.port, path, connections, how_long, fields, self.scheme)
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


def run(workload, rounds, seconds, names):
    env = {"MAX_REQ": str(workload.most)} if workload.most is not None else {}

    def one(name):
        with Running(name, env=env) as running:
            return running.cost(workload.path, workload.connections, seconds, handshakes=workload.handshakes)
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
    """What a request costs as one thing grows: a list of (what grows, how much, rounds)."""
    policy = "perilune"
    cases = [("connections", n, lambda n=n: cost(policy, seconds, connections=n)) for n in (1, 64, 1000, min(10000, machine.most_connections()))]
    cases += [("backends", n, lambda n=n: cost(policy, seconds, origins=peers.BACKENDS[:n])) for n in (1, 10, 100)]
    cases += [("request fields", n, lambda n=n: cost(policy, seconds, fields=n)) for n in (10, 80)]
    cases += [("workers", n, lambda n=n: cost(policy, seconds, workers=n)) for n in (1, 2, 4)]
    done = measure(rounds, list(range(len(cases))), lambda i: cases[i][2]())
    return [(what, amount, done["rows"][i], done["failures"].get(i)) for i, (what, amount, _) in enumerate(cases)]


def cost(name, seconds, connections=64, origins=None, fields=3, workers=1):
    """wrk sends Host and appid itself; the rest are fields of about 30 bytes."""
    more = [(f"X-Field-{i}", "0123456789abcdef") for i in range(fields - 2)]
    with Running(name, workers, origins) as running:
        return running.cost("/1k", connections, seconds, more)


def median(rounds, key):
    return statistics.median(one[key] for one in rounds)
