"""A Deployment of 1,000 replicas on ten nodes whose kubelets are played: a real `swiftlet server`, its scheduler and its controllers.

The played kubelets share one process with the clock: they watch pods over HTTPS, say at once that a pod runs and is Ready, and delete what
is to end. Their time is in the figures. Availability is what the watch told: pods that are Ready and not being deleted.
"""
import http.client, json, os, queue, shutil, socket, subprocess, threading, time
from kubeapi import APIError, Client, Cluster
from node_memory import cpu_seconds, idle_cpu
from table import BIN, Skipped, Table, goal, harness

NODES, REPLICAS, WORKERS = 10, 1_000, 3
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
IDLE_SECONDS = 10


class BenchServer:
    """`swiftlet server` in a folder of its own, for the time of a `with`."""

    def __enter__(self):
        if not os.access(f"{BIN}/swiftlet", os.X_OK):
            raise Skipped(f"no {BIN}/swiftlet: build it (make build), or say where it is with SWIFTLET_BIN")
        self.node = node = harness.Node(index=8)
        with open(node.log, "a") as log:
            node.process = subprocess.Popen(
                [f"{BIN}/swiftlet", "server", *node.options()[:4], "--listen", f"127.0.0.1:{node.port}", "--advertise-address", "127.0.0.1",
                 "--kubeconfig", node.kubeconfig], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            harness.eventually("the server is ready", lambda: os.path.exists(node.kubeconfig) and node.kubectl("get", "--raw", "/readyz", check=False)[0] == 0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.node.stop()
        shutil.rmtree(self.node.dir, ignore_errors=True)


class PlayedKubelets:
    def __init__(self, cluster):
        self.cluster, self.work, self.stopped = cluster, queue.SimpleQueue(), False
        self.lock, self.pods, self.error = threading.Condition(), {}, None
        client = Client(cluster)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.names = [f"played-{i}" for i in range(NODES)]
        for name in self.names:
            conditions = [dict(type="Ready", status="True", reason="KubeletReady", message="", lastHeartbeatTime=now, lastTransitionTime=now)]
            amounts = dict(cpu="64", memory="256Gi", pods="250", **{"ephemeral-storage": "1Ti"})
            client.call("POST", "/api/v1/nodes", dict(
                metadata=dict(name=name, labels={"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}),
                status=dict(capacity=amounts, allocatable=amounts, conditions=conditions)))
        self.renew(client)
        version = json.loads(client.call("GET", "/api/v1/pods"))["metadata"]["resourceVersion"]
        self.watch = cluster.connect(timeout=600)
        self.watch.request("GET", f"/api/v1/pods?watch=true&resourceVersion={version}", headers={"Accept": "application/json"})
        self.answer = self.watch.getresponse()
        for target in [self.follow] + [self.act] * WORKERS:
            threading.Thread(target=target, daemon=True).start()

    def renew(self, client):
        for name in self.names:
            body = dict(metadata=dict(name=name), spec=dict(holderIdentity=name, leaseDurationSeconds=40, renewTime=time.strftime(
                "%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())))
            try:
                client.call("PUT", f"{LEASES}/{name}", body)
            except APIError:
                client.call("POST", LEASES, body)

    def follow(self):
        """One line, one event: what is to be done goes to the workers, and each pod's state is counted."""
        try:
            while line := self.answer.readline():
                event = json.loads(line)
                pod = event["object"]
                name, meta, status = pod["metadata"]["name"], pod["metadata"], pod.get("status", {})
                leaving = "deletionTimestamp" in meta
                ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
                with self.lock:
                    if event["type"] == "DELETED":
                        self.pods.pop(name, None)
                    else:
                        self.pods[name] = (ready and not leaving, pod["spec"]["containers"][0]["image"])
                    self.lock.notify_all()
                if event["type"] != "DELETED" and (leaving or (pod["spec"].get("nodeName") and status.get("phase") == "Pending")):
                    self.work.put((name, leaving))
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            self.error = None if self.stopped else f"the watch broke: {error}"

    def act(self):
        client, number = Client(self.cluster), 0
        while job := self.work.get():
            name, leaving = job
            path = f"/api/v1/namespaces/default/pods/{name}"
            try:
                if leaving:
                    client.call("DELETE", f"{path}?gracePeriodSeconds=0")
                    continue
                number += 1
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                conditions = [dict(type=t, status="True", lastTransitionTime=now) for t in ("PodScheduled", "Initialized", "ContainersReady", "Ready")]
                address = f"10.{threading.get_ident() % 200}.{number // 250}.{number % 250 + 1}"
                client.call("PATCH", f"{path}/status", content_type=MERGE, body=dict(status=dict(
                    phase="Running", startTime=now, podIP=address, podIPs=[dict(ip=address)], conditions=conditions, containerStatuses=[dict(
                        name="c", ready=True, started=True, restartCount=0, image="x", imageID="x", state=dict(running=dict(startedAt=now)))])))
            except APIError as error:
                if " 404 " not in str(error) and " 409 " not in str(error):
                    self.error = str(error)

    def until(self, condition, seconds):
        """Waits for a condition of (available, images of all pods); returns the fewest that were available meanwhile."""
        end, fewest = time.monotonic() + seconds, REPLICAS
        with self.lock:
            while True:
                available = sum(1 for ready, _ in self.pods.values() if ready)
                fewest = min(fewest, available)
                if condition(available, [image for _, image in self.pods.values()]):
                    return fewest
                if self.error or time.monotonic() > end:
                    raise APIError(f"not within {seconds} s: {available} of {len(self.pods)} pods are available ({self.error})")
                self.lock.wait(1)

    def stop(self):
        self.stopped = True
        for _ in range(WORKERS):
            self.work.put(None)
        self.watch.sock.shutdown(socket.SHUT_RDWR)


MERGE = "application/merge-patch+json"


def deployment(image):
    return dict(metadata=dict(name="big"), spec=dict(replicas=REPLICAS, selector=dict(matchLabels=dict(app="big")), template=dict(
        metadata=dict(labels=dict(app="big")), spec=dict(containers=[dict(name="c", image=image, resources=dict(requests=dict(cpu="10m")))]))))


def told(client):
    return json.loads(client.call("GET", f"{DEPLOYMENTS}/big"))["status"]


def settled(client, seconds=20):
    """The Deployment's own word that all is as it should be."""
    end = time.monotonic() + seconds
    while True:
        status = told(client)
        if status.get("availableReplicas") == REPLICAS == status.get("updatedReplicas") == status.get("replicas"):
            return
        if time.monotonic() > end:
            raise APIError(f"the Deployment does not settle: {status}")
        time.sleep(0.02)


def run(options):
    with BenchServer() as server:
        cluster = Cluster(server.node.kubeconfig)
        client, kubelets = Client(cluster), PlayedKubelets(cluster)
        try:
            time.sleep(1)
            spent = [cpu_seconds(server.node.process.pid)[1]]
            begin = time.perf_counter()
            client.call("POST", DEPLOYMENTS, deployment("old"))
            kubelets.until(lambda available, _: available == REPLICAS, 120)
            settled(client)
            made = time.perf_counter() - begin
            spent.append(cpu_seconds(server.node.process.pid)[1])
            kubelets.renew(client)
            time.sleep(1)
            begin = time.perf_counter()
            client.call("PATCH", f"{DEPLOYMENTS}/big", dict(spec=dict(template=dict(spec=deployment("new")["spec"]["template"]["spec"]))), MERGE)
            fewest = kubelets.until(lambda available, images: available == REPLICAS and set(images) == {"new"}, 240)
            settled(client)
            rolled = time.perf_counter() - begin
            spent.append(cpu_seconds(server.node.process.pid)[1])
            kubelets.renew(client)
            time.sleep(3)
            exact, _ = idle_cpu([server.node.process.pid], IDLE_SECONDS)
            begin = time.perf_counter()
            client.call("DELETE", f"{DEPLOYMENTS}/big")
            kubelets.until(lambda available, images: not images, 120)
            gone = time.perf_counter() - begin
        finally:
            kubelets.stop()
    table = Table(f"a Deployment of {REPLICAS:,} on {NODES} played nodes", "", "measured", "goal")
    table.row("all available", f"{made:.1f} s", goal(made, 5, "s"))
    table.row("rolling update", f"{rolled:.1f} s", goal(rolled, 20, "s"))
    least = REPLICAS * 3 // 4
    table.row("the server's CPU for it", f"{spent[1] - spent[0]:.1f} s, {spent[2] - spent[1]:.1f} s", "")
    table.row("fewest available meanwhile", fewest, f"at least {least}: " + ("met" if fewest >= least else "missed"))
    table.row("the server's CPU afterwards", f"{exact:.2f} % of a core", goal(exact, 1, "%"))
    table.row("deleted to the last pod", f"{gone:.1f} s", "")
    table.print()
