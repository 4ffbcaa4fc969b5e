"""Rolling updates under load: requests through a service's address while a Deployment is replaced again and again."""
import os, subprocess, threading, time
from harness import *

ROUNDS = int(os.environ.get("SWIFTLET_E2E_ROLLOUTS", "20"))
# Ends at once when it is told to: no handler, no preStop hook, nothing that would forgive a connection that comes late.
PAGE = ["sh", "-c", "trap 'exit 0' TERM; mkdir /w; echo page > /w/index.html; httpd -f -p 8080 -h /w & wait"]


def deployment(name, replicas, generation, **spec):
    container = dict(name="c", image="localhost/busybox:e2e", imagePullPolicy="IfNotPresent", command=PAGE, env=[dict(name="GENERATION", value=str(generation))],
                     readinessProbe=dict(tcpSocket=dict(port=8080), periodSeconds=1))
    return dict(apiVersion="apps/v1", kind="Deployment", metadata=dict(name=name), spec=dict(
        replicas=replicas, selector=dict(matchLabels=dict(app=name)), strategy=dict(rollingUpdate=dict(maxSurge=1, maxUnavailable=1)),
        template=dict(metadata=dict(labels=dict(app=name)), spec=dict(terminationGracePeriodSeconds=10, containers=[container], **spec))))


def service(name, kind="ClusterIP"):
    return dict(apiVersion="v1", kind="Service", metadata=dict(name=name), spec=dict(type=kind, selector=dict(app=name), ports=[dict(port=80, targetPort=8080)]))


class Load:
    """One new connection after the other to a service: from here (to `entry`, as the node itself or from outside), and from a pod."""

    def __init__(self, node, address, name="load", entry=None):
        self.node, self.entry, self.name = node, entry or (address, 80), name
        self.asked = self.failed = 0
        self.errors, self.ends = [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        node.apply(pod(name, ["sh", "-c", f"while :; do timeout 5 wget -qO- http://{address}/ >/dev/null 2>&1 && echo ok || echo failed; done"]))
        node.ready(name)
        self.thread.start()

    def run(self):
        import http.client
        while not self.ends.is_set():
            self.asked += 1
            try:
                c = http.client.HTTPConnection(*self.entry, timeout=5)
                c.request("GET", "/")
                body = c.getresponse().read()
                if body != b"page\n":
                    raise OSError(f"half an answer: {body}")
                c.close()
            except (OSError, http.client.HTTPException) as error:
                self.failed += 1
                self.errors.append(f"{time.strftime('%H:%M:%S')} {type(error).__name__} {error}")
            time.sleep(0.002)

    def end(self):
        """(asked, failed) of the node's client and of the pod's."""
        self.ends.set()
        self.thread.join(10)
        told = self.node.out("logs", self.name)
        self.node.out("delete", "pod", self.name, "--now")
        return (self.asked, self.failed), (told.count("ok") + told.count("failed"), told.count("failed"))


def roll(node, name, rounds, replicas=3):
    for generation in range(1, rounds + 1):
        node.apply(deployment(name, replicas, generation))
        node.out("rollout", "status", f"deployment/{name}", "--timeout=60s")


@test
def rolling_updates_lose_no_request(node):
    node.apply(deployment("rolled", 3, 0))
    node.apply(service("rolled"))
    node.out("rollout", "status", "deployment/rolled", "--timeout=60s")
    address = node.json("get", "svc", "rolled")["spec"]["clusterIP"]
    load = Load(node, address)
    try:
        begun = time.monotonic()
        roll(node, "rolled", ROUNDS)
    finally:
        host, inside = load.end()
    print(f"      {ROUNDS} rolling updates of 3 pods in {time.monotonic() - begun:.0f} s; failed: {host[1]} of {host[0]} requests from the node, "
          f"{inside[1]} of {inside[0]} from a pod", flush=True)
    expect(host[1] == 0 and inside[1] == 0, f"requests failed: {host} {inside} {load.errors[:5]}")
    expect(host[0] > 20 * ROUNDS and inside[0] > 5 * ROUNDS, f"too little load: {host} {inside}")
    node.out("delete", "deployment/rolled", "service/rolled", "--timeout=60s")
    eventually("all pods go", lambda: not node.json("get", "pods", "-l", "app=rolled")["items"], 60)
