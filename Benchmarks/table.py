"""What the benchmarks share: quantiles, one table, the machine in one line, and where the programs are."""
import os, shutil, subprocess, sys, tempfile

HERE = os.path.realpath(os.path.dirname(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ROOT, "Tests", "EndToEnd"))
import harness  # noqa: E402  (the tests' node and kubectl; its BIN is SWIFTLET_BIN or .build/release)

BIN = harness.BIN


class Skipped(Exception):
    """Why a part cannot be measured here."""


def quantile(values, share):
    """Nearest rank: the smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1)]


def machine():
    load = " ".join(f"{x:.2f}" for x in os.getloadavg())
    return f"{os.cpu_count()} CPUs, load {load}, Linux {os.uname().release}"


def ratio(value, base):
    return "" if not base else f"{value / base:.2f}x" if value / base < 10 else f"{value / base:.0f}x"


class Table:
    """Rows of text under a title; goals are shown as what they are and whether they are met."""

    def __init__(self, title, *columns):
        self.title, self.rows = title, [columns]

    def row(self, *cells):
        self.rows.append([str(c) for c in cells])

    def print(self):
        widths = [max(len(row[i]) for row in self.rows if i < len(row)) for i in range(len(self.rows[0]))]
        print(f"\n{self.title}  [{machine()}]")
        for number, row in enumerate(self.rows):
            cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
            print("  " + "  ".join(cells).rstrip())
            if number == 0:
                print("  " + "-" * (sum(widths) + 2 * len(widths) - 2))
        sys.stdout.flush()


def goal(value, limit, unit="ms"):
    """`goal: < 30 ms, met` or by how much it is missed."""
    return f"< {limit:g} {unit}: " + ("met" if value < limit else f"missed, {value / limit:.1f} times")


class BenchNode:
    """A node of its own for the time of a `with`, with the test image in its store. Its folder goes with it."""

    def __enter__(self):
        for program in ("swiftlet", "swiftlet-pod"):
            if not os.access(f"{BIN}/{program}", os.X_OK):
                raise Skipped(f"no {BIN}/{program}: build it (make build), or say where it is with SWIFTLET_BIN")
        if not shutil.which("kubectl"):
            raise Skipped("no kubectl")
        self.node = harness.Node(index=8)
        try:
            self.started = self.node.start()
            self.node.image()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.node.purge()
        finally:
            if os.environ.get("KEEP"):
                print(f"left for you: {self.node.dir}")
            else:
                shutil.rmtree(self.node.dir, ignore_errors=True)
