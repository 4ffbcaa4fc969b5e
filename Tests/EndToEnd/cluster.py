"""What a person does with a cluster: deployments, services, names, jobs, claims; everything with the real kubectl and the real nginx."""
import json, os, time, urllib.request
from harness import *


def nginx(node, version):
    """An image of nginx whose page names its version."""
    name, path = f"localhost/nginx:{version}", f"{node.dir}/nginx-{version}.tar"
    if not os.path.exists(path):
        sh(f"{ROOT}/scripts/make-nginx-image", name, path, f"version {version}", timeout=300)
        node.swiftlet("image", "import", path)
    return name


def fetch(url, timeout=3):
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.read().decode().strip()
    except OSError as error:
        raise Failed(f"{url}: {error}")


def answers(url, text, timeout=20):
    eventually(f"{url} answers {text!r}", lambda: fetch(url) == text, timeout)


@test
def the_first_walk(node):
    """Deploy, expose, read the address, fetch, scale, roll out, roll back, delete."""
    nginx(node, 1), nginx(node, 2)
    node.out("create", "deployment", "nginx", "--image=localhost/nginx:1")
    node.out("expose", "deployment", "nginx", "--port=8080", "--target-port=80")
    node.out("rollout", "status", "deployment/nginx", "--timeout=60s")
    url = f"http://{node.out('get', 'service', 'nginx', '-o', 'jsonpath={.spec.clusterIP}')}:8080/"
    answers(url, "version 1")
    node.out("scale", "deployment", "nginx", "--replicas=3")
    node.out("rollout", "status", "deployment/nginx", "--timeout=60s")
    eventually("three endpoints", lambda: len([e for s in node.json("get", "endpointslices", "-l", "kubernetes.io/service-name=nginx")["items"]
                                              for e in s["endpoints"] if e["conditions"]["ready"]]) == 3)
    node.out("set", "image", "deployment/nginx", "nginx=localhost/nginx:2")
    node.out("rollout", "status", "deployment/nginx", "--timeout=60s")
    answers(url, "version 2")
    expect([fetch(url) for _ in range(20)] == ["version 2"] * 20, "an old pod still answers after the roll-out")
    node.out("rollout", "undo", "deployment/nginx")
    node.out("rollout", "status", "deployment/nginx", "--timeout=60s")
    answers(url, "version 1")
    history = node.out("rollout", "history", "deployment/nginx").split("\n")
    expect([line.split()[0] for line in history if line[:1].isdigit()] == ["2", "3"], f"revisions 2 and 3 remain: {history}")
    node.out("delete", "deployment,service", "nginx")
    eventually("its pods are gone", lambda: not node.json("get", "pods,replicasets", "-l", "app=nginx")["items"])

    def is_silent():
        try:
            fetch(url, 1)
        except Failed:
            return True
    eventually("nothing answers at the address", is_silent)


@test
def names_of_services(node):
    nginx(node, 1)
    node.out("create", "deployment", "web", "--image=localhost/nginx:1")
    node.out("expose", "deployment", "web", "--port=80")
    node.apply(dict(apiVersion="v1", kind="Service", metadata=dict(name="peers"), spec=dict(clusterIP="None", selector=dict(app="peer"), ports=[dict(port=80)])))
    node.apply(dict(apiVersion="v1", kind="Service", metadata=dict(name="elsewhere"), spec=dict(type="ExternalName", externalName="web.default.svc.cluster.local")))
    node.apply(dict(apiVersion="apps/v1", kind="StatefulSet", metadata=dict(name="peer"), spec=dict(
        serviceName="peers", replicas=2, selector=dict(matchLabels=dict(app="peer")), template=dict(
            metadata=dict(labels=dict(app="peer")), spec=dict(terminationGracePeriodSeconds=1, containers=[dict(name="c", image="localhost/nginx:1")])))))
    # Debian's static busybox ends with SIGSEGV on any look-up by its C library: getent and netcat ask as programs do.
    node.apply(pod("asker", image="localhost/nginx:1"))
    node.ready("asker")
    node.out("rollout", "status", "statefulset/peer", "--timeout=60s")
    node.out("rollout", "status", "deployment/web", "--timeout=60s")
    inside = lambda *command: node.out("exec", "asker", "--", *command).strip()
    for name in ("web", "web.default", "web.default.svc.cluster.local", "elsewhere", "peer-0.peers", "peer-1.peers.default.svc"):
        address = eventually(f"{name} has an address", lambda: inside("getent", "ahostsv4", name)).split()[0]
        eventually(f"{name} answers", lambda: inside("sh", "-c", f"printf 'GET / HTTP/1.0\r\n\r\n' | nc.openbsd -w 2 {address} 80").endswith("version 1"))
    address = node.out("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    expect(f"Address: {address}" in inside("nslookup", "web.default.svc.cluster.local"), "the service's name is not its address")
    expect("web.default.svc.cluster.local" in inside("nslookup", address), "the address has no name")
    absent = node.kubectl("exec", "asker", "--", "nslookup", "absent.default.svc.cluster.local", check=False)
    expect("NXDOMAIN" in absent[1] + absent[2], f"a name that is not: {absent}")
    node.out("delete", "statefulset/peer", "deployment/web", "service/web", "service/peers", "service/elsewhere")
    node.out("delete", "pod", "asker", "--now")


@test
def jobs(node):
    node.out("create", "job", "once", "--image=localhost/busybox:e2e", "--", "echo", "done")
    node.out("wait", "--for=condition=Complete", "job/once", "--timeout=30s")
    expect(node.out("logs", "job/once").strip() == "done", "the job's log")
    node.out("create", "cronjob", "tick", "--image=localhost/busybox:e2e", "--schedule=* * * * *", "--", "date")
    node.out("create", "job", "now", "--from=cronjob/tick")
    node.out("wait", "--for=condition=Complete", "job/now", "--timeout=30s")
    node.apply(dict(apiVersion="batch/v1", kind="Job", metadata=dict(name="indexed"), spec=dict(
        completions=4, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=0, template=dict(spec=dict(restartPolicy="Never", containers=[dict(
            name="c", image="localhost/busybox:e2e", command=["sh", "-c", "echo $(hostname); exit $((JOB_COMPLETION_INDEX == 2))"])])))))
    node.out("wait", "--for=condition=Failed", "job/indexed", "--timeout=40s")
    status = node.json("get", "job", "indexed")["status"]
    expect((status["completedIndexes"], status["failedIndexes"]) == ("0,1,3", "2"), f"{status}")
    node.out("delete", "cronjob,job", "--all")
    eventually("no pods of jobs", lambda: not node.json("get", "pods", "-l", "batch.kubernetes.io/job-name")["items"])


@test
def a_namespace_goes_with_all_it_holds(node):
    node.out("create", "namespace", "brief")
    node.out("-n", "brief", "create", "deployment", "d", "--image=localhost/busybox:e2e", "--replicas=2", "--", *SLEEP)
    node.out("-n", "brief", "create", "configmap", "c", "--from-literal=a=b")
    node.out("-n", "brief", "rollout", "status", "deployment/d", "--timeout=60s")
    node.out("delete", "namespace", "brief", "--timeout=60s")
    expect(node.kubectl("get", "namespace", "brief", check=False)[0] != 0, "the namespace is still there")
