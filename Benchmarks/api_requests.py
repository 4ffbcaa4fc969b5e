"""Requests a second, latency and CPU of the API server: 1 KB ConfigMaps over TLS and HTTP/2 from one connection, as client-go sends them."""
import json, os, shutil, subprocess, tempfile, threading, time
from table import BenchNode, Skipped, Table, quantile
from kubeapi import Client, Cluster
from idle_watches import Streams, until
from node_memory import memory

CREATES, GETS, OBJECTS, WATCHERS, WRITES = 4_500, 12_000, 5_000, 100, 200
MAPS = "/api/v1/namespaces/bench/configmaps"
# Kubernetes with etcd, from the figures of a machine with two cores: requests a second, and p99 in ms.
UPSTREAM = {"create, 1 client": ((344, 476), 5), "create, 16 clients": ((1217, 1581), 37), "get, 1 client": ((770, 1142), 3),
            "get, 16 clients": ((1713, 2978), 30), f"list of {OBJECTS:,}": ((1000 / 107, 1000 / 98), 250)}


class Load:
    def __init__(self, node):
        self.node, self.pid = node, node.process.pid
        node.out("create", "namespace", "bench")
        node.out("create", "serviceaccount", "bench")
        node.out("create", "clusterrolebinding", "bench", "--clusterrole=cluster-admin", "--serviceaccount=default:bench")
        self.token = node.out("create", "token", "bench").strip()
        self.base = f"https://127.0.0.1:{node.port}"
        self.table = Table("API server, one connection", "", "a second", "p50, ms", "p99, ms", "CPU of the server, µs each", "Kubernetes: a second, p99")

    def cpu(self):
        """Microseconds; the scheduler's own sum, which ticks do not round."""
        tasks = f"/proc/{self.pid}/task"
        return sum(int(open(f"{tasks}/{t}/schedstat").read().split()[0]) for t in os.listdir(tasks)) / 1000

    def run(self, label, count, streams, path, *options):
        with tempfile.NamedTemporaryFile(prefix="swiftlet-bench-") as log:
            cpu, begin = self.cpu(), time.monotonic()
            subprocess.run(["h2load", "-n", str(count), "-c", "1", "-m", str(streams), "-t", "1", f"--log-file={log.name}",
                            "-H", "authorization: Bearer " + self.token, *options, self.base + path], check=True, stdout=subprocess.DEVNULL)
            took, cpu = time.monotonic() - begin, self.cpu() - cpu
            rows = [line.split() for line in open(log.name)]
        if bad := {row[1] for row in rows} - {"200", "201"} or len(rows) != count:
            raise RuntimeError(f"{label}: {len(rows)} of {count} answers, codes {bad}")
        times = [int(row[2]) / 1000 for row in rows]
        rate = count / took
        known = UPSTREAM.get(label)
        beside = f"{known[0][0]:.0f}-{known[0][1]:.0f} ({rate / known[0][1]:.1f}-{rate / known[0][0]:.1f}x), {known[1]} ms" if known else ""
        self.table.row(label, f"{rate:,.0f}", f"{quantile(times, 0.5):.2f}", f"{quantile(times, 0.99):.2f}", f"{cpu / count:,.0f}", beside)


class Listener(Streams):
    """Watches that note when each event came."""

    def __init__(self, *arguments):
        self.times, self.heard = [], threading.Condition()
        super().__init__(*arguments)

    def note(self, events):
        with self.heard:
            self.times += [time.perf_counter()] * events
            self.heard.notify()


def fan_out(load, cluster, client):
    version = json.loads(client.call("GET", MAPS + "?limit=1"))["metadata"]["resourceVersion"]
    name = json.loads(client.call("GET", MAPS + "?limit=1"))["items"][0]["metadata"]["name"]
    watches = Listener(cluster, f"{MAPS}?watch=true&timeoutSeconds=600&resourceVersion={version}", WATCHERS)
    until("watches are answered", lambda: watches.answered >= WATCHERS, [watches])
    latencies, cpu = [], load.cpu()
    for number in range(WRITES):
        del watches.times[:]
        begin = time.perf_counter()
        client.call("PUT", f"{MAPS}/{name}", {"metadata": {"name": name}, "data": {"a": "x" * 850, "n": str(number)}})
        with watches.heard:
            if not watches.heard.wait_for(lambda: len(watches.times) >= WATCHERS, timeout=10):
                raise RuntimeError(f"{len(watches.times)} of {WATCHERS} watchers heard of a write")
        latencies += [(t - begin) * 1000 for t in watches.times]
    cpu = load.cpu() - cpu
    watches.socket.close()
    load.table.row(f"write -> seen by {WATCHERS} watchers", "", f"{quantile(latencies, 0.5):.2f}", f"{quantile(latencies, 0.99):.2f}",
                   f"{cpu / WRITES:,.0f}", "p50 5.3-6.3, p99 8-15 ms")


def run(options):
    if not shutil.which("h2load"):
        raise Skipped("no h2load: apt-get install nghttp2-client")
    with BenchNode() as bench, tempfile.NamedTemporaryFile(prefix="swiftlet-bench-", mode="w") as body:
        load = Load(bench.node)
        json.dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "bench-"}, "data": {"a": "x" * 850}}, body)
        body.flush()
        post = ("-d", body.name, "-H", "content-type: application/json")
        load.run("warming up", 200, 1, "/api/v1/namespaces")
        before = memory(load.pid)
        load.run("create, 1 client", OBJECTS - CREATES, 1, MAPS, *post)
        load.run("create, 16 clients", CREATES, 16, MAPS, *post)
        cluster = Cluster(bench.node.kubeconfig)
        client = Client(cluster)
        name = json.loads(client.call("GET", MAPS + "?limit=1"))["items"][0]["metadata"]["name"]
        load.run("get, 1 client", GETS // 4, 1, f"{MAPS}/{name}")
        load.run("get, 16 clients", GETS, 16, f"{MAPS}/{name}")
        load.run(f"list of {OBJECTS:,}", 20, 1, MAPS)
        load.run(f"list of {OBJECTS:,}, of any version", 20, 1, MAPS + "?resourceVersion=0")
        load.run("list of 500", 50, 1, MAPS + "?limit=500")
        fan_out(load, Cluster(bench.node.kubeconfig), client)
        after = memory(load.pid)
    load.table.row("PSS before -> after, MB", f"{before[1] / 1024:.0f} -> {after[1] / 1024:.0f}", "", "", "", "532, and etcd 124")
    load.table.print()
