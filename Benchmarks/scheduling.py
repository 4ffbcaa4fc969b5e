"""The scheduler's decisions alone, and how many hours of simulated clusters pass in a minute: programs of the package in Swift, run as they are.

`make bench` builds the first; the simulator links otherwise (it answers for the C library's clock), so `make simulate` has to have run."""
import os, re, subprocess, time
from table import BIN, Skipped, Table

# pods/s: ten times upstream's threshold for the basic workload, five times for the others.
TIMES = {"basic": 10}
HOURS_PER_MINUTE = 100


def program(name):
    path = f"{BIN}/{name}"
    if not os.access(path, os.X_OK):
        raise Skipped(f"no {path}: swift build -c release --product {name}")
    return path


def decisions():
    lines = subprocess.run([program("scheduling-bench")], capture_output=True, text=True, check=True).stdout.splitlines()
    table = Table("scheduling decisions", "workload", "nodes", "pods", "pods/s", "upstream's threshold", "goal", "p50", "p99")
    for line in lines[2:]:
        name, nodes, pods, rate, threshold, _, p50, p99 = (word.strip() for word in line.strip("| ").split("|"))
        wanted = int(threshold) * TIMES.get(name, 5)
        missed = "" if not wanted else f"> {wanted}: " + ("met" if int(rate) > wanted else f"missed, {int(rate) / wanted:.2f} of it")
        table.row(name, nodes, pods, rate, threshold, missed, p50, p99)
    table.print()


def simulation():
    command = [program("swiftlet-simulate"), "--seeds", f"1-{20 * (os.cpu_count() or 1)}", "--hours", "1", "--jobs", str(os.cpu_count() or 1)]
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    passed = time.monotonic() - begin
    last = next(line for line in reversed(done.stdout.splitlines()) if " seeds in " in line)
    hours = sum(map(float, re.findall(r"^seed \d+: ok, ([\d.]+) h", done.stdout, re.M)))
    rate = hours / passed * 60
    table = Table("the simulator", "", "measured", "goal")
    table.row("simulated cluster hours", f"{hours:.0f} in {passed:.0f} s", "")
    table.row("hours per minute", f"{rate:.0f}", f"> {HOURS_PER_MINUTE}: " + ("met" if rate > HOURS_PER_MINUTE else "missed"))
    table.row("seeds", "all good" if done.returncode == 0 else last, "")
    table.print()


def run(options):
    decisions()
    simulation()
