"""Rolling updates of a Deployment of 3 under load: how many requests through its service fail. `--rounds N` (default: 1000 by name, 20 among all)."""
import time
from table import BenchNode, Table, goal, quantile
import rollouts as load  # the tests' own


def run(options):
    rounds = options.rounds or (1000 if "rollouts" in options.parts else 20)
    with BenchNode() as bench:
        node = bench.node
        node.apply(load.deployment("rolled", 3, 0))
        node.apply(load.service("rolled"))
        node.out("rollout", "status", "deployment/rolled", "--timeout=60s")
        clients = load.Load(node, node.json("get", "svc", "rolled")["spec"]["clusterIP"])
        seconds, begun = [], time.monotonic()
        try:
            for generation in range(1, rounds + 1):
                began = time.monotonic()
                node.apply(load.deployment("rolled", 3, generation))
                node.out("rollout", "status", "deployment/rolled", "--timeout=120s")
                seconds.append(time.monotonic() - began)
        finally:
            host, inside = clients.end()
    table = Table(f"{len(seconds)} rolling updates of 3 pods, in {time.monotonic() - begun:.0f} s", "client", "requests", "failed", "goal")
    table.row("on the node", host[0], host[1], goal(host[1], 1, "failed"))
    table.row("in a pod", inside[0], inside[1], goal(inside[1], 1, "failed"))
    table.print()
    print(f"  one update: p50 {quantile(seconds, 0.5):.2f} s, p99 {quantile(seconds, 0.99):.2f} s")
    for error in clients.errors[:10]:
        print(f"  {error}")
