#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The side-by-side bench: Perilune, its peers and a byte relay on one machine.

Origin and load generator run on core 0, the proxy under test with one worker on core 1, so that the proxy is what is
short. The figure is CPU time of its process tree per request, from the scheduler's own count. Plain HTTP is asked by
bench/turns.c, which visits all proxies of a table in turn for a moment each, again and again: each ratio is that of two
moments side by side. TLS is asked by wrk and HTTP/2 by h2load, one proxy after another. Raw results go to
build/bench/*.json, tables to the terminal and, with --record, to bench/RESULTS.md."""
import argparse
import json
import os
import sys
import time

import load
import machine
import peers
import report
import workloads

OURS = ("perilune", "perilune plain", "perilune tls", "perilune tls both", "perilune h2", "perilune h2 tls",
        "perilune h2 h2")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    names = [workload.name for workload in workloads.WORKLOADS]
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of load for each proxy in a round")
    parser.add_argument("--only", help="of " + ", ".join([*names, "idle", "quiet", "growth"]) + "; separated by commas")
    parser.add_argument("--peers", help="of " + ", ".join(peers.PEERS) + "; separated by commas")
    parser.add_argument("--idle", type=int, default=min(10000, machine.most_connections()),
                        help="connections of the memory table")
    parser.add_argument("--build-pingora", action="store_true", help="first; takes minutes")
    parser.add_argument("--record", action="store_true", help="write bench/RESULTS.md")
    return parser.parse_args()


def skipped_peers(asked):
    reasons = {}
    for name in peers.PEERS:
        why = "left out" if asked and name not in asked.split(",") else peers.missing(name)
        if why:
            reasons[name] = why
    return reasons


def save(name, result):
    with open(os.path.join(peers.BUILD, f"{name}.json"), "w", encoding="utf-8") as file:
        json.dump({"machine": machine.describe(), "versions": peers.versions(), "at": time.strftime("%F %T"), **result},
                  file, indent=1)


class Session:
    """One run of the bench: prints each table as it is done, and keeps it for the record."""

    def __init__(self, args):
        self.args = args
        self.skipped = skipped_peers(args.peers)
        self.texts, self.ahead = [], []

    def wants(self, name):
        return not self.args.only or name in self.args.only.split(",")

    def taking_part(self, names):
        return [name for name in names if name not in self.skipped]

    def say(self, text):
        print(text + "\n", flush=True)
        self.texts.append(text)

    def workload(self, workload):
        done = workloads.run(workload, self.args.rounds, self.args.seconds, self.taking_part(workload.rows))
        save(workload.name, done)
        self.say(report.workload(workload, done, self.skipped))
        self.ahead += report.ahead(workload, done, OURS)

    def memory(self):
        everyone = [name for name in peers.PEERS if name != "relay" and "tls" not in name]
        if self.wants("idle"):
            done = workloads.idle_memory(self.taking_part(everyone), self.args.idle)
            save("idle", done)
            self.say(report.memory(f"Memory of an idle keep-alive connection, of {self.args.idle}", "kib", "KiB PSS", done,
                                   self.skipped, 2))
        if self.wants("quiet"):
            done = workloads.quiet_memory(self.taking_part(everyone), 1)
            more = workloads.quiet_memory(self.taking_part(["perilune"]), 4)
            done["rows"]["perilune, 4 workers"] = more["rows"].get("perilune", [])
            save("quiet", done)
            self.say(report.memory("Memory without traffic, per worker", "mib", "MiB PSS", done, self.skipped, 4))

    def growth(self):
        cases = workloads.growth(max(1, self.args.rounds // 2), self.args.seconds)
        save("growth", {"cases": cases})
        self.say(report.growth(cases))

    def all(self):
        for workload in workloads.WORKLOADS:
            if self.wants(workload.name):
                self.workload(workload)
        self.memory()
        if self.wants("growth"):
            self.growth()


RECORD = """# Results of the bench

The last recorded run of `make bench RECORD=1`. What is measured and how: `bench/run.py`. Another machine gives other
microseconds; what may be compared are the ratios of one run.

{machine}

Where a peer is ahead of Perilune in this run:
{ahead}

{tables}
"""


def record(session, before):
    facts = machine.describe()
    lines = [f"* machine: {facts['processor']}, {facts['cores']} cores, Linux {facts['kernel']}, {facts['system']}",
             f"* load of the machine before the run: {before:.1f}" +
             (" (other work ran beside it, so the spread is wide)" if before > 0.5 else ""),
             "* versions: " + ", ".join(f"{name} {version}" for name, version in peers.versions().items()),
             f"* command: `bench/run.py {' '.join(sys.argv[1:])}`, {time.strftime('%F')}"]
    ahead = "\n".join("* " + text for text in session.ahead) or "* nowhere"
    with open(os.path.join(peers.HERE, "RESULTS.md"), "w", encoding="utf-8") as file:
        file.write(RECORD.format(machine="\n".join(lines), ahead=ahead, tables="\n\n".join(session.texts)))


def main():
    args = arguments()
    machine.stop_on_sigterm()
    peers.build_tools()
    if args.build_pingora and (why := peers.build_pingora()):
        print(f"pingora: {why}", file=sys.stderr)
    before = machine.describe()["load"]
    if before > 0.5:
        print(f"The machine is at work already (load {before:.1f}): the spread will be wide.\n")
    origin = machine.Process(peers.origin(), machine.LOAD_CORE, os.path.join(peers.BUILD, "origin.out"))
    try:
        if not machine.wait_for_port(peers.ORIGIN_PORTS[0]):
            raise load.LoadFailed("the origin did not start: see build/bench/origin.log")
        session = Session(args)
        session.all()
        for name, why in session.skipped.items():
            if why != "left out":
                print(f"skipped {name}: {why}")
        if args.record:
            record(session, before)
    finally:
        origin.stop()


if __name__ == "__main__":
    main()
