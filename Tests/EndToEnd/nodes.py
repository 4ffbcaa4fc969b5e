"""What pods expect of a node beyond running: resize, claims, images as volumes, runtimes, sidecars, eviction."""
import json, os, re, subprocess, time
from harness import *


def amounts(cpu, memory):
    return dict(requests=dict(cpu=cpu, memory=memory), limits=dict(cpu=cpu, memory=memory))


def events(node, name):
    return {(e["reason"], e["message"]) for e in node.json("get", "events")["items"] if e["involvedObject"]["name"] == name}


def status_of(node, name, container="c", key="containerStatuses"):
    for s in node.json("get", "pod", name)["status"].get(key, []):
        if s["name"] == container:
            return s
    raise Failed(f"pod {name} has no status of container {container} yet")


def current(node, name):
    """The pod once its status is that of its newest spec and no resize is under way."""
    def settled():
        p = node.json("get", "pod", name)
        types = {c["type"] for c in p["status"]["conditions"]}
        return p if p["status"].get("observedGeneration") == p["metadata"]["generation"] and not types & {"PodResizePending", "PodResizeInProgress"} else None
    return eventually("the resize has ended", settled)


def subresource(node, name, what, method, body, kind="application/json"):
    """A call that old kubectls have no word for."""
    path = f"/api/v1/namespaces/default/pods/{name}/{what}".rstrip("/")
    return json.loads(node.call(method, path, json.dumps(body).encode() if body else None, content_type=kind))


@test
def resize_in_place(node):
    node.apply(pod("resized", container=dict(resources=amounts("20m", "32Mi"))))
    node.ready("resized")
    before = status_of(node, "resized")
    expect(before["resources"] == amounts("20m", "32Mi") and before["allocatedResources"] == amounts("20m", "32Mi")["requests"], before)
    patch = dict(spec=dict(containers=[dict(name="c", resources=amounts("40m", "48Mi"))]))
    subresource(node, "resized", "resize", "PATCH", patch, "application/strategic-merge-patch+json")
    after = current(node, "resized")["status"]["containerStatuses"][0]
    expect(after["resources"] == amounts("40m", "48Mi"), after)
    expect(after["containerID"] == before["containerID"] and after["restartCount"] == 0, after)
    reasons = eventually("events", lambda: {"ResizeStarted", "ResizeCompleted"} <= {r for r, _ in events(node, "resized")})
    whole = subresource(node, "resized", "resize", "GET", None)
    expect(whole["spec"] == node.json("get", "pod", "resized")["spec"], "GET of resize is another pod")
    whole["spec"]["containers"][0]["resources"] = amounts("10m", "32Mi")
    subresource(node, "resized", "resize", "PUT", whole)
    expect(current(node, "resized")["status"]["containerStatuses"][0]["resources"] == amounts("10m", "32Mi"), "after PUT")


@test
def resize_survives_the_agent(node):
    subresource(node, "resized", "resize", "PATCH", dict(spec=dict(containers=[dict(name="c", resources=amounts("1000", "32Mi"))])),
                "application/strategic-merge-patch+json")
    def pending():
        return next((c for c in node.json("get", "pod", "resized")["status"]["conditions"] if c["type"] == "PodResizePending"), None)
    condition = eventually("the resize waits", pending)
    expect(condition["reason"] == "Infeasible" and "Node didn't have enough capacity: cpu, requested: 1000000" in condition["message"], condition)
    node.kill()
    node.start()
    condition = eventually("it still waits", pending)
    container = status_of(node, "resized")
    expect(container["resources"] == amounts("10m", "32Mi") and container["restartCount"] == 0, container)
    subresource(node, "resized", "resize", "PATCH", dict(spec=dict(containers=[dict(name="c", resources=amounts("30m", "32Mi"))])),
                "application/strategic-merge-patch+json")
    expect(current(node, "resized")["status"]["containerStatuses"][0]["resources"] == amounts("30m", "32Mi"), "resized by the new agent")
    node.out("delete", "pod", "resized")


@test
def runtimes_by_class(node):
    for name, handler in (("here", "swiftlet"), ("elsewhere", "kata")):
        node.apply(dict(apiVersion="node.k8s.io/v1", kind="RuntimeClass", metadata=dict(name=name), handler=handler,
                        overhead=dict(podFixed=dict(cpu="10m", memory="8Mi"))))
    node.apply(pod("here", runtimeClassName="here"))
    node.apply(pod("elsewhere", runtimeClassName="elsewhere"))
    node.ready("here")
    expect(node.json("get", "pod", "here")["spec"]["overhead"] == dict(cpu="10m", memory="8Mi"), "overhead")
    eventually("the missing runtime is told", lambda: any(
        r == "FailedCreatePodSandBox" and 'no runtime for "kata" is configured' in m for r, m in events(node, "elsewhere")))
    node.out("delete", "pod", "here", "elsewhere")
    node.out("delete", "runtimeclass", "here", "elsewhere")


@test
def sidecars_start_first_and_end_last(node):
    log = "trap 'echo end {0} >> /log/order; exit 0' TERM; echo start {0} >> /log/order; while :; do sleep 3600 & wait; done"
    def container(name, script, **more):
        return dict(dict(name=name, image="localhost/busybox:e2e", imagePullPolicy="IfNotPresent", command=["sh", "-c", script],
                         volumeMounts=[dict(name="log", mountPath="/log")]), **more)
    order = f"{node.dir}/sidecars"
    spec = pod("sides", restartPolicy="Never", volumes=[dict(name="log", hostPath=dict(path=order, type="DirectoryOrCreate"))],
               initContainers=[container("one", log.format("one"), restartPolicy="Always"),
                               container("init", "echo init >> /log/order"),
                               container("two", log.format("two"), restartPolicy="Always",
                                         startupProbe=dict(exec=dict(command=["true"]), periodSeconds=1))])
    spec["spec"]["containers"] = [container("main", "echo main >> /log/order; sleep 1; echo over >> /log/order")]
    node.apply(spec)
    eventually("the pod has completed", lambda: node.json("get", "pod", "sides")["status"]["phase"] == "Succeeded")
    lines = open(f"{order}/order").read().split("\n")
    expect(lines[:7] == ["start one", "init", "start two", "main", "over", "end two", "end one"], lines)
    node.out("delete", "pod", "sides")


@test
def exit_codes_restart_by_rule(node):
    one = pod("rules", ["sh", "-c", "[ -e /d/once ] && exit 0; touch /d/once; exit 42"], restartPolicy="Never",
              container=dict(restartPolicy="Never", restartPolicyRules=[dict(action="Restart", exitCodes=dict(operator="In", values=[42]))],
                             volumeMounts=[dict(name="d", mountPath="/d")]), volumes=[dict(name="d", emptyDir={})])
    node.out("apply", "--validate=false", "-f", "-", input=json.dumps(one))
    eventually("it has succeeded", lambda: node.json("get", "pod", "rules")["status"]["phase"] == "Succeeded")
    expect(status_of(node, "rules")["restartCount"] == 1, "one restart")
    node.out("delete", "pod", "rules")


@test
def a_hook_may_sleep(node):
    node.apply(pod("sleeps", container=dict(lifecycle=dict(preStop=dict(sleep=dict(seconds=2))))))
    node.ready("sleeps")
    begun = time.monotonic()
    node.out("delete", "pod", "sleeps")
    expect(time.monotonic() - begun > 1.9, f"{time.monotonic() - begun} s")


@test
def extended_resources_are_kept(node):
    def patch(value):
        import urllib.request
        return node.out("patch", "node", "e2e", "--subresource=status", "--type=strategic", "-p",
                        json.dumps(dict(status=dict(capacity={"example.com/foo": value}))))
    patch("3")
    eventually("it is allocatable", lambda: node.json("get", "node", "e2e")["status"]["allocatable"].get("example.com/foo") == "3", timeout=20)
    node.out("patch", "node", "e2e", "--subresource=status", "--type=json", "-p", json.dumps([
        dict(op="remove", path="/status/capacity/example.com~1foo"), dict(op="remove", path="/status/allocatable/example.com~1foo")]))
    eventually("it is gone", lambda: "example.com/foo" not in node.json("get", "node", "e2e")["status"]["capacity"], timeout=20)


@test
def another_image_restarts(node):
    node.swiftlet("image", "import", node_image(node, "localhost/busybox:other"))
    node.apply(pod("patched"))
    node.ready("patched")
    node.out("set", "image", "pod/patched", "c=localhost/busybox:other")
    def restarted():
        s = status_of(node, "patched")
        return s["restartCount"] == 1 and s["ready"] and s["image"].endswith("busybox:other")
    eventually("it runs the other image", restarted)
    p = node.json("get", "pod", "patched")
    expect(p["metadata"]["generation"] == 2, p["metadata"])
    eventually("the generation is observed", lambda: node.json("get", "pod", "patched")["status"]["observedGeneration"] == 2)
    node.out("delete", "pod", "patched")
    node.swiftlet("image", "rm", "localhost/busybox:other")


def node_image(node, name):
    path = f"{node.dir}/other.tar"
    sh(f"{ROOT}/scripts/make-test-image", name, path)
    return path


@test
def deadlines_may_come_later(node):
    node.apply(pod("late"))
    node.ready("late")
    node.out("patch", "pod", "late", "-p", '{"spec":{"activeDeadlineSeconds":2}}')
    status = eventually("it fails", lambda: (lambda s: s if s["phase"] == "Failed" else None)(node.json("get", "pod", "late")["status"]))
    expect(status["reason"] == "DeadlineExceeded", status)
    node.out("delete", "pod", "late")


@test
def many_updates_are_observed(node):
    node.apply(pod("busy"))
    node.ready("busy")
    for i in range(120):
        subresource(node, "busy", "", "PATCH", dict(spec=dict(tolerations=[dict(key=f"k{j}", operator="Exists") for j in range(i + 1)])),
                    "application/merge-patch+json") if i < 60 else subresource(
            node, "busy", "", "PATCH", dict(metadata=dict(labels=dict(n=str(i)))), "application/merge-patch+json")
    p = node.json("get", "pod", "busy")
    expect(p["metadata"]["generation"] == 61, p["metadata"]["generation"])
    eventually("the last is observed", lambda: node.json("get", "pod", "busy")["status"]["observedGeneration"] == 61)
    node.out("delete", "pod", "busy")


@test
def init_containers_are_told(node):
    def init(name, script):
        return dict(name=name, image="localhost/busybox:e2e", imagePullPolicy="IfNotPresent", command=["sh", "-c", script])
    node.apply(pod("begins", initContainers=[init("init1", "exit 1"), init("init2", "exit 0")]))
    def failing():
        s = node.json("get", "pod", "begins")["status"]
        return s if s.get("initContainerStatuses") and s["initContainerStatuses"][0]["restartCount"] >= 2 else None
    s = eventually("init1 fails again", failing, timeout=60)
    condition = next(c for c in s["conditions"] if c["type"] == "Initialized")
    expect(condition["status"] == "False" and condition["reason"] == "ContainersNotInitialized", condition)
    expect(condition["message"] == "containers with incomplete status: [init1 init2]", condition)
    for state in (s["initContainerStatuses"][1]["state"], s["containerStatuses"][0]["state"]):
        expect(state["waiting"]["reason"] == "PodInitializing", state)
    node.out("delete", "pod", "begins")
    node.apply(pod("never", initContainers=[init("init1", "exit 1")], restartPolicy="Never"))
    eventually("it fails", lambda: node.json("get", "pod", "never")["status"]["phase"] == "Failed")
    node.out("delete", "pod", "never")


@test
def hosts_files(node):
    node.apply(pod("hosts", hostAliases=[dict(ip="123.45.67.89", hostnames=["foo", "bar"])], hostname="me", subdomain="sub"))
    node.ready("hosts")
    text = node.out("exec", "hosts", "--", "cat", "/etc/hosts")
    expect(text.startswith("# Kubernetes-managed hosts file"), text)
    expect(re.search(r"^123\.45\.67\.89\tfoo\tbar$", text, re.M) and "me.sub.default.svc.cluster.local" in text, text)
    node.apply(pod("own-hosts", container=dict(volumeMounts=[dict(name="h", mountPath="/etc/hosts")]),
                   volumes=[dict(name="h", hostPath=dict(path=f"{node.dir}/hosts", type="FileOrCreate"))]))
    node.ready("own-hosts")
    expect("Kubernetes-managed" not in node.out("exec", "own-hosts", "--", "cat", "/etc/hosts"), "the pod's own file")
    node.out("delete", "pod", "hosts", "own-hosts")


@test
def last_words(node):
    for name, script, more, expected in (
            ("custom", "echo -n DONE > /dev/custom", dict(terminationMessagePath="/dev/custom", securityContext=dict(runAsUser=1000)), "DONE"),
            ("fallback", "echo DONE; exit 1", dict(terminationMessagePolicy="FallbackToLogsOnError"), "DONE"),
            ("success", "echo log", dict(terminationMessagePolicy="FallbackToLogsOnError"), ""),
            ("file", "echo -n OK > /dev/termination-log; echo log", dict(terminationMessagePolicy="FallbackToLogsOnError"), "OK")):
        node.apply(pod(name, ["sh", "-c", script], container=more, restartPolicy="Never"))
        eventually("it has ended", lambda: node.json("get", "pod", name)["status"]["phase"] in ("Succeeded", "Failed"))
        message = status_of(node, name)["state"]["terminated"].get("message", "")
        expect(message.strip() == expected, f"{name}: {message!r}")
        node.out("delete", "pod", name)


@test
def security_contexts(node):
    node.apply(pod("plain", container=dict(securityContext=dict(runAsUser=1000, runAsGroup=2000, allowPrivilegeEscalation=False)),
                   securityContext=dict(sysctls=[dict(name="kernel.shm_rmid_forced", value="1")], supplementalGroups=[3000],
                                        supplementalGroupsPolicy="Strict")))
    node.ready("plain")
    expect(node.out("exec", "plain", "--", "id").startswith("uid=1000 gid=2000 groups=2000,3000"), node.out("exec", "plain", "--", "id"))
    expect(node.out("exec", "plain", "--", "cat", "/proc/sys/kernel/shm_rmid_forced") == "1\n", "sysctl")
    expect("NoNewPrivs:\t1" in node.out("exec", "plain", "--", "grep", "NoNewPrivs", "/proc/self/status"), "no new privileges")
    user = status_of(node, "plain")["user"]["linux"]
    expect(user == dict(uid=1000, gid=2000, supplementalGroups=[2000, 3000]), user)
    code, _, errors = node.kubectl("exec", "plain", "--", "ip", "link", "add", "dummy1", "type", "dummy", check=False)
    expect(code != 0 and "Operation not permitted" in errors, errors)
    node.out("delete", "pod", "plain")


@test
def ephemeral_containers(node):
    node.apply(pod("debugged"))
    node.ready("debugged")
    whole = node.json("get", "pod", "debugged")
    container = dict(name="debugger", image="localhost/busybox:e2e", imagePullPolicy="IfNotPresent", stdin=True, tty=True, command=["sh"])
    answer = subresource(node, "debugged", "ephemeralcontainers", "PATCH", dict(spec=dict(ephemeralContainers=[container])), "application/strategic-merge-patch+json")
    expect(answer["metadata"]["generation"] == 2, answer["metadata"])
    eventually("it runs", lambda: "running" in status_of(node, "debugged", "debugger", "ephemeralContainerStatuses")["state"])
    expect(node.out("exec", "debugged", "-c", "debugger", "--", "echo", "polo") == "polo\n", "exec into it")
    node.out("delete", "pod", "debugged")


@test
def separation_that_is_not_there(node):
    node.apply(pod("apart", hostUsers=False))
    eventually("the node says why", lambda: any("user namespaces" in m for r, m in events(node, "apart") if r == "FailedCreatePodSandBox"))
    node.apply(pod("armored", securityContext=dict(appArmorProfile=dict(type="RuntimeDefault"))))
    status = eventually("it is refused", lambda: (lambda s: s if s["phase"] == "Failed" else None)(node.json("get", "pod", "armored")["status"]))
    expect(status["reason"] == "AppArmor" and "Cannot enforce AppArmor" in status["message"], status)
    node.out("delete", "pod", "apart", "armored")


@test
def profiles_from_files(node):
    os.makedirs(f"{node.data}/seccomp/profiles", exist_ok=True)
    json.dump(dict(defaultAction="SCMP_ACT_ALLOW", syscalls=[dict(names=["mkdir", "mkdirat"], action="SCMP_ACT_ERRNO", errnoRet=13)]),
              open(f"{node.data}/seccomp/profiles/no-mkdir.json", "w"))
    profile = dict(type="Localhost", localhostProfile="profiles/no-mkdir.json")
    node.apply(pod("filtered", container=dict(securityContext=dict(seccompProfile=profile))))
    node.ready("filtered")
    code, _, errors = node.kubectl("exec", "filtered", "--", "mkdir", "/tmp/x", check=False)
    expect(code != 0 and "Permission denied" in errors, errors)
    node.out("exec", "filtered", "--", "touch", "/tmp/y")
    node.apply(pod("unfiltered", container=dict(securityContext=dict(seccompProfile=dict(profile, localhostProfile="none.json")))))
    eventually("the profile is missed", lambda: (status_of(node, "unfiltered")["state"].get("waiting") or {}).get("reason") == "CreateContainerError")
    node.out("delete", "pod", "filtered", "unfiltered")
