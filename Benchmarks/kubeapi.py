"""A small client of the API server: one kept connection for calls, one for a watch, client certificate from a kubeconfig."""
import base64, http.client, json, socket, ssl, subprocess, tempfile, threading, time, urllib.parse


class APIError(Exception):
    pass


class Cluster:
    def __init__(self, kubeconfig):
        view = subprocess.run(["kubectl", "config", "view", "--raw", "-o", "json", "--kubeconfig", kubeconfig],
                              capture_output=True, text=True, check=True).stdout
        config = json.loads(view)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        server = urllib.parse.urlsplit(cluster["server"])
        self.host, self.port = server.hostname, server.port or 443
        self.tls = ssl.create_default_context(cadata=self.material(cluster, "certificate-authority").decode())
        with tempfile.NamedTemporaryFile(prefix="swiftlet-bench-", mode="wb") as pair:
            pair.write(self.material(user, "client-certificate") + b"\n" + self.material(user, "client-key"))
            pair.flush()
            self.tls.load_cert_chain(pair.name)

    @staticmethod
    def material(section, name):
        if name + "-data" in section:
            return base64.b64decode(section[name + "-data"])
        with open(section[name], "rb") as file:
            return file.read()

    def connect(self, timeout=60):
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=timeout)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class Client:
    """Calls on one connection, one after the other."""

    def __init__(self, cluster):
        self.connection = cluster.connect()

    def call(self, method, path, body=None, content_type="application/json"):
        """Returns the answer's bytes, unparsed, so that a caller's clock is read before any decoding."""
        content = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, body=content, headers={"Content-Type": content_type, "Accept": "application/json"})
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise APIError(f"{method} {path}: {answer.status} {content[:300].decode(errors='replace')}")
        return content


class PodWatch:
    """Follows the pods of a label in a thread; notes when it first saw each milestone of each pod, in ns of perf_counter.

    An event's time is taken when its line has been read from the socket, before its JSON is decoded."""

    def __init__(self, cluster, namespace, label):
        self.seen, self.pods, self.error = {}, {}, None
        self.changed = threading.Condition()
        path = f"/api/v1/namespaces/{namespace}/pods?labelSelector={urllib.parse.quote(label)}"
        version = json.loads(Client(cluster).call("GET", path))["metadata"]["resourceVersion"]
        self.connection = cluster.connect(timeout=600)
        self.connection.request("GET", f"{path}&watch=true&resourceVersion={version}", headers={"Accept": "application/json"})
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            raise APIError(f"watch: {self.answer.status} {self.answer.read(300)}")
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        try:
            while line := self.answer.readline():
                self.note(time.perf_counter_ns(), json.loads(line))
            self.error = "the server ended the watch"
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            self.error = f"the watch broke: {error}"
        with self.changed:
            self.changed.notify_all()

    def note(self, at, event):
        pod = event["object"]
        if pod.get("kind") != "Pod":
            return
        status = pod.get("status", {})
        statuses = status.get("containerStatuses") or [{}]
        running = "running" in statuses[0].get("state", {})
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
        restarts = statuses[0].get("restartCount", 0)
        reached = {"bound": bool(pod["spec"].get("nodeName")), "running": running, "ready": ready,
                   f"restarted-{restarts}": restarts > 0 and running, f"ready-{restarts}": restarts > 0 and ready and running,
                   "terminating": bool(pod["metadata"].get("deletionTimestamp")), "gone": event["type"] == "DELETED"}
        with self.changed:
            milestones = self.seen.setdefault(pod["metadata"]["name"], {})
            self.pods[pod["metadata"]["name"]] = pod
            for name, there in reached.items():
                if there:
                    milestones.setdefault(name, at)
            self.changed.notify_all()

    def wait(self, name, milestone, timeout=60):
        end = time.monotonic() + timeout
        with self.changed:
            while milestone not in self.seen.get(name, {}):
                rest = end - time.monotonic()
                if self.error or rest <= 0:
                    state = self.pods.get(name, {}).get("status")
                    raise APIError(f"pod {name} was not {milestone} within {timeout} s ({self.error or 'no event'}): {json.dumps(state)[:400]}")
                self.changed.wait(rest)
            return self.seen[name][milestone]

    def close(self):
        # Closing alone would wait for the thread that reads.
        self.connection.sock.shutdown(socket.SHUT_RDWR)
