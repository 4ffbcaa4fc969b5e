"""What the API machinery does around objects, with the real kubectl: usage, dependents, evictions, fairness."""
import json
from harness import *


def deployment(name, replicas=2):
    template = pod(name)
    return dict(apiVersion="apps/v1", kind="Deployment", metadata=dict(name=name), spec=dict(
        replicas=replicas, selector=dict(matchLabels=dict(app=name)),
        template=dict(metadata=dict(labels=dict(app=name)), spec=template["spec"])))


def names(node, kind, selector):
    return node.out("get", kind, "-l", selector, "-o", "name").split()


@test
def usage_of_nodes_and_pods(node):
    node.apply(pod("busy", ["sh", "-c", "x=$(head -c 8000000 /dev/zero | tr '\\0' x); while :; do :; done"]))
    node.ready("busy")
    code, out, err = node.kubectl("top", "nodes", check=False)
    expect(code == 0 and "e2e" in out and "CPU(cores)" in out, f"kubectl top nodes: {out}{err}")
    # The first reading may have been taken before the loop was warm.
    def millicores():
        lines = [line.split() for line in node.out("top", "pods", "--no-headers").splitlines()]
        return next((int(l[1].removesuffix("m")) for l in lines if l[0] == "busy"), 0)
    eventually("the loop uses a good part of a processor", lambda: millicores() >= 200, 40, every=2)
    memory = next(l.split()[2] for l in node.out("top", "pods", "--no-headers").splitlines() if l.startswith("busy"))
    expect(memory.endswith("Mi") and 4 <= int(memory[:-2]) <= 200, f"memory of busy: {memory}")
    line = next(l.split() for l in node.out("top", "pods", "--containers", "--no-headers").splitlines() if l.startswith("busy"))
    expect(line[1] == "c" and line[2].endswith("m"), f"{line}")
    metrics = json.loads(node.out("get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/busy"))
    expect(metrics["containers"][0]["usage"]["cpu"].endswith("n") and metrics["window"].endswith("s"), f"{metrics}")
    code, _, err = node.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes/nowhere", check=False)
    expect(code != 0 and "NotFound" in err or "not found" in err, err)
    node.out("delete", "pod", "busy", "--now")


@test
def deletions_of_owners(node):
    for policy in ("foreground", "background", "orphan"):
        name = f"owner-{policy}"
        node.apply(deployment(name))
        node.out("rollout", "status", f"deployment/{name}", "--timeout=60s")
        node.out("delete", "deployment", name, f"--cascade={policy}", "--timeout=60s")
        if policy == "foreground":
            # What it waited for is gone.
            expect(not names(node, "replicasets", f"app={name}"), "a ReplicaSet outlived a foreground deletion")
        elif policy == "background":
            eventually("its pods go", lambda: not names(node, "pods,replicasets", f"app={name}"), 60)
        else:
            sets = node.json("get", "replicasets", "-l", f"app={name}")["items"]
            expect(len(sets) == 1 and not sets[0]["metadata"].get("ownerReferences"), f"the orphan: {sets}")
            expect(len(names(node, "pods", f"app={name}")) == 2, "the orphan's pods went")
            node.out("delete", "replicaset", sets[0]["metadata"]["name"], "--timeout=60s")
        eventually("nothing is left", lambda: not names(node, "pods,replicasets", f"app={name}"), 60)


@test
def what_is_written_back_changes_nothing(node):
    """A typed Go client reads protobuf and writes the same bytes; they may not be a change, whoever made the object."""
    kind = "application/vnd.kubernetes.protobuf"
    node.apply(deployment("echoed"))
    node.out("rollout", "status", "deployment/echoed", "--timeout=60s")
    first = names(node, "pods", "app=echoed")[0].removeprefix("pod/")
    for path in ("/apis/apps/v1/namespaces/default/deployments/echoed", f"/api/v1/namespaces/default/pods/{first}"):
        def settles():
            # A controller may have written in between.
            was = node.call("GET", path, accept=kind)
            try:
                return (was, node.call("PUT", path, was, content_type=kind, accept=kind))
            except Failed as error:
                expect(": 409 " in str(error), error)
        was, now = eventually("an update", settles)
        expect(was == now, f"{path} changed by its own bytes")
    expect(len(names(node, "replicasets", "app=echoed")) == 1, "another ReplicaSet")
    node.out("delete", "deployment", "echoed", "--timeout=60s")


@test
def evictions_keep_the_budget(node):
    node.apply(deployment("guarded"))
    node.apply(dict(apiVersion="policy/v1", kind="PodDisruptionBudget", metadata=dict(name="guard"),
                    spec=dict(minAvailable=2, selector=dict(matchLabels=dict(app="guarded")))))
    node.out("rollout", "status", "deployment/guarded", "--timeout=60s")
    eventually("the budget is counted", lambda: node.json("get", "pdb", "guard")["status"].get("currentHealthy") == 2, 20)
    try:
        code, out, err = node.kubectl("drain", "e2e", "--pod-selector=app=guarded", "--timeout=7s", check=False)
        expect(code != 0 and "Cannot evict pod as it would violate the pod's disruption budget" in out + err, f"{out}{err}")
        expect(len(names(node, "pods", "app=guarded")) == 2, "a guarded pod went")
        node.out("patch", "pdb", "guard", "--type=merge", "-p", '{"spec":{"minAvailable":0}}')
        node.out("drain", "e2e", "--pod-selector=app=guarded", "--timeout=60s")
    finally:
        node.out("uncordon", "e2e")
    node.out("rollout", "status", "deployment/guarded", "--timeout=60s")
    node.out("delete", "deployment/guarded", "pdb/guard", "--timeout=60s")


@test
def flow_control_objects(node):
    eventually("13 schemas", lambda: len(node.json("get", "flowschemas")["items"]) == 13, 10)
    expect(len(node.json("get", "prioritylevelconfigurations")["items"]) == 8, "not all priority levels")
    out = node.out("get", "flowschemas")
    expect("MATCHINGPRECEDENCE" in out and "catch-all" in out and "True" not in out, out)


@test
def claims_in_use_are_kept(node):
    node.apply(dict(apiVersion="v1", kind="PersistentVolumeClaim", metadata=dict(name="kept"), spec=dict(
        accessModes=["ReadWriteOnce"], storageClassName="none", resources=dict(requests=dict(storage="1Mi")))))
    expect(node.json("get", "pvc", "kept")["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"], "no protection")
    node.apply(pod("user", volumes=[dict(name="v", persistentVolumeClaim=dict(claimName="kept"))]))
    node.out("delete", "pvc", "kept", "--wait=false")
    time.sleep(1)
    expect(node.json("get", "pvc", "kept")["metadata"].get("deletionTimestamp"), "a claim in use went")
    node.out("delete", "pod", "user", "--now")
    eventually("the claim goes with its user", lambda: node.kubectl("get", "pvc", "kept", check=False)[0] != 0, 20)
