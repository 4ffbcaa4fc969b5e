"""Memory and idle CPU of the all-in-one node, with no pod and with fifty, and of the supervisors."""
import json, os, time
from table import BenchNode, Table, goal, ratio
import pod_latency
from kubeapi import Client, Cluster, PodWatch

PODS = 50
TICK = os.sysconf("SC_CLK_TCK")
# All of Kubernetes with containerd and etcd on a machine of the same size (Benchmarks/README.md): PSS in MB, percent of a core.
PEER_IDLE_MB, PEER_FULL_MB, PEER_CPU, PEER_POD_MB = 686, 1110, 5.3, 8.5


def memory(pid):
    """KiB: resident, proportional (shared pages divided among their users), anonymous."""
    sizes = {}
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                sizes[words[0].rstrip(":")] = int(words[1])
    return sizes["Rss"], sizes["Pss"], sizes["Anonymous"]


def cpu_seconds(pid):
    """({thread: seconds} by schedstat, exact, of threads that live; seconds by stat, in ticks, of all that ever lived)"""
    threads = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                threads[thread] = int(file.read().split()[0]) / 1e9
        except OSError:
            continue
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return threads, (int(words[11]) + int(words[12])) / TICK


def supervisors_of(pods):
    """The processes `swiftlet-pod UID` of these pods."""
    wanted, found = {p["metadata"]["uid"].encode() for p in pods}, []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as comm, open(f"/proc/{pid}/cmdline", "rb") as line:
                if comm.read().strip() == "swiftlet-pod" and wanted & set(line.read().split(b"\0")):
                    found.append(int(pid))
        except OSError:
            continue
    return found


def idle_cpu(pids, seconds):
    """Percent of one core over the time by each counter: schedstat forgets threads that ended meanwhile, ticks are coarse."""
    before = {p: cpu_seconds(p) for p in pids}
    begin = time.monotonic()
    time.sleep(seconds)
    after, passed = {p: cpu_seconds(p) for p in pids}, time.monotonic() - begin
    exact = sum(t - before[p][0].get(n, 0) for p in pids for n, t in after[p][0].items())
    ticks = sum(after[p][1] - before[p][1] for p in pids)
    return 100 * exact / passed, 100 * ticks / passed


def run(options):
    seconds = options.seconds
    with BenchNode() as bench:
        agent = bench.node.process.pid
        time.sleep(3)  # what the start has begun ends
        rows = []

        def measure(label, supervisors):
            exact, ticks = idle_cpu([agent, *supervisors], seconds)
            rss, pss, anonymous = memory(agent)
            pods = [memory(p) for p in supervisors]
            rows.append((label, rss, pss, anonymous, len(os.listdir(f"/proc/{agent}/task")), [sum(v) for v in zip(*pods)], exact, ticks))

        measure("idle", [])
        cluster = Cluster(bench.node.kubeconfig)
        client, watch = Client(cluster), PodWatch(cluster, "default", pod_latency.RUN)
        for number in range(PODS):
            client.call("POST", pod_latency.PODS, pod_latency.body(f"idle-{number}"))
        for number in range(PODS):
            watch.wait(f"idle-{number}", "ready", timeout=120)
        time.sleep(3)
        watch.close()
        supervisors = supervisors_of(watch.pods.values())
        if len(supervisors) != PODS:
            print(f"{len(supervisors)} supervisors were found for {PODS} pods: their figures are of those", flush=True)
        measure(f"{PODS} idle pods", supervisors)
        bench.node.out("delete", "pods", "--all", "--now", timeout=60)
        time.sleep(2)
        measure(f"after {PODS} were deleted", [])
    table = Table(f"Memory of the all-in-one (MB) and CPU over {seconds} s (percent of a core)", "", "RSS", "PSS", "anonymous", "threads",
                  "supervisors' PSS", "CPU", "by ticks")
    for label, rss, pss, anonymous, threads, pods, exact, ticks in rows:
        table.row(label, f"{rss / 1024:.1f}", f"{pss / 1024:.1f}", f"{anonymous / 1024:.1f}", threads,
                  f"{pods[1] / 1024:.1f}" if pods else "", f"{exact:.2f}", f"{ticks:.2f}")
    table.print()
    idle, full = rows[0], rows[1]
    whole = full[2] + (full[5][1] if full[5] else 0)
    each = (whole - idle[2]) / PODS / 1024
    count = max(1, len(supervisors))
    table = Table("What the goals say", "", "ours", "Kubernetes", "theirs/ours", "goal")
    table.row("PSS idle, MB", f"{idle[2] / 1024:.1f}", PEER_IDLE_MB, ratio(PEER_IDLE_MB, idle[2] / 1024), goal(idle[2] / 1024, 60, "MB"))
    busy = max(idle[6], idle[7])
    table.row("CPU idle, % of a core", f"{busy:.2f}", PEER_CPU, ratio(PEER_CPU, busy), goal(busy, 0.3, "%"))
    table.row("each further idle pod, MB", f"{each:.2f}", PEER_POD_MB, ratio(PEER_POD_MB, each), goal(each, 1, "MB"))
    if full[5]:
        table.row("  of it the supervisor: PSS, anonymous, KiB", f"{full[5][1] / count:.0f}, {full[5][2] / count:.0f}")
    table.row(f"PSS with {PODS} pods, MB", f"{whole / 1024:.1f}", PEER_FULL_MB, ratio(PEER_FULL_MB, whole / 1024))
    table.print()
