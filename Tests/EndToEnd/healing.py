"""The cluster helps itself, with a real kubelet under it: load brings more pods, and a pod that its node refuses comes again."""
import json, subprocess, time
from harness import *
from hooks import NAMESPACE, serving
from machines import members


# Takes so many hundredths of a core, by its own account of its CPU time, and sleeps for the rest.
BURN = """
while [ ! -e /tmp/stop ]; do
  read -r up rest < /proc/uptime; up=${up%.*}${up#*.}
  read -r line < /proc/self/stat; set -- $line; shift 13; cpu=$(($1 + $2 + $3 + $4))
  base=${base:-$up} spent=${spent:-$cpu}
  if [ $(((cpu - spent) * 100)) -gt $(((up - base) * HUNDREDTHS)) ]; then sleep 0.1; else i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done; fi
done
"""


@test
def an_autoscaler_follows_the_load(node):
    """The example that this project began with: 70 % wanted and 220 % measured gives three more pods; and back when the load ends."""
    template = pod("busy", container=dict(resources=dict(requests=dict(cpu="100m"))))
    node.apply(dict(apiVersion="apps/v1", kind="Deployment", metadata=dict(name="busy"), spec=dict(
        replicas=1, selector=dict(matchLabels=dict(app="busy")), template=dict(metadata=dict(labels=dict(app="busy")), spec=template["spec"]))))
    node.out("rollout", "status", "deployment/busy", "--timeout=60s")
    first = node.json("get", "pods", "-l", "app=busy")["items"][0]["metadata"]["name"]
    load = subprocess.Popen(["kubectl", "exec", first, "--", "sh", "-c", BURN.replace("HUNDREDTHS", "22")], env=node.env, stdin=subprocess.DEVNULL)
    try:
        # Only what a whole window has seen is a measure of the load.
        eventually("the load is measured", lambda: 200 <= milli(node, first) <= 235, 90, every=1)
        node.out("autoscale", "deployment", "busy", "--cpu-percent=70", "--min=1", "--max=10")
        seen = lambda: node.json("get", "hpa", "busy")["status"]
        eventually("three more pods", lambda: node.json("get", "deployment", "busy")["spec"]["replicas"] == 4, 60, every=0.5)
        node.out("rollout", "status", "deployment/busy", "--timeout=60s")
        said = node.out("describe", "hpa", "busy")
        expect("SuccessfulRescale" in said and "New size: 4" in said, said)
        eventually("the load is spread over four", lambda: 40 <= used(seen()) <= 65, 120, every=1)
        expect(node.json("get", "deployment", "busy")["spec"]["replicas"] == 4, f"55 % of four is no reason to go anywhere: {seen()}")
        expect("%/70%" in node.out("get", "hpa", "busy"), node.out("get", "hpa", "busy"))
        node.out("patch", "hpa", "busy", "--type=merge", "-p", json.dumps(dict(spec=dict(behavior=dict(scaleDown=dict(
            stabilizationWindowSeconds=0, policies=[dict(type="Percent", value=100, periodSeconds=15)]))))))
        node.out("exec", first, "--", "touch", "/tmp/stop")
        eventually("one pod is left", lambda: node.json("get", "deployment", "busy")["spec"]["replicas"] == 1, 120, every=1)
    finally:
        load.terminate()
        load.wait()
        node.out("delete", "hpa,deployment", "busy", "--ignore-not-found", "--timeout=60s")


def milli(node, name):
    words = node.kubectl("top", "pod", name, "--no-headers", check=False)[1].split()
    return int(words[1].removesuffix("m")) if len(words) > 1 else 0


def used(status):
    return status["currentMetrics"][0]["resource"]["current"].get("averageUtilization", 0)


@test
def an_autoscaler_follows_an_adapter(node):
    """Metrics of pods and from outside, by an adapter behind the aggregation layer as people run one: the larger wish counts."""
    each, queue, asked = 90, 20, set()

    def answer(method, path, headers, body):
        path, _, query = path.partition("?")
        asked.add(path)
        group = path.split("/")[2]
        if path.count("/") == 3:
            return 200, dict(kind="APIResourceList", apiVersion="v1", groupVersion=path.removeprefix("/apis/"), resources=[])
        if group == "external.metrics.k8s.io":
            return 200, dict(kind="ExternalMetricValueList", apiVersion="external.metrics.k8s.io/v1beta1", metadata={}, items=[
                dict(metricName="queue", metricLabels={}, timestamp=now(), value=str(queue))])
        names = [item["metadata"]["name"] for item in node.json("get", "pods", "-n", NAMESPACE, "-l", "app=asked")["items"]]
        return 200, dict(kind="MetricValueList", apiVersion="custom.metrics.k8s.io/v1beta2", metadata={}, items=[
            dict(describedObject=dict(kind="Pod", namespace=NAMESPACE, name=name, apiVersion="/v1"), metric=dict(name="requests"), timestamp=now(), value=f"{each}") for name in names])

    now = lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    versions = ("v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io")
    trusted = node.json("get", "configmap", "extension-apiserver-authentication", "-n", "kube-system")["data"]
    with serving(node, answer, client_authority=trusted["requestheader-client-ca-file"]) as server:
        try:
            server.service()
            for name in versions:
                version, _, group = name.partition(".")
                node.apply(dict(apiVersion="apiregistration.k8s.io/v1", kind="APIService", metadata=dict(name=name), spec=dict(
                    group=group, version=version, groupPriorityMinimum=100, versionPriority=100, caBundle=server.bundle,
                    service=dict(name="hooks", namespace=NAMESPACE, port=443))))
            for name in versions:
                node.out("wait", "apiservice", name, "--for=condition=Available", "--timeout=60s")
            template = pod("asked")
            node.apply(dict(apiVersion="apps/v1", kind="Deployment", metadata=dict(name="asked", namespace=NAMESPACE), spec=dict(
                replicas=1, selector=dict(matchLabels=dict(app="asked")), template=dict(metadata=dict(labels=dict(app="asked")), spec=template["spec"]))))
            node.out("-n", NAMESPACE, "rollout", "status", "deployment/asked", "--timeout=60s")
            node.apply(dict(apiVersion="autoscaling/v2", kind="HorizontalPodAutoscaler", metadata=dict(name="asked", namespace=NAMESPACE), spec=dict(
                minReplicas=1, maxReplicas=6, scaleTargetRef=dict(apiVersion="apps/v1", kind="Deployment", name="asked"),
                behavior=dict(scaleDown=dict(stabilizationWindowSeconds=0, policies=[dict(type="Percent", value=100, periodSeconds=5)])),
                metrics=[dict(type="Pods", pods=dict(metric=dict(name="requests"), target=dict(type="AverageValue", averageValue="100"))),
                         dict(type="External", external=dict(metric=dict(name="queue"), target=dict(type="AverageValue", averageValue="30")))])))
            replicas = lambda: node.json("-n", NAMESPACE, "get", "deployment", "asked")["spec"]["replicas"]
            shown = lambda: node.json("-n", NAMESPACE, "get", "hpa", "asked")["status"]
            eventually("both metrics are read", lambda: len(shown().get("currentMetrics") or []) == 2, 60, every=0.5)
            expect(replicas() == 1, "nothing asks for more")
            each = 250
            eventually("three pods for their requests", lambda: replicas() >= 3, 60, every=0.5)
            each, queue = 60, 120
            eventually("four for the queue, not fewer for the requests", lambda: replicas() == 4, 60, every=0.5)
            expect(any("/pods/%2A/requests" in path for path in asked) and any(path.endswith("/queue") for path in asked), f"{asked}")
        finally:
            for name in versions:
                node.kubectl("delete", "apiservice", name, "--ignore-not-found", check=False)


@test
def a_port_that_is_taken(node):
    """A set's pod that names its node goes past the scheduler. While another has its port the kubelet refuses it, and the set makes it anew."""
    port = 20000 + node.index
    ports = dict(ports=[dict(containerPort=80, hostPort=port)])
    node.apply(pod("first", container=ports))
    node.ready("first")
    template = pod("second", container=ports, nodeName="e2e")
    node.apply(dict(apiVersion="apps/v1", kind="StatefulSet", metadata=dict(name="second"), spec=dict(
        replicas=1, serviceName="second", selector=dict(matchLabels=dict(app="second")),
        template=dict(metadata=dict(labels=dict(app="second")), spec=template["spec"]))))
    reasons, uids = set(), set()

    def refused():
        for found in node.json("get", "pods", "-l", "app=second")["items"]:
            uids.add(found["metadata"]["uid"])
            if found.get("status", {}).get("phase") == "Failed":
                reasons.add(found["status"].get("reason"))
        return len(uids) > 1
    eventually("it was refused and made anew", refused, 60)
    said = node.out("get", "events", "--field-selector", "involvedObject.name=second-0,reason=NodePorts", "-o", "jsonpath={.items[*].message}")
    expect(reasons <= {"NodePorts"} and (reasons or said), f"reasons {reasons}, events {said!r}")
    node.out("delete", "pod", "first", "--timeout=60s")
    eventually("it runs", lambda: [m for m in members(node, "second") if not m[3]] and node.kubectl(
        "wait", "--for=condition=Ready", "pod/second-0", "--timeout=5s", check=False)[0] == 0, 90)
    node.out("delete", "statefulset", "second", "--timeout=60s")
    node.gone("second-0")
