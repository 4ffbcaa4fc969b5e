"""Pods of several machines: on one segment by gateway, on segments that a router joins by VXLAN. Addresses, services, names, restarts, ends."""
import contextlib, os, re, shutil, subprocess, time
from harness import *
import rollouts

WHO = ["sh", "-c", "mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo $(hostname) $REMOTE_ADDR\\n' > /w/cgi-bin/who; chmod +x /w/cgi-bin/who;"
       " dd if=/dev/urandom of=/w/large bs=64k count=32 2>/dev/null; exec httpd -f -p 8080 -h /w"]
NAMES = ["n0", "n1", "n2"]


@contextlib.contextmanager
def machines(offset, segments=None, *options):
    """Three nodes with one pod each, which says its name and who asks."""
    lan = Lan("n", int(os.environ.get("SWIFTLET_E2E_INDEX", "1")) + offset, 3, 97, segments)
    try:
        lan.wire()
        lan.start_server()
        token = lan.token()
        lan.clean = [links_and_routes(lan, i) for i in range(3)]
        for i, name in enumerate(NAMES):
            lan.launch(i, "--server", lan.url, "--token", token, "--node-name", name, *options)
        eventually("three nodes are Ready", lambda: lan.server.out("get", "nodes", "--no-headers").count(" Ready ") == 3, timeout=60)
        for i, name in enumerate(NAMES):
            lan.agents[i].image()
            lan.server.apply(pod(f"who-{i}", WHO, nodeName=name, container=dict(
                readinessProbe=dict(tcpSocket=dict(port=8080), periodSeconds=1))))
            lan.server.out("label", "pod", f"who-{i}", "app=who", f"place={name}", "--overwrite")
        lan.server.ready("who-0", "who-1", "who-2", timeout=60)
        lan.pods = [lan.server.json("get", "pod", f"who-{i}")["status"]["podIP"] for i in range(3)]
        yield lan
    except Exception:
        for agent in lan.agents:
            if os.path.exists(agent.log):
                print("--- an agent:\n" + open(agent.log).read()[-1500:], flush=True)
        raise
    finally:
        lan.end()


def links_and_routes(lan, i):
    """Names of links, routes and rules of a machine."""
    links = sorted(l.split(": ")[1].split("@")[0] for l in sh("ip", "-n", lan.namespaces[i], "-o", "link")[1].splitlines())
    rules = sh(*lan.on(i), "nft", "list", "tables")[1] if shutil.which("nft") else ""
    return links, sorted(sh("ip", "-n", lan.namespaces[i], "route")[1].split("\n")), rules


def ways(lan, i):
    """All that leads a machine's packets to other nodes' pods, by the kernel's own account."""
    name = lan.namespaces[i]
    links = [l for l in sh("ip", "-n", name, "-o", "-d", "link")[1].split("\n") if ".vxlan" in l]
    device = re.search(r"(\S+\.vxlan)", links[0])[1] if links else None
    entries = [] if not device else [sh("bridge", "-n", name, "fdb", "show", "dev", device)[1], sh("ip", "-n", name, "neigh", "show", "dev", device)[1]]
    return sh("ip", "-n", name, "route", "show", "proto", "83")[1].split("\n"), links, entries


def answer(text):
    """busybox httpd writes addresses of IPv4 as those of IPv6."""
    return tuple(word.removeprefix("[::ffff:").removesuffix("]") for word in text.split())


def ask(lan, i, host, port=8080, path="cgi-bin/who", check=True):
    """What the pod of machine i is told: (name of the pod that answers, address that it sees). Busybox's own `wget -T` crashes."""
    code, out, errors = lan.server.kubectl("exec", f"who-{i}", "--", "timeout", "3", "wget", "-qO-", f"http://{host}:{port}/{path}", check=False)
    expect(code == 0 or not check, f"pod who-{i} asks {host}:{port}: {errors}")
    return answer(out)


def ask_outside(command, host, port, path="cgi-bin/who", check=True):
    code, out, errors = sh(*command, "timeout", "3", "busybox", "wget", "-qO-", f"http://{host}:{port}/{path}", check=False)
    expect(code == 0 or not check, f"{command} asks {host}:{port}: {errors}")
    return answer(out)


def service(name, selector, **spec):
    return dict(apiVersion="v1", kind="Service", metadata=dict(name=name), spec=dict(selector=selector, ports=[dict(port=80, targetPort=8080)], **spec))


def pods_reach_each_other(lan):
    for i in range(3):
        for j in range(3):
            if i != j:
                expect(ask(lan, i, lan.pods[j]) == (f"who-{j}", lan.pods[i]), f"from {i} to {j}: {ask(lan, i, lan.pods[j])}")
        # A few thousand full packets: too large ones would be lost on the way.
        told = lan.server.out("exec", f"who-{i}", "--", "sh", "-c", f"timeout 20 wget -qO- http://{lan.pods[(i + 1) % 3]}:8080/large | wc -c")
        expect(told.strip() == str(2 << 20), f"of 2 MiB came {told}")


def services_reach_pods(lan):
    s = lan.server
    s.apply(service("who", dict(app="who"), type="NodePort"))
    s.apply(service("local", dict(place="n2"), type="NodePort", externalTrafficPolicy="Local"))
    who, local = s.json("get", "svc", "who")["spec"], s.json("get", "svc", "local")["spec"]
    for i in range(3):
        eventually("the service answers", lambda: ask(lan, i, who["clusterIP"], 80, check=False), 20)
        # Busybox's wget cannot look names up; its nslookup can.
        named = s.out("exec", f"who-{i}", "--", "nslookup", "who.default.svc.cluster.local")
        expect(f"Address: {who['clusterIP']}" in named, f"the name is {named}")
        heard = [ask(lan, i, who["clusterIP"], 80) for _ in range(24)]
        expect({name for name, _ in heard} == {"who-0", "who-1", "who-2"}, f"machine {i} hears {heard}")
        wrong = [(name, source) for name, source in heard if name != f"who-{i}" and source != lan.pods[i]]
        expect(not wrong, f"a pod that is not the caller's own sees another address than {lan.pods[i]}: {wrong}")
        # From the node itself, and from outside at each node.
        for command, host, port in ((lan.on(i), who["clusterIP"], 80), ([], lan.addresses[i], who["ports"][0]["nodePort"])):
            heard = {ask_outside(command, host, port)[0] for _ in range(24)}
            expect(heard == {"who-0", "who-1", "who-2"}, f"{host}:{port} by {command}: {heard}")
    port = local["ports"][0]["nodePort"]
    caller = f"{lan.subnet}.1"
    expect(ask_outside([], lan.addresses[2], port) == ("who-2", caller), f"policy Local: {ask_outside([], lan.addresses[2], port)}, not {caller}")
    expect(not ask_outside([], lan.addresses[0], port, check=False), "policy Local answers on a node without a pod")


def restarts_change_nothing(lan):
    lan.server.apply(pod("steady", ["sh", "-c", f"while :; do timeout 1 wget -qO- http://{lan.pods[1]}:8080/cgi-bin/who >/dev/null && echo ok || echo lost; sleep 0.02; done"],
                         nodeName="n0"))
    lan.server.ready("steady")
    before = [ways(lan, i) for i in range(3)]
    for i in (0, 1):
        lan.agents[i].kill()
        lan.launch(i)
    eventually("the agents are back", lambda: all("is up" in open(lan.agents[i].log).read().split("node n")[-1] for i in (0, 1)), 30)
    time.sleep(1)
    expect([ways(lan, i) for i in range(3)] == before, f"{before} became {[ways(lan, i) for i in range(3)]}")
    told = lan.server.out("logs", "steady")
    expect("lost" not in told and told.count("ok") > 20, f"{told.count('lost')} of {told.count('ok')} calls were lost while agents restarted")
    lan.server.out("delete", "pod", "steady", "--now")


def what_is_broken_is_mended(lan):
    """Somebody deletes a route; a link goes down and up."""
    name, before = lan.namespaces[0], ways(lan, 0)[0]
    route = next(r for r in before if " via " in r)
    sh("ip", "-n", name, "route", "del", route.split()[0])
    eventually("the route is back", lambda: ways(lan, 0)[0] == before, 2, every=0.02)
    sh("ip", "-n", name, "link", "set", "eth0", "down")
    sh("ip", "-n", name, "link", "set", "eth0", "up")
    sh("ip", "-n", name, "route", "add", "default", "via", lan.gateways[0])
    eventually("the routes are back", lambda: ways(lan, 0)[0] == before, 2, every=0.02)


def a_node_leaves(lan):
    """Its routes go within a second on every other machine, and what it had goes with it."""
    gone = lan.server.json("get", "node", "n2")["spec"]["podCIDR"]
    lan.server.out("delete", "pod", "who-2", "--now")
    lan.agents[2].stop()
    begun = time.monotonic()
    lan.server.out("delete", "node", "n2", "--wait=false")
    eventually("no route leads to it", lambda: not any(gone in r for i in (0, 1) for r in ways(lan, i)[0]), 3, every=0.02)
    took = time.monotonic() - begun
    expect(took < 1.5, f"the routes went after {took:.1f} s")
    sh(*lan.on(2), f"{BIN}/swiftlet", "node", "reset", *lan.agents[2].options(), timeout=120)
    expect(links_and_routes(lan, 2) == lan.clean[2], f"{lan.clean[2]} became {links_and_routes(lan, 2)}")


def rolling_updates(lan, rounds):
    """A pod that ends on one machine gets no more connections from the others."""
    s = lan.server
    s.apply(rollouts.deployment("rolled", 3, 0))
    s.apply(rollouts.service("rolled", "NodePort"))
    s.out("rollout", "status", "deployment/rolled", "--timeout=60s")
    spec = s.json("get", "svc", "rolled")["spec"]
    load = rollouts.Load(s, spec["clusterIP"], entry=(lan.addresses[0], spec["ports"][0]["nodePort"]))
    try:
        rollouts.roll(s, "rolled", rounds)
    finally:
        outside, inside = load.end()
    print(f"      {rounds} rolling updates on 3 machines; failed: {outside[1]} of {outside[0]} from outside, {inside[1]} of {inside[0]} from a pod", flush=True)
    expect(outside[1] == 0 and inside[1] == 0, f"requests failed: {outside} {inside} {load.errors[:5]}")
    expect(outside[0] > 20 * rounds and inside[0] > 5 * rounds, f"too little load: {outside} {inside}")
    s.out("delete", "deployment/rolled", "service/rolled", "--timeout=60s")


def conditions(lan):
    for name in NAMES:
        found = [c for c in lan.server.json("get", "node", name)["status"]["conditions"] if c["type"] == "NetworkUnavailable"]
        expect([c["status"] for c in found] == ["False"], f"{name}: {found}")


def mtu(lan, i):
    return int(lan.server.out("exec", f"who-{i}", "--", "cat", "/sys/class/net/eth0/mtu"))


@test
def pods_of_machines_on_one_segment(_):
    with machines(13) as lan:
        conditions(lan)
        expect(not ways(lan, 0)[1] and len([r for r in ways(lan, 0)[0] if " via 10.97" in r]) == 2, f"{ways(lan, 0)}")
        expect(mtu(lan, 0) == 1500, f"the pods' MTU is {mtu(lan, 0)}")
        pods_reach_each_other(lan)
        services_reach_pods(lan)
        restarts_change_nothing(lan)
        what_is_broken_is_mended(lan)
        a_node_leaves(lan)


@test
def pods_of_machines_behind_a_router(_):
    with machines(13, [1, 2]) as lan:
        conditions(lan)
        tunnels = lambda i: [r for r in ways(lan, i)[0] if ".vxlan" in r and " via " in r]
        expect([len(tunnels(i)) for i in range(3)] == [2, 1, 1], f"{[ways(lan, i) for i in range(3)]}")
        pods_reach_each_other(lan)
        services_reach_pods(lan)
        restarts_change_nothing(lan)
        what_is_broken_is_mended(lan)
        a_node_leaves(lan)


@test
def rolling_updates_on_machines(_):
    with machines(13, [1, 2]) as lan:
        rolling_updates(lan, 8)


@test
def a_backend_the_kernel_lacks(_):
    """WireGuard here or not: the node says so and does not fall back to speaking in clear."""
    lan = Lan("n", int(os.environ.get("SWIFTLET_E2E_INDEX", "1")) + 13, 1, 97)
    probe = sh("ip", "link", "add", f"{lan.prefix}w", "type", "wireguard", check=False)[0]
    sh("ip", "link", "del", f"{lan.prefix}w", check=False)
    try:
        lan.wire()
        lan.start_server()
        lan.launch(0, "--server", lan.url, "--token", lan.token(), "--node-name", "n0", "--pod-network-backend", "wireguard")
        agent = lan.agents[0]
        if probe:
            eventually("the agent ends", lambda: agent.process.poll() is not None, 30)
            expect("no WireGuard" in open(agent.log).read(), open(agent.log).read()[:1500])
        else:
            eventually("the node is Ready", lambda: " Ready " in lan.server.out("get", "nodes", "--no-headers"), 30)
        annotations = lan.server.json("get", "node", "n0")["metadata"]["annotations"]
        expect(len(annotations.get("swiftlet.io/wireguard-public-key", "")) == 44, annotations)
        key = f"{agent.data}/network/wireguard.key"
        expect(os.stat(key).st_mode & 0o777 == 0o600, "the key is readable by others")
    finally:
        lan.end()
