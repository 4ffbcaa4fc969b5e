"""How long pods take, as a client sees it: created to Ready, deleted to gone, fifty at once, and back after a kill -9.

Times begin when the answer to the call has been read ("accepted") and end when the watch's line has been read from its socket.
Random pauses keep the measurement out of step with anything that the node might do at intervals.
"""
import os, random, signal, time
from kubeapi import Client, Cluster, PodWatch
from table import BenchNode, Table, goal, quantile, ratio

PODS = "/api/v1/namespaces/default/pods"
RUN = f"bench={os.getpid()}"
COMMAND = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"]
# kubelet with containerd and etcd on a machine of the same size: p50 in ms (methods and versions: Benchmarks/README.md).
PEER = {"created -> Ready": 541, "deleted -> gone": 1092, "killed -> Running again": 638, "burst of 50": 7700}


def body(name, command=None):
    return dict(apiVersion="v1", kind="Pod", metadata=dict(name=name, labels=dict([RUN.split("=")])),
                spec=dict(terminationGracePeriodSeconds=30, containers=[dict(
                    name="c", image="localhost/busybox:e2e", imagePullPolicy="IfNotPresent",
                    command=(command or COMMAND) + ["marker-" + name])]))


def milliseconds(begin, end):
    return max(0, end - begin) / 1e6


def pause():
    time.sleep(0.1 + random.random() * 0.3)


def sequential(client, watch, count):
    times = {"create call": [], "created -> bound": [], "created -> running": [], "created -> Ready": [], "deleted -> gone": []}
    for number in range(count + 1):
        name = f"seq-{number}"
        sent = time.perf_counter_ns()
        client.call("POST", PODS, body(name))
        accepted = time.perf_counter_ns()
        ready = watch.wait(name, "ready")
        pause()
        client.call("DELETE", f"{PODS}/{name}")
        deleted = time.perf_counter_ns()
        gone = watch.wait(name, "gone")
        if number > 0:  # the first one warms up caches of both sides
            seen = watch.seen[name]
            for what, value in (("create call", accepted - sent), ("created -> bound", seen["bound"] - accepted),
                                ("created -> running", seen["running"] - accepted),
                                ("created -> Ready", ready - accepted), ("deleted -> gone", gone - deleted)):
                times[what].append(max(0, value) / 1e6)
        pause()
    return times


def burst(client, watch, count):
    """Returns ms from the first create sent until all are Ready, and from the first delete until all are gone."""
    names = [f"burst-{i}" for i in range(count)]
    begin = time.perf_counter_ns()
    for name in names:
        client.call("POST", PODS, body(name))
    created = time.perf_counter_ns()
    ready = max(watch.wait(name, "ready", timeout=120) for name in names)
    time.sleep(1)
    deleting = time.perf_counter_ns()
    for name in names:
        client.call("DELETE", f"{PODS}/{name}")
    gone = max(watch.wait(name, "gone", timeout=120) for name in names)
    return milliseconds(begin, created), milliseconds(begin, ready), milliseconds(deleting, gone)


def processes_with(marker):
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if marker.encode() in file.read().split(b"\0"):
                    found.add(int(pid))
        except OSError:
            continue
    return found


def restarts(client, watch, count):
    """kill -9 of the first process of containers that never failed before. Returns times to Running and to Ready again."""
    running, ready = [], []
    for number in range(count):
        name = f"kill-{number}"
        client.call("POST", PODS, body(name))
        watch.wait(name, "ready")
        pause()
        victims = processes_with("marker-" + name)
        if not victims:
            raise RuntimeError(f"no process of pod {name} on this machine")
        begin = time.perf_counter_ns()
        os.kill(min(victims), signal.SIGKILL)
        running.append(milliseconds(begin, watch.wait(name, "restarted-1")))
        ready.append(milliseconds(begin, watch.wait(name, "ready-1")))
        client.call("DELETE", f"{PODS}/{name}")
        watch.wait(name, "gone")
    return running, ready


def run(options):
    with BenchNode() as bench:
        cluster = Cluster(bench.node.kubeconfig)
        client, watch = Client(cluster), PodWatch(cluster, "default", RUN)
        times = sequential(client, watch, options.rounds or 30)
        again, ready_again = restarts(client, watch, max(3, (options.rounds or 30) // 3))
        created, all_ready, all_gone = burst(client, watch, 50)
        watch.close()
    times["killed -> Running again"], times["killed -> Ready again"] = again, ready_again
    table = Table(f"Pods, one after the other (node Ready {bench.started:.2f} s after its start)", "ms", "n", "p50", "p90", "p99",
                  "kubelet p50", "kubelet/ours", "goal p50")
    goals = {"created -> Ready": 30, "deleted -> gone": 40, "killed -> Running again": 20}
    for what, values in times.items():
        middle, peer = quantile(values, 0.5), PEER.get(what)
        table.row(what, len(values), f"{middle:.1f}", f"{quantile(values, 0.9):.1f}", f"{quantile(values, 0.99):.1f}", peer or "",
                  ratio(peer, middle) if peer else "", goal(middle, goals[what]) if what in goals else "")
    table.row("created -> Ready, p99", "", "", "", f"{quantile(times['created -> Ready'], 0.99):.1f}", 629,
              ratio(629, quantile(times["created -> Ready"], 0.99)), goal(quantile(times["created -> Ready"], 0.99), 80))
    table.print()
    table = Table("Fifty pods at once", "ms", "ours", "kubelet", "kubelet/ours", "goal")
    table.row("all creates answered", f"{created:.0f}")
    table.row("all Ready", f"{all_ready:.0f}", PEER["burst of 50"], ratio(PEER["burst of 50"], all_ready), goal(all_ready, 1500))
    table.row("all gone", f"{all_gone:.0f}")
    table.print()
