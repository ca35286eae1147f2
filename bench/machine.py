# SPDX-License-Identifier: Apache-2.0
"""Processes under measurement: started on a core of their own, asked what they cost, and ended."""
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time

LOAD_CORE = 0
PROXY_CORE = 1 if os.cpu_count() > 1 else 0


def most_connections():
    """Through a proxy, which needs two descriptors for each; here and in everything started from here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return (most - 600) // 2


def stop_on_sigterm():
    """As an interrupt does: what was started is stopped on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))


class Process:
    """A command on one core, with its threads and children."""

    def __init__(self, command, core, log, env=None):
        self.log = open(log, "ab")
        self.process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=self.log, stderr=self.log,
                                        env={**os.environ, **(env or {})}, start_new_session=True)

    def stop(self):
        """Ends the whole session: a proxy's workers must not outlive it and keep its port."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, how)
                self.process.wait(5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self.log.close()

    def pids(self):
        found, at = [self.process.pid], 0
        while at < len(found):
            found += children_of(found[at])
            at += 1
        return found

    def cpu_seconds(self):
        """Run time of all threads, from the scheduler: exact, where utime and stime are sampled."""
        total = 0
        for pid in self.pids():
            for path in task_files(pid, "schedstat"):
                total += int((read(path) or "0").split()[0])
        return total / 1e9

    def pss_kib(self):
        """Memory that is this process's share."""
        total = 0
        for pid in self.pids():
            found = re.search(r"^Pss:\s+(\d+)", read(f"/proc/{pid}/smaps_rollup") or "", re.M)
            total += int(found.group(1)) if found else 0
        return total

    def threads(self):
        return sum(len(task_files(pid, "stat")) for pid in self.pids())


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def task_files(pid, name):
    try:
        return [f"/proc/{pid}/task/{task}/{name}" for task in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def children_of(pid):
    return [int(child) for path in task_files(pid, "children") for child in (read(path) or "").split()]


def wait_for_port(port, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def describe():
    """What the numbers depend on."""
    model = re.search(r"model name\s*:\s*(.*)", read("/proc/cpuinfo") or "")
    return {"processor": model.group(1) if model else "unknown", "cores": os.cpu_count(), "kernel": os.uname().release,
            "system": (re.search(r'PRETTY_NAME="(.*)"', read("/etc/os-release") or "") or [None, "unknown"])[1],
            "load": float(read("/proc/loadavg").split()[0])}
