"""NetworkPolicies as a table of truth: nine pods in three namespaces call each other over TCP and UDP, packets through the real kernel."""
import ctypes, itertools, os, select, socket, threading, time
from harness import *

SPACES, PODS, PORTS = ("np-x", "np-y", "np-z"), ("a", "b", "c"), (80, 81)
CLONE_NEWNET = 0x40000000


def inside(pid, work):
    """What `work` answers in the network namespace of a process; the sockets that it makes stay there."""
    answer = []

    def run():
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/proc/{pid}/ns/net") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise Failed(f"setns: {os.strerror(ctypes.get_errno())}")
        answer.append(work())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if not answer:
        raise Failed(f"nothing could be done in the network namespace of process {pid}")
    return answer[0]


class Reachability:
    """The pods, their servers, and calls between all of them at once."""

    def __init__(self, node):
        self.node, self.addresses, self.processes, self.servers, self.is_over = node, {}, {}, [], False
        self.numbers = itertools.count()
        for space in SPACES:
            node.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": {"ns": space}}})
            eventually("the service account", lambda: node.kubectl("-n", space, "get", "serviceaccount", "default", check=False)[0] == 0)
        marks = {}
        for number, (space, name) in enumerate(self.everybody()):
            marks[space, name] = str(80_000_000 + os.getpid() % 10_000 * 100 + number)
            manifest = pod(name, ["sleep", marks[space, name]])
            manifest["metadata"].update(namespace=space, labels={"pod": name})
            ports = [{"name": f"serve-{port}-{protocol.lower()}", "containerPort": port, "protocol": protocol} for port in PORTS for protocol in ("TCP", "UDP")]
            manifest["spec"]["containers"][0]["ports"] = ports
            node.apply(manifest)
        for space in SPACES:
            node.out("-n", space, "wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
            for item in node.json("-n", space, "get", "pods")["items"]:
                self.addresses[space, item["metadata"]["name"]] = item["status"]["podIP"]
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open(f"/proc/{process}/cmdline").read().split("\0")
            except OSError:
                continue
            for who, mark in marks.items():
                if words[:2] == ["sleep", mark]:
                    self.processes[who] = int(process)
        expect(len(self.processes) == 9, f"processes of the pods: {self.processes}")
        for who in self.everybody():
            self.servers += inside(self.processes[who], self.listeners)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    @staticmethod
    def everybody():
        return [(space, name) for space in SPACES for name in PODS]

    @staticmethod
    def listeners():
        made = []
        for port in PORTS:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                made.append(socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK))
                made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made[-1].bind(("0.0.0.0", port))
                if kind == socket.SOCK_STREAM:
                    made[-1].listen(256)
        return made

    def serve(self):
        poller, by_number = select.poll(), {server.fileno(): server for server in self.servers}
        for server in self.servers:
            poller.register(server, select.POLLIN)
        while not self.is_over:
            for number, _ in poller.poll(100):
                server = by_number[number]
                try:
                    if server.type & socket.SOCK_DGRAM:
                        server.sendto(*server.recvfrom(64))
                    else:
                        server.accept()[0].close()
                except OSError:
                    pass

    def close(self):
        self.is_over = True
        self.thread.join()
        for server in self.servers:
            server.close()

    def calls(self, source):
        made = []
        for target in self.everybody():
            for port in PORTS:
                for protocol, kind in (("TCP", socket.SOCK_STREAM), ("UDP", socket.SOCK_DGRAM)):
                    call = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
                    if protocol == "UDP":
                        # A port that an allowed datagram had a moment ago would belong to a flow that the kernel still lets pass.
                        call.bind(("0.0.0.0", 10_000 + next(self.numbers) % 50_000))
                    call.connect_ex((self.addresses[target], port))
                    try:
                        if protocol == "UDP":
                            call.send(b"?")
                    except OSError:
                        pass
                    made.append((call, (source, target, protocol, port)))
        return made

    def seen(self, patience=0.3):
        """Who reached whom: (source, target, protocol, port)."""
        calls = [call for source in self.everybody() for call in inside(self.processes[source], lambda: self.calls(source))]
        poller, waiting, reached = select.poll(), {}, set()
        for call, what in calls:
            poller.register(call, select.POLLIN if what[2] == "UDP" else select.POLLOUT)
            waiting[call.fileno()] = (call, what)
        deadline = time.monotonic() + patience
        while waiting and (left := deadline - time.monotonic()) > 0:
            for number, _ in poller.poll(left * 1000):
                call, what = waiting.pop(number)
                poller.unregister(call)
                if call.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    reached.add(what)
        for call, _ in calls:
            call.close()
        return reached

    def must_be(self, label, allows):
        """`allows(source, target, protocol, port)` is what may pass."""
        wanted = {(source, target, protocol, port) for source in self.everybody() for target in self.everybody()
                  for protocol in ("TCP", "UDP") for port in PORTS if source == target or allows(source, target, protocol, port)}
        difference = None

        def right():
            nonlocal difference
            difference = wanted ^ self.seen()
            return not difference

        try:
            eventually(label, right, timeout=6)
        except Failed:
            lines = [f"{'missing' if one in wanted else 'open'}: {one}" for one in sorted(difference)]
            raise Failed(f"{label}: {len(lines)} of 324 are wrong: " + "; ".join(lines[:6])) from None


def policy(name, space, selector=None, **spec):
    spec.setdefault("policyTypes", [kind.capitalize() for kind in ("ingress", "egress") if kind in spec])
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": space},
            "spec": {"podSelector": selector or {}, **spec}}


def pods_named(*names):
    return {"podSelector": {"matchExpressions": [{"key": "pod", "operator": "In", "values": list(names)}]}}


def spaces_named(*names):
    return {"namespaceSelector": {"matchExpressions": [{"key": "ns", "operator": "In", "values": list(names)}]}}


A, X, Y, Z = {"matchLabels": {"pod": "a"}}, "np-x", "np-y", "np-z"
XA = (X, "a")


def scenarios(addresses):
    """(what it shows, policies, what may pass)"""
    port = lambda number, protocol="TCP", **more: {"port": number, "protocol": protocol, **more}
    yield "no policy", [], lambda s, d, p, n: True
    yield "deny all ingress to a namespace", [policy("deny", X, ingress=[], policyTypes=["Ingress"])], lambda s, d, p, n: d[0] != X
    yield "deny all egress from a namespace", [policy("deny", X, egress=[], policyTypes=["Egress"])], lambda s, d, p, n: s[0] != X
    yield "deny both", [policy("deny", X, policyTypes=["Ingress", "Egress"])], lambda s, d, p, n: X not in (s[0], d[0])
    yield "allow all ingress", [policy("all", X, ingress=[{}])], lambda s, d, p, n: True
    yield "ingress from pods of the same namespace", [policy("p", X, ingress=[{"from": [{"podSelector": {}}]}])], \
        lambda s, d, p, n: d[0] != X or s[0] == X
    yield "ingress from pods by label", [policy("p", X, A, ingress=[{"from": [pods_named("b")]}])], lambda s, d, p, n: d != XA or s == (X, "b")
    yield "ingress from namespaces by expression", [policy("p", X, A, ingress=[{"from": [spaces_named(Y, Z)]}])], \
        lambda s, d, p, n: d != XA or s[0] in (Y, Z)
    yield "ingress from pods or namespaces", [policy("p", X, A, ingress=[{"from": [spaces_named(Y), pods_named("b")]}])], \
        lambda s, d, p, n: d != XA or s[0] == Y or s == (X, "b")
    yield "ingress from pods of namespaces", [policy("p", X, A, ingress=[{"from": [{**spaces_named(Y), **pods_named("b", "c")}]}])], \
        lambda s, d, p, n: d != XA or (s[0] == Y and s[1] in "bc")
    yield "ingress from pods that lack a label", \
        [policy("p", X, A, ingress=[{"from": [{"namespaceSelector": {"matchExpressions": [{"key": "ns", "operator": "NotIn", "values": [X]}]},
                                               "podSelector": {"matchExpressions": [{"key": "pod", "operator": "NotIn", "values": ["c"]}]}}]}])], \
        lambda s, d, p, n: d != XA or (s[0] != X and s[1] != "c")
    yield "one port of one protocol", [policy("p", X, A, ingress=[{"ports": [port(81)]}])], lambda s, d, p, n: d != XA or (p, n) == ("TCP", 81)
    yield "UDP alone", [policy("p", X, A, ingress=[{"ports": [{"protocol": "UDP"}]}])], lambda s, d, p, n: d != XA or p == "UDP"
    yield "a range of ports", [policy("p", X, A, ingress=[{"ports": [port(70, endPort=80)]}])], lambda s, d, p, n: d != XA or (p, n) == ("TCP", 80)
    yield "a named port", [policy("p", X, ingress=[{"ports": [port("serve-80-tcp")]}])], lambda s, d, p, n: d[0] != X or (p, n) == ("TCP", 80)
    yield "a named port of the other protocol", [policy("p", X, ingress=[{"ports": [port("serve-80-tcp", "UDP")]}])], lambda s, d, p, n: d[0] != X
    yield "policies add up", [policy("p80", X, A, ingress=[{"ports": [port(80)]}]), policy("p81", X, A, ingress=[{"from": [spaces_named(Y)], "ports": [port(81)]}])], \
        lambda s, d, p, n: d != XA or (p, n) == ("TCP", 80) or ((p, n) == ("TCP", 81) and s[0] == Y)
    yield "rules of one policy add up", \
        [policy("p", X, A, ingress=[{"from": [pods_named("b")]}, {"from": [spaces_named(Z)], "ports": [port(80, "UDP"), port(81)]}])], \
        lambda s, d, p, n: d != XA or s == (X, "b") or (s[0] == Z and (p, n) in (("UDP", 80), ("TCP", 81)))
    yield "egress by port name", [policy("p", X, A, egress=[{"ports": [port("serve-81-tcp")]}])], lambda s, d, p, n: s != XA or (p, n) == ("TCP", 81)
    yield "egress to pods of namespaces, a port", [policy("p", X, A, egress=[{"to": [{**spaces_named(Y), **pods_named("a")}], "ports": [port(80)]}])], \
        lambda s, d, p, n: s != XA or (d == (Y, "a") and (p, n) == ("TCP", 80))
    yield "egress by port name to a namespace", [policy("p", X, A, egress=[{"to": [spaces_named(Z)], "ports": [port("serve-80-udp", "UDP")]}])], \
        lambda s, d, p, n: s != XA or (d[0] == Z and (p, n) == ("UDP", 80))
    yield "egress of one side, ingress of the other", \
        [policy("out", X, egress=[{"to": [spaces_named(Y)]}]), policy("in", Y, A, ingress=[{"from": [{**spaces_named(X), **pods_named("c")}]}])], \
        lambda s, d, p, n: (s[0] != X or d[0] == Y) and (d != (Y, "a") or s == (X, "c"))
    yield "egress to one address", [policy("p", X, A, egress=[{"to": [{"ipBlock": {"cidr": addresses[Y, "b"] + "/32"}}]}])], lambda s, d, p, n: s != XA or d == (Y, "b")
    yield "egress to everything except one address", \
        [policy("p", X, A, egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [addresses[Y, "b"] + "/32"]}}]}])], lambda s, d, p, n: s != XA or d != (Y, "b")
    yield "an exception of one policy is allowed by another", \
        [policy("p", X, A, egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [addresses[Y, "b"] + "/32"]}}]}]),
         policy("q", X, A, egress=[{"to": [{"ipBlock": {"cidr": addresses[Y, "b"] + "/32"}}], "ports": [port(80)]}])], \
        lambda s, d, p, n: s != XA or d != (Y, "b") or (p, n) == ("TCP", 80)
    yield "ingress from an address", [policy("p", X, A, ingress=[{"from": [{"ipBlock": {"cidr": addresses[Z, "c"] + "/32"}}]}])], lambda s, d, p, n: d != XA or s == (Z, "c")
    yield "a policy of a label that nobody has", [policy("p", X, {"matchLabels": {"pod": "none"}}, policyTypes=["Ingress", "Egress"])], lambda s, d, p, n: True


@test
def network_policies_hold(node):
    table = Reachability(node)
    kubectl = lambda *words: node.out("-n", X, *words)
    try:
        for label, policies, allows in scenarios(table.addresses):
            for space in (X, Y):
                names = {one["metadata"]["name"] for one in policies if one["metadata"]["namespace"] == space}
                for old in node.json("-n", space, "get", "networkpolicies")["items"]:
                    if old["metadata"]["name"] not in names:
                        node.out("-n", space, "delete", "networkpolicy", old["metadata"]["name"])
            for one in policies:
                node.apply(one)
            table.must_be(label, allows)

        node.apply(policy("p", X, A, ingress=[{"from": [{**spaces_named(Y), **pods_named("b")}]}]))
        table.must_be("before labels change", lambda s, d, p, n: d != XA or s == (Y, "b"))
        node.out("-n", Y, "label", "pod", "c", "pod=b", "--overwrite")
        table.must_be("a pod gets the label", lambda s, d, p, n: d != XA or (s[0] == Y and s[1] in "bc"))
        node.out("label", "namespace", Y, "ns=other", "--overwrite")
        table.must_be("the namespace loses its label", lambda s, d, p, n: d != XA)
        node.out("label", "namespace", Y, "ns=" + Y, "--overwrite")
        node.out("-n", Y, "label", "pod", "c", "pod=c", "--overwrite")
        kubectl("label", "pod", "a", "pod=free", "--overwrite")
        table.must_be("the policy selects the pod no longer", lambda s, d, p, n: True)
        kubectl("label", "pod", "a", "pod=a", "--overwrite")
        table.must_be("and again", lambda s, d, p, n: d != XA or s == (Y, "b"))

        # The node itself reaches its pods, whatever policies say, or no probe would succeed.
        node.apply(policy("p", X, policyTypes=["Ingress", "Egress"]))
        table.must_be("nothing", lambda s, d, p, n: X not in (s[0], d[0]))
        with socket.create_connection((table.addresses[XA], 80), timeout=5):
            pass

        # Somebody flushes all rules: they are back by themselves. An agent that dies and returns leaves no gap.
        sh("nft", "delete", "table", "ip", policies_table(node))
        eventually("the rules are back", lambda: sh("nft", "list", "table", "ip", policies_table(node), check=False)[0] == 0, timeout=3)
        table.must_be("after a foreign flush", lambda s, d, p, n: X not in (s[0], d[0]))
        gaps, is_over = [], threading.Event()

        def watch():
            while not is_over.is_set():
                gaps.extend(one for one in table.seen(0.05) if X in (one[0][0], one[1][0]) and one[0] != one[1])

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            node.kill()
            time.sleep(0.3)
            node.start()
            time.sleep(1)
        finally:
            is_over.set()
            watcher.join()
        expect(not gaps, f"open while the agent was away or came back: {gaps[:5]}")
        table.must_be("after the agent's return", lambda s, d, p, n: X not in (s[0], d[0]))
        kubectl("delete", "networkpolicies", "--all")
        table.must_be("all policies are gone", lambda s, d, p, n: True)
        eventually("and so is the table", lambda: sh("nft", "list", "table", "ip", policies_table(node), check=False)[0] != 0, timeout=3)
    finally:
        table.close()
        for space in SPACES:
            node.kubectl("delete", "namespace", space, "--wait=false", check=False)
        for space in SPACES:
            eventually(f"namespace {space} is gone", lambda: node.kubectl("get", "namespace", space, check=False)[0] != 0, timeout=60)


def policies_table(node):
    return "swiftlet-policies-" + node.prefix


@test
def a_pod_is_never_without_its_policies(node):
    """The first thing that the pod does is call out; its policy was there before, so it never gets through."""
    space = "np-start"
    node.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
    eventually("the service account", lambda: node.kubectl("-n", space, "get", "serviceaccount", "default", check=False)[0] == 0)
    server = pod("server", ["sh", "-c", "while :; do echo hi | nc -l -p 80; done"])
    server["metadata"]["namespace"] = space
    node.apply(server)
    node.out("-n", space, "wait", "pod", "server", "--for=condition=Ready", "--timeout=30s")
    address = node.json("-n", space, "get", "pod", "server")["status"]["podIP"]
    node.apply(policy("closed", space, {"matchLabels": {"closed": "yes"}}, egress=[], policyTypes=["Egress"]))
    for number in range(5):
        for closed in ("yes", "no"):
            name = f"caller-{closed}-{number}"
            # An open caller tells that the server answers at all; it may meet the server between two calls of nc.
            tries = "for i in 1 2 3 4 5; do" if closed == "no" else "for i in 1; do"
            caller = pod(name, ["sh", "-c", f"{tries} nc -w 1 {address} 80 </dev/null && exit 0; done; exit 9"], restartPolicy="Never")
            caller["metadata"].update(namespace=space, labels={"closed": closed})
            node.apply(caller)
    for number in range(5):
        for closed, phase in (("yes", "Failed"), ("no", "Succeeded")):
            eventually(f"caller-{closed}-{number} {phase}", lambda: node.out("-n", space, "get", "pod", f"caller-{closed}-{number}", "-o", "jsonpath={.status.phase}") == phase, timeout=40)
    node.kubectl("delete", "namespace", space)
