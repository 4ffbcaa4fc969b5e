"""A cluster of three nodes, each in a network namespace of its own: one dies with its pods, and comes back. And volumes of a node's disk."""
import contextlib, json, os, shutil, signal, subprocess, time
from harness import *

# Pods say that they tolerate a dead node for this long; by default it is five minutes.
TOLERATED = 5
SILENCE = 50


class Three(Lan):
    """A server and three agents on one segment."""

    def __init__(self, index):
        super().__init__("m", index, 3, 99)
        self.names = [f"n{i}" for i in range(3)]

    def start(self):
        self.wire()
        self.start_server()
        s = self.server
        for i in range(3):
            text = sh(f"{BIN}/swiftlet", "kubeconfig", "--data-dir", s.data, "--node", self.names[i], "--node-ip", self.addresses[i])[1]
            path = f"{self.agents[i].dir}/kubeconfig"
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
            self.start_agent(i)
        eventually("three nodes are Ready", lambda: s.out("get", "nodes", "--no-headers").count(" Ready ") == 3, timeout=60)
        for agent in self.agents:
            agent.image()

    def start_agent(self, i):
        self.launch(i, "--kubeconfig", f"{self.agents[i].dir}/kubeconfig")


def workload(kind, name, replicas):
    taints = ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
    tolerations = [dict(key=key, operator="Exists", effect="NoExecute", tolerationSeconds=TOLERATED) for key in taints]
    template = pod(name, tolerations=tolerations, terminationGracePeriodSeconds=1, topologySpreadConstraints=[dict(
        maxSkew=1, topologyKey="kubernetes.io/hostname", whenUnsatisfiable="ScheduleAnyway", labelSelector=dict(matchLabels=dict(app=name)))])
    spec = dict(replicas=replicas, selector=dict(matchLabels=dict(app=name)), template=dict(metadata=dict(labels=dict(app=name)), spec=template["spec"]))
    if kind == "StatefulSet":
        spec.update(serviceName=name, podManagementPolicy="Parallel")
    return dict(apiVersion="apps/v1", kind=kind, metadata=dict(name=name), spec=spec)


def members(server, name):
    return [(p["metadata"]["name"], p["metadata"]["uid"], p["spec"].get("nodeName"), bool(p["metadata"].get("deletionTimestamp")))
            for p in server.json("get", "pods", "-l", f"app={name}")["items"]]


def alive(three, name, without):
    """The pods of a workload that are bound and stay, on other nodes."""
    return [m for m in members(three.server, name) if m[2] and m[2] != three.names[without] and not m[3]]


def only_one_of_each(three, before, seconds):
    """Nobody knows whether a silent node's pods still run: those of a set must not be started a second time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = members(three.server, "db")
        for name, uid in before.items():
            there = [m for m in now if m[0] == name]
            expect(len(there) == 1 and there[0][1] == uid, f"{name} was replaced although its node is only silent: {there}")
        time.sleep(0.5)


def lost(three, victim, lose, check=lambda: None):
    """A node becomes silent: what a Deployment had on it comes back elsewhere after the tolerated time, what a set had there does not."""
    server, silent = three.server, three.names[victim]
    before = {name: uid for name, uid, node, _ in members(server, "db") if node == silent}
    expect(before, f"the set has no pod on {silent}: {members(server, 'db')}")
    lose()
    begun = time.monotonic()
    eventually("the deployment's pods are elsewhere", lambda: len(alive(three, "web", victim)) == 3, SILENCE + TOLERATED + 60, every=0.5)
    took = time.monotonic() - begun
    expect(took >= TOLERATED, f"the pods were given up after {took:.0f} s")
    server.out("rollout", "status", "deployment/web", "--timeout=60s")
    only_one_of_each(three, before, 5)
    check()
    return before


def returned(three, victim, before):
    """The node is back: it ends what the cluster has given up, and what remains are the pods that the cluster knows."""
    server = three.server
    eventually("the node is back", lambda: server.out("get", "nodes", "--no-headers").count(" Ready ") == 3, 90, every=0.5)
    eventually("the set's pod is another one", lambda: not set(before.values()) & {uid for _, uid, _, _ in members(server, "db")}, 60)
    server.out("rollout", "status", "statefulset/db", "--timeout=60s")
    eventually("no taint is left", lambda: not server.json("get", "node", three.names[victim])["spec"].get("taints"), 30)
    told = lambda: sorted(n for n, _, node, _ in members(server, "db") + members(server, "web") if node == three.names[victim])
    eventually("the node runs what the cluster says", lambda: ps(three.agents[victim]) == told(), 30)


@test
def a_node_dies_and_returns(_):
    three = Three(int(os.environ.get("SWIFTLET_E2E_INDEX", "1")) + 7)
    server = three.server
    try:
        three.start()
        server.apply(workload("Deployment", "web", 3))
        server.apply(workload("StatefulSet", "db", 3))
        for what in ("deployment/web", "statefulset/db"):
            server.out("rollout", "status", what, "--timeout=60s")
        homes = {node for _, _, node, _ in members(server, "db")}
        expect(len(homes) == 3, f"the pods are not spread: {members(server, 'db')}")

        dead = 2
        def die():
            three.agents[dead].kill()
            three.down(dead)
        before = lost(three, dead, die)
        three.start_agent(dead)
        returned(three, dead, before)

        # Cut off, its pods run on: the second one of the set would be the same twice.
        cut, link = 0, three.outer[0]
        before = lost(three, cut, lambda: sh("ip", "link", "set", link, "down"),
                      lambda: expect(set(of_the_set(server, three.names[cut])) <= set(ps(three.agents[cut])), f"it runs {ps(three.agents[cut])}"))
        sh("ip", "link", "set", link, "up")
        returned(three, cut, before)
        server.out("delete", "deployment/web", "statefulset/db", "--timeout=60s")
        eventually("all pods go", lambda: not server.json("get", "pods")["items"], timeout=60)
    finally:
        three.end()


def of_the_set(server, node):
    return [name for name, _, home, _ in members(server, "db") if home == node]


def ps(agent):
    """Names of the pods that a node itself says it runs."""
    return sorted({word.split("/")[-1] for line in agent.swiftlet("ps")[1].splitlines()[1:] for word in line.split()[:2] if word.startswith(("web-", "db-", "default/"))})


def a_set(name, replicas, size="1Mi"):
    made = workload("StatefulSet", name, replicas)
    made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [dict(name="data", mountPath="/data")]
    made["spec"]["volumeClaimTemplates"] = [dict(metadata=dict(name="data"), spec=dict(accessModes=["ReadWriteOnce"], resources=dict(requests=dict(storage=size))))]
    return made


@test
def claims_get_a_directory(node):
    """A StatefulSet with claims that name no class: each pod gets a directory of its node, keeps it, and it goes with the claim."""
    classes = node.json("get", "storageclass", "local-path")
    expect(classes["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true", classes)
    node.apply(a_set("keeper", 2))
    node.out("rollout", "status", "statefulset/keeper", "--timeout=90s")
    for i in range(2):
        node.out("exec", f"keeper-{i}", "--", "sh", "-c", f"echo {i} > /data/mine")
    volumes = {c["metadata"]["name"]: c["spec"]["volumeName"] for c in node.json("get", "pvc", "-l", "app=keeper")["items"]}
    expect(sorted(volumes) == ["data-keeper-0", "data-keeper-1"], volumes)
    path = lambda i: f"{node.data}/local-volumes/{volumes[f'data-keeper-{i}']}"
    expect([open(f"{path(i)}/mine").read() for i in range(2)] == ["0\n", "1\n"], "the files lie on the node")
    node.out("delete", "pod", "keeper-0", "--wait")
    node.ready("keeper-0", timeout=60)
    expect(node.out("exec", "keeper-0", "--", "cat", "/data/mine") == "0\n", "the new pod has not the old one's files")
    node.out("delete", "statefulset", "keeper", "--timeout=60s")
    expect(os.path.exists(path(0)), "the claim is still there, and its files must be")
    node.out("delete", "pvc", "data-keeper-0", "data-keeper-1", "--timeout=60s")
    eventually("the volumes go", lambda: not [v for v in node.json("get", "pv")["items"] if v["metadata"]["name"] in volumes.values()], timeout=40)
    expect(not os.path.exists(path(0)) and not os.path.exists(path(1)), "the directories outlive their volumes")


@test
def a_deleted_class_stays_away(node):
    node.out("delete", "storageclass", "local-path")
    node.stop()
    node.start()
    time.sleep(2)
    expect(node.kubectl("get", "storageclass", "local-path", check=False)[0] != 0, "the class that somebody deleted is back")
