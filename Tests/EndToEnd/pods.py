"""Pods from kubectl to execve and back, as a person uses them."""
import json, os, re, signal, subprocess, time
from harness import *


@test
def get_nodes(node):
    wide = node.out("get", "nodes", "-o", "wide")
    expect(" Ready " in wide and "swiftlet://" in wide, wide)
    describe = node.out("describe", "node", "e2e")
    for text in ("KubeletReady", "MemoryPressure", "Capacity:", "PodCIDR:"):
        expect(text in describe, f"{text} is missing in: {describe}")


@test
def run_and_read(node):
    node.apply(pod("web", ["sh", "-c", "echo one; echo two >&2; trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"]))
    node.ready("web")
    row = node.out("get", "pod", "web", "-o", "wide")
    expect(re.search(r"web\s+1/1\s+Running\s+0", row) and "e2e" in row, row)
    expect(sorted(node.out("logs", "web").split()) == ["one", "two"], node.out("logs", "web"))
    expect(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \w+", node.out("logs", "web", "--timestamps")), "no timestamps")
    expect(len(node.out("logs", "web", "--tail=1").split()) == 1, "tail")
    describe = node.out("describe", "pod", "web")
    for text in ("Scheduled", "Pulled", "Created", "Started"):
        expect(text in describe, f"{text} is missing in: {describe}")


@test
def exec_in_a_container(node):
    expect(node.out("exec", "web", "--", "echo", "hi") == "hi\n", "exec")
    code, _, errors = node.kubectl("exec", "web", "--", "sh", "-c", "exit 7", check=False)
    expect(code == 7, f"exit code {code}: {errors}")
    expect(node.out("exec", "-i", "web", "--", "cat", input="through\nstdin\n") == "through\nstdin\n", "stdin")
    code, _, errors = node.kubectl("exec", "web", "--", "/no/such/program", check=False)
    expect(code != 0 and "no such file" in errors.lower() or "not found" in errors.lower(), f"{code} {errors}")
    expect(node.out("exec", "web", "--", "hostname") == "web\n", "hostname")
    one = node.out("exec", "web", "--", "sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'")
    expect(int(one.split()[1]) < 8, f"sees other processes: {one}")


@test
def terminal(node):
    shell = "stty size; tty; exit 5\n"
    script = f"stty rows 31 cols 97; kubectl exec -it web -- sh -c 'stty size; exit 5'; echo code=$?"
    code, out, _ = sh("script", "-qec", script, "/dev/null", env=node.env, check=False)
    expect("31 97" in out and "code=5" in out, repr(out))


@test
def every_kubectl_executes(node):
    for version in ("1.27", "1.28", "1.29", "1.30", "1.31", "1.32", "1.33"):
        try:
            expect(node.out("exec", "-i", "web", "--", "cat", input="x\n", version=version) == "x\n", f"kubectl {version}")
        except FileNotFoundError:
            continue
        expect("Running" in node.out("get", "pod", "web", version=version), version)


@test
def copy_both_ways(node):
    source = f"{node.dir}/copied"
    open(source, "wb").write(os.urandom(300_000))
    node.out("cp", source, "web:/tmp/there")
    node.out("cp", "web:/tmp/there", source + ".back")
    expect(open(source, "rb").read() == open(source + ".back", "rb").read(), "the copy differs")


@test
def attach_to_a_container(node):
    node.apply(pod("echoes", ["sh", "-c", "while read line; do echo got $line; [ $line = end ] && exit 3; done"],
                   container=dict(stdin=True, stdinOnce=True), restartPolicy="Never"))
    node.ready("echoes")
    code, out, errors = node.kubectl("attach", "-i", "echoes", input="a\nend\n", check=False, timeout=30)
    expect("got a" in out and "got end" in out, f"{out} {errors}")
    eventually("it has failed with 3", lambda: node.json("get", "pod", "echoes")["status"]["phase"] == "Failed")
    state = node.json("get", "pod", "echoes")["status"]["containerStatuses"][0]["state"]["terminated"]
    expect(state["exitCode"] == 3 and state["reason"] == "Error", state)
    node.out("delete", "pod", "echoes")


@test
def forward_a_port(node):
    node.apply(pod("httpd", ["sh", "-c", "mkdir /w; echo served > /w/index.html; exec httpd -f -p 8080 -h /w"],
                   container=dict(ports=[dict(containerPort=8080)])))
    node.ready("httpd")
    forward = subprocess.Popen(["kubectl", "port-forward", "pod/httpd", f"{17000 + node.index}:8080"], env=node.env,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        line = forward.stdout.readline()
        expect("Forwarding from" in line, line)
        for _ in range(3):
            expect(sh("curl", "-s", "-m", "5", f"http://127.0.0.1:{17000 + node.index}/")[1] == "served\n", "no answer through the forwarded port")
    finally:
        forward.terminate()
        forward.wait()
    address = node.json("get", "pod", "httpd")["status"]["podIP"]
    expect(sh("curl", "-s", "-m", "5", f"http://{address}:8080/")[1] == "served\n", "the node does not reach the pod")
    expect(node.out("exec", "web", "--", "wget", "-qO-", f"http://{address}:8080/") == "served\n", "a pod does not reach the other")
    node.out("delete", "pod", "httpd", "--now")


@test
def host_ports(node):
    port = 18000 + node.index
    node.apply(pod("hostport", ["sh", "-c", "mkdir /w; echo here > /w/index.html; exec httpd -f -p 8080 -h /w"],
                   container=dict(ports=[dict(containerPort=8080, hostPort=port)])))
    node.ready("hostport")
    address = next(a["address"] for a in node.json("get", "nodes")["items"][0]["status"]["addresses"] if a["type"] == "InternalIP")
    url = f"http://{address}:{port}/"
    expect(sh("curl", "-s", "-m", "5", url)[1] == "here\n", "the node does not reach its own host port")
    expect(node.out("exec", "web", "--", "wget", "-qO-", url) == "here\n", "a pod does not reach the host port")
    expect(node.out("exec", "hostport", "--", "wget", "-qO-", url) == "here\n", "the pod does not reach itself through its host port")
    second = pod("hostport2", container=dict(ports=[dict(containerPort=8080, hostPort=port)]))
    node.apply(second)
    eventually("a second pod with the port is not placed", lambda: any(
        "free ports" in c.get("message", "") for c in node.json("get", "pod", "hostport2")["status"].get("conditions", [])), 15)
    node.out("delete", "pod", "hostport", "--now")
    node.ready("hostport2")
    node.out("delete", "pod", "hostport2", "--now")
    expect(sh("curl", "-s", "-m", "2", url, check=False)[0] != 0, "the port outlives its pods")


@test
def change_and_watch(node):
    watch = subprocess.Popen(["kubectl", "get", "pods", "-w", "--no-headers"], env=node.env, stdout=subprocess.PIPE, text=True)
    try:
        watch.stdout.readline()
        node.out("label", "pod", "web", "tier=front")
        node.out("annotate", "pod", "web", "note=1")
        expect("front" in node.out("get", "pods", "-l", "tier=front", "--show-labels"), "label")
        node.out("patch", "pod", "web", "-p", '{"metadata":{"labels":{"tier":"back"}}}')
        expect(node.json("get", "pod", "web")["metadata"]["labels"]["tier"] == "back", "patch")
        edited = sh("kubectl", "edit", "pod", "web", env=dict(node.env, KUBE_EDITOR="sed -i s/tier:.back/tier:\\ edited/"))[1]
        expect("edited" in edited, edited)
        expect(any("web" in watch.stdout.readline() for _ in range(2)), "the watch shows nothing")
    finally:
        watch.terminate()
        watch.wait()
    expect("containers" in node.out("explain", "pod.spec.containers").lower(), "explain")
    expect("pods" in node.out("api-resources"), "api-resources")
    expect("Scheduled" in node.out("get", "events"), "events")


@test
def server_side_apply(node):
    manifest = json.dumps(pod("ssa"))
    expect("serverside-applied" in node.out("apply", "--server-side", "-f", "-", input=manifest), "apply")
    node.ready("ssa")
    manifest = json.dumps(pod("ssa", metadata=dict(annotations=dict(a="b"))))
    expect("serverside-applied" in node.out("apply", "--server-side", "-f", "-", input=manifest), "apply again")
    node.out("delete", "pod", "ssa", "--grace-period=1")


@test
def restarts_and_previous_logs(node):
    node.apply(pod("crash", ["sh", "-c", "echo run; exit 9"], restartPolicy="Always"))
    eventually("two runs", lambda: node.json("get", "pod", "crash")["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 1)
    status = node.json("get", "pod", "crash")["status"]["containerStatuses"][0]
    expect(status["lastState"]["terminated"]["exitCode"] == 9, status)
    eventually("it waits", lambda: "CrashLoopBackOff" in node.out("get", "pod", "crash"))
    expect(node.out("logs", "crash", "--previous").strip() == "run", "previous log")
    node.out("delete", "pod", "crash", "--force")


@test
def init_containers_and_success(node):
    p = pod("steps", ["sh", "-c", "cat /d/f"], restartPolicy="Never", volumes=[dict(name="d", emptyDir={})],
            container=dict(volumeMounts=[dict(name="d", mountPath="/d")]))
    p["spec"]["initContainers"] = [dict(name="i", image="localhost/busybox:e2e", command=["sh", "-c", "echo made > /d/f"],
                                        volumeMounts=[dict(name="d", mountPath="/d")])]
    node.apply(p)
    eventually("it succeeds", lambda: node.json("get", "pod", "steps")["status"]["phase"] == "Succeeded")
    expect(node.out("logs", "steps").strip() == "made", "the volume is not shared")
    expect("Completed" in node.out("get", "pod", "steps"), "status")
    node.out("delete", "pod", "steps")


@test
def configuration(node):
    node.out("create", "configmap", "conf", "--from-literal=key=value", "--from-literal=other=2")
    node.out("create", "secret", "generic", "hidden", "--from-literal=word=swordfish")
    p = pod("conf", container=dict(
        env=[dict(name="A", value="x$(B)"), dict(name="B", value="b"), dict(name="K", valueFrom=dict(configMapKeyRef=dict(name="conf", key="key"))),
             dict(name="N", valueFrom=dict(fieldRef=dict(fieldPath="metadata.name")))],
        envFrom=[dict(secretRef=dict(name="hidden"))],
        volumeMounts=[dict(name="c", mountPath="/c"), dict(name="s", mountPath="/s"), dict(name="m", mountPath="/m"), dict(name="h", mountPath="/h", readOnly=True)]),
        volumes=[dict(name="c", configMap=dict(name="conf")), dict(name="s", secret=dict(secretName="hidden")),
                 dict(name="m", emptyDir=dict(medium="Memory", sizeLimit="1Mi")), dict(name="h", hostPath=dict(path="/etc", type="Directory"))])
    node.apply(p)
    node.ready("conf")
    out = node.kubectl(
        "exec", "conf", "--", "sh", "-c", "echo $K $N $word; cat /c/key /s/word; echo; grep -c ' /m tmpfs' /proc/mounts; ls /var/run/secrets/kubernetes.io/serviceaccount; touch /h/x 2>&1; true")[1]
    for text in ("value conf swordfish", "valueswordfish", "token", "ca.crt", "namespace", "Read-only"):
        expect(text in out, f"{text!r} is missing in {out!r}")
    node.out("patch", "configmap", "conf", "-p", '{"data":{"key":"changed"}}')
    eventually("the volume follows", lambda: node.out("exec", "conf", "--", "cat", "/c/key") == "changed", timeout=90, every=0.3)
    node.out("delete", "pod", "conf", "--now")
    node.apply(pod("missing", volumes=[dict(name="c", configMap=dict(name="nowhere"))], container=dict(volumeMounts=[dict(name="c", mountPath="/c")])))
    eventually("the event tells", lambda: 'configmap "nowhere" not found' in node.out("get", "events"))
    node.out("delete", "pod", "missing", "--now")


@test
def probes(node):
    p = pod("probed", ["sh", "-c", "trap 'exit 0' TERM; touch /tmp/ok; while :; do sleep 1; done"], container=dict(
        readinessProbe=dict(exec=dict(command=["cat", "/tmp/ok"]), periodSeconds=1),
        livenessProbe=dict(exec=dict(command=["test", "!", "-e", "/tmp/dead"]), periodSeconds=1, failureThreshold=1)))
    node.apply(p)
    node.ready("probed")
    node.out("exec", "probed", "--", "rm", "/tmp/ok")
    eventually("it is not ready", lambda: "0/1" in node.out("get", "pod", "probed"))
    node.out("exec", "probed", "--", "touch", "/tmp/dead")
    eventually("it was restarted", lambda: node.json("get", "pod", "probed")["status"]["containerStatuses"][0]["restartCount"] == 1)
    expect("Unhealthy" in node.out("get", "events"), "no event")
    node.out("delete", "pod", "probed", "--now")


@test
def graceful_delete(node):
    node.apply(pod("slow", ["sh", "-c", "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done"],
                   container=dict(lifecycle=dict(preStop=dict(exec=dict(command=["sh", "-c", "touch /tmp/stopping"]))))))
    node.ready("slow")
    begun = time.monotonic()
    node.out("delete", "pod", "slow")
    expect(time.monotonic() - begun >= 1, "the process did not get its time")
    node.apply(pod("stubborn", ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], terminationGracePeriodSeconds=2))
    node.ready("stubborn")
    node.out("delete", "pod", "stubborn")
    node.apply(pod("forced"))
    node.ready("forced")
    node.out("delete", "pod", "forced", "--force", "--grace-period=0")


@test
def security(node):
    p = pod("tight", securityContext=dict(runAsUser=1000, runAsGroup=2000, fsGroup=3000),
            container=dict(securityContext=dict(readOnlyRootFilesystem=True, allowPrivilegeEscalation=False, capabilities=dict(drop=["ALL"]))))
    node.apply(p)
    node.ready("tight")
    out = node.kubectl("exec", "tight", "--", "sh", "-c", "id; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; touch /x; cat /proc/kcore | head -c 1 | wc -c; true")[1]
    expect("uid=1000 gid=2000" in out and "3000" in out, out)
    expect("CapEff:\t0000000000000000" in out and "NoNewPrivs:\t1" in out and re.search(r"Seccomp:\t2", out), out)
    node.out("delete", "pod", "tight", "--now")


@test
def static_pod(node):
    manifest = pod("static")
    path = f"{node.dir}/manifests/static.json"
    json.dump(manifest, open(path, "w"))
    node_pod = "static-e2e"
    eventually("the mirror pod runs", lambda: "Running" in node.kubectl("get", "pod", node_pod, check=False)[1])
    os.unlink(path)
    node.gone(node_pod)


@test
def refused_objects(node):
    code, _, errors = node.kubectl("apply", "-f", "-", input=json.dumps(dict(pod("Bad_Name"))), check=False)
    expect(code != 0 and "metadata.name: Invalid value" in errors, errors)
    bad = pod("typo")
    bad["spec"]["containers"][0]["imagee"] = "x"
    code, _, errors = node.kubectl("apply", "-f", "-", input=json.dumps(bad), check=False)
    expect(code != 0 and 'unknown field "spec.containers[0].imagee"' in errors, errors)
    code, _, errors = node.kubectl("create", "-f", "-", input=json.dumps(pod("web")), check=False)
    expect('pods "web" already exists' in errors, errors)


@test
def tools_without_an_api_server(node):
    expect("web" in node.swiftlet("ps")[1], "ps")
    expect(sorted(node.swiftlet("logs", "web")[1].split()) == ["one", "two"], "logs")
    code, out, _ = node.swiftlet("exec", "web", "--", "sh", "-c", "echo in; exit 4", check=False)
    expect(code == 4 and out == "in\n", f"{code} {out!r}")
    expect("localhost/busybox:e2e" in node.swiftlet("image", "ls")[1], "image ls")
    expect("web" in node.swiftlet("inspect")[1], "inspect")


@test
def missing_controllers_are_told(node):
    code, _, _ = sh(f"{BIN}/swiftlet", "check", "--cgroups-only", check=False)
    if code == 0:
        return
    p = pod("limited", container=dict(resources=dict(limits=dict(cpu="100m", memory="32Mi"))))
    node.apply(p)
    node.ready("limited")
    eventually("the pod's event tells", lambda: "not enforced" in node.out("describe", "pod", "limited"))
    expect("not enforced" in node.out("describe", "node", "e2e").lower() or "MissingControllers" in node.out("describe", "node", "e2e"), "the node's condition")
    node.out("delete", "pod", "limited", "--now")


@test
def second_start_is_refused(node):
    code, _, errors = sh(*node.up_command(), check=False, timeout=20)
    expect(code != 0 and "another swiftlet" in errors and len(errors.strip().split("\n")) == 1, errors)


@test
def a_forced_end_leaves_room(node):
    """Whoever comes after a pod that was deleted by force is not refused for what that one still holds; it gets the port when it is free."""
    port = 23_000 + node.index
    made = lambda name: pod(name, container=dict(ports=[dict(containerPort=80, hostPort=port)]), terminationGracePeriodSeconds=3)
    node.apply(made("first"))
    node.ready("first")
    node.apply(dict(made("refused"), spec=dict(made("refused")["spec"], nodeName="e2e")))
    eventually("it is refused", lambda: node.out("get", "pod", "refused", "-o", "jsonpath={.status.phase}") == "Failed")
    expect(re.search(r"refused +0/1 +NodePorts", node.out("get", "pod", "refused")), node.out("get", "pod", "refused"))
    node.out("delete", "pod", "first", "refused", "--grace-period=0", "--force")
    node.apply(made("second"))
    node.ready("second", timeout=60)
    node.out("delete", "pod", "second", "--now")
