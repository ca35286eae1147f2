# SPDX-License-Identifier: Apache-2.0
"""Tables, for the terminal and for bench/RESULTS.md."""
import statistics


def table(head, rows):
    """Markdown that can be read as it is."""
    rows = [list(map(str, row)) for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    def line(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"
    return "\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])


def ratios(rows, name, base):
    """Of each window or round to the same one of the base, so that what slows both does not count."""
    mine, theirs = rows.get(name, []), rows.get(base, [])
    if len(mine) != len(theirs):  # one of them failed in between: what is left are not pairs
        return []
    return [one["cpu_us"] / other["cpu_us"] for one, other in zip(mine, theirs)]


def workload(of, done, skipped):
    rows = done["rows"]
    lines = []
    for name in of.rows:
        if name in skipped or not rows.get(name):
            lines.append([name, "-", "-", "-", "-", "-", "-", "-", skipped.get(name) or done["failures"].get(name, "")])
            continue
        costs = [one["cpu_us"] for one in rows[name]]
        against = ratios(rows, name, of.base)
        lines.append([name, f"{statistics.median(costs):.2f}", middle(costs),
                      f"{statistics.median(against):.2f}" if against else "-", middle(against), goal_text(of, name, against),
                      f"{statistics.median(one['rps'] for one in rows[name]):.0f}",
                      p99_of(rows[name]), remark(of, rows[name])])
    return f"### {of.title}\n\n" + table(["proxy", "CPU us/request", "middle half", f"x {of.base}", "middle half", "goal",
                                          "requests/s", "p99 ms", "remark"], lines)


def p99_of(rounds):
    """Milliseconds; h2load does not say."""
    known = [one["p99_us"] for one in rounds if "p99_us" in one]
    return f"{statistics.median(known) / 1000:.2f}" if known else "-"


def middle(values):
    """Between which two the middle half of them lies."""
    if len(values) < 2:
        return "-"
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{low:.2f}-{high:.2f}"


def goal_text(of, name, against):
    if name not in of.goals:
        return ""
    met = against and statistics.median(against) <= of.goals[name]
    return f"{of.goals[name]:.2f} {'met' if met else 'MISSED'}"


def remark(of, rounds):
    errors = sum(one["errors"] for one in rounds)
    strays = sum(one["other_statuses"] for one in rounds) if of.most is None else 0
    passed = sum(one["requests"] - one["other_statuses"] for one in rounds) if of.most is not None else 0
    said = [f"{errors} socket errors" if errors else "", f"{strays} other statuses" if strays else "",
            f"{passed} passed" if passed else ""]
    return ", ".join(text for text in said if text)


def ahead(of, done, ours):
    """Peers that cost less than we do, in words."""
    rows = done["rows"]
    mine = next((name for name in ours if rows.get(name)), None)
    if not mine:
        return []
    own = statistics.median(one["cpu_us"] for one in rows[mine])
    found = []
    for name, rounds in rows.items():
        if not rounds or name in ours or name == "relay":
            continue
        theirs = statistics.median(one["cpu_us"] for one in rounds)
        if theirs < own:
            found.append(f"{name} needs {theirs:.2f} us per request where {mine} needs {own:.2f} ({of.title}).")
    return found


def memory(title, key, unit, done, skipped, goal):
    lines = []
    for name, rounds in done["rows"].items():
        if rounds:
            value = rounds[0][key]
            is_ours = name.startswith("perilune") and "tls" not in name
            verdict = "" if not is_ours else f"{goal:g} {'met' if value <= goal else 'MISSED'}"
            lines.append([name, f"{value:.2f}", verdict, ""])
        else:
            lines.append([name, "-", "", skipped.get(name) or done["failures"].get(name, "")])
    return f"### {title}\n\n" + table(["proxy", unit, "goal", "remark"], lines)


def growth(cases):
    first, lines = {}, []
    for what, amount, rounds, failure in cases:
        if not rounds:
            lines.append([what, amount, "-", "-", failure or ""])
            continue
        costs = [one["cpu_us"] for one in rounds]
        first.setdefault(what, statistics.median(costs))
        lines.append([what, amount, f"{statistics.median(costs):.2f}", middle(costs),
                      f"x {statistics.median(costs) / first[what]:.2f}"])
    return "### Growth: the policy, 1 KB, 64 connections, one worker where nothing else is said\n\n" + \
        table(["what", "how many", "CPU us/request", "middle half", "to the first"], lines)
