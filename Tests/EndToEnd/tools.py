"""The tools of the machine and of kubectl where they cannot do as asked, and `swiftlet down`."""
import json, os, shutil, subprocess
from harness import *
from failures import authority, refused


@test
def wrong_kubeconfigs(node):
    """kubectl with another cluster's authority, another authority's certificate, and a token that nobody issued."""
    right = node.json("config", "view", "--raw")
    folder = f"{node.dir}/wrong"
    key, certificate = authority(folder, "kubernetes-admin")
    server, user = right["clusters"][0]["cluster"], right["users"][0]["user"]

    def attempt(cluster, user):
        config = dict(right, clusters=[dict(right["clusters"][0], cluster=dict(server, **cluster))], users=[dict(right["users"][0], user=user)])
        path = f"{folder}/config"
        json.dump(config, open(path, "w"))
        code, out, errors = sh("kubectl", "--kubeconfig", path, "get", "pods", check=False)
        expect(code != 0 and not out, f"it was let in: {out}")
        return errors
    data = {k: v for k, v in server.items() if k == "server"}
    server = data
    expect("certificate" in attempt({"certificate-authority": certificate}, user), "another authority")
    trusted = {"certificate-authority-data": right["clusters"][0]["cluster"]["certificate-authority-data"]}
    errors = attempt(trusted, {"client-certificate": certificate, "client-key": key})
    expect("unauthorized" in errors.lower() or "certificate" in errors, errors)
    errors = attempt(trusted, {"token": "nobody.issued.this"})
    expect("provide credentials" in errors, errors)


@test
def tools_that_cannot(node):
    """The machine's own tools: one line that says what to do, and an exit code."""
    def fails(words, *args, code=1, **run):
        p = subprocess.run([f"{BIN}/swiftlet", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, **run)
        expect(p.returncode == code, f"{args}: exit code {p.returncode}: {p.stderr}")
        expect(len(p.stderr.strip().split("\n")) == 1 and not p.stdout, f"{args}: {p.stdout}{p.stderr}")
        for word in words:
            expect(word in p.stderr, f"{args}: no \"{word}\" in {p.stderr}")
    nowhere, here = ["--run-dir", f"{node.dir}/nowhere"], ["--run-dir", node.run]
    for command in (["ps"], ["image", "ls"], ["logs", "x"], ["exec", "x", "--", "true"], ["inspect"]):
        fails(["no agent answers", "--run-dir"], *command[:2 if command[0] == "image" else 1], *nowhere, *command[2 if command[0] == "image" else 1:])
    os.chmod(node.dir, 0o755)
    fails(["root", "sudo"], "ps", *here, user=65534, group=65534)
    fails(["default/nobody", "swiftlet ps"], "logs", *here, "nobody")
    fails(["default/nobody", "swiftlet ps"], "exec", *here, "nobody", "--", "true")
    fails(["default/nobody", "swiftlet ps"], "inspect", *here, "nobody")
    fails(["nothing:here"], "image", "rm", *here, "nothing:here")
    fails(["nothing:here"], "image", "inspect", *here, "nothing:here")
    fails([f"{node.dir}/nothing.tar"], "image", "import", *here, f"{node.dir}/nothing.tar")
    open(f"{node.dir}/noise.tar", "wb").write(os.urandom(5000))
    fails([f"{node.dir}/noise.tar"], "image", "import", *here, f"{node.dir}/noise.tar")
    node.apply(pod("tools"))
    node.ready("tools")
    fails(["used by"], "image", "rm", *here, "localhost/busybox:e2e")
    code, out, errors = node.swiftlet("exec", "tools", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    expect((code, out, errors) == (7, "out\n", "err\n"), (code, out, errors))
    node.out("delete", "pod", "tools", "--now")


@test
def agent_without_a_cluster(_):
    node = Node(7)

    def agent(kubeconfig):
        return [f"{BIN}/swiftlet", "agent", *node.options(), "--log-dir", node.logs, "--kubeconfig", kubeconfig, "--interface-prefix", node.prefix,
                "--kubelet-port", str(node.kubelet_port), "--allow-missing-controllers"]
    refused(node, f"{node.dir}/nothing", "cannot be read", command=agent(f"{node.dir}/nothing"))
    for text, words in (("not: [yaml", ["YAML"]), ("{}", ["current-context"]), ("current-context: a\n", ['context "a"'])):
        open(f"{node.dir}/bad", "w").write(text)
        refused(node, f"{node.dir}/bad", *words, command=agent(f"{node.dir}/bad"))
    expect(not os.path.exists(node.data), "a refusal made the data directory")
    shutil.rmtree(node.dir)


@test
def down_under_running_pods(_):
    """Pods are stopped by TERM, their mounts go, and of the folders only what is not Swiftlet's stays."""
    node = Node(7)
    before = Host.picture()
    node.start()
    node.image()
    volume = dict(volumes=[dict(name="m", emptyDir=dict(medium="Memory"))])
    node.apply(pod("full", container=dict(volumeMounts=[dict(name="m", mountPath="/m")]), **volume))
    farewell = ["sh", "-c", f"trap 'echo goodbye >/host/farewell; exit 0' TERM; while :; do sleep 3600 & wait; done"]
    node.apply(pod("polite", farewell, container=dict(volumeMounts=[dict(name="h", mountPath="/host")]),
                   volumes=[dict(name="h", hostPath=dict(path=node.dir))]))
    node.ready("full", "polite")
    for folder in (node.data, node.logs):
        open(f"{folder}/somebody-elses", "w").close()
    node.stop()
    code, out, errors = sh(f"{BIN}/swiftlet", "down", "--data-dir", node.data)
    expect("stopped 2 pods" in out and not errors, out + errors)
    expect(open(f"{node.dir}/farewell").read() == "goodbye\n", "the pod was not stopped by TERM")
    expect(not [m for m in Host.picture()["mounts"] if m.startswith(node.dir)], "mounts are left")
    difference = [d for d in Host.difference(before, Host.picture()) if not d.startswith("mounts")]
    expect(not difference, f"the host changed: {difference}")
    # The data are kept: what ran runs again.
    node.start()
    node.ready("full", "polite")
    node.stop()
    code, out, errors = sh(f"{BIN}/swiftlet", "down", "--purge", "--data-dir", node.data)
    expect(out.count("stays") == 2 and not errors, out + errors)
    expect(os.listdir(node.data) == ["somebody-elses"] and os.listdir(node.logs) == ["somebody-elses"], f"{os.listdir(node.data)} {os.listdir(node.logs)}")
    expect(not os.path.exists(node.run) and not os.path.exists(node.kubeconfig), "the run directory or the kubeconfig is left")
    expect(not Host.difference(before, Host.picture()), f"the host changed: {Host.difference(before, Host.picture())}")
    shutil.rmtree(node.dir)


@test
def proxy_alone(node):
    """The rules of services kept by `swiftlet proxy`, in a table beside the node's own, read by people, and taken away."""
    table = f"swiftlet-alone-{node.prefix}"
    node.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shown"}, "spec": {
        "type": "NodePort", "sessionAffinity": "ClientIP", "ports": [{"port": 80, "targetPort": 8080}]}})
    node.apply({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "shown-1", "labels": {"kubernetes.io/service-name": "shown"}},
                "addressType": "IPv4", "ports": [{"name": "", "port": 8080}], "endpoints": [{"addresses": ["192.0.2.71"]}, {"addresses": ["192.0.2.72"]}]})
    service = node.json("get", "service", "shown")["spec"]
    command = [f"{BIN}/swiftlet", "proxy", "--table", table, "--kubeconfig", node.kubeconfig, "--node-name", "e2e", "--node-ip", "127.0.0.1", "--cluster-cidr",
               f"10.{200 + node.index}.0.0/16", "--service-cidr", f"10.{220 + node.index}.0.0/16", "--healthz-bind-address", "127.0.0.1:0", "--metrics-bind-address", ""]
    rules = lambda *more: sh(f"{BIN}/swiftlet", "proxy", "rules", "--table", table, *more, check=False)
    code, _, errors = rules()
    expect(code and "there is no table" in errors, errors)
    proxy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wanted = f"{service['clusterIP']}:80/TCP -> 192.0.2.71:8080 192.0.2.72:8080 (a client stays for 10800 s)"
        eventually("the rules", lambda: wanted in rules()[1])
        shown = rules("--kubeconfig", node.kubeconfig)[1].splitlines()
        expect(wanted + "  # default/shown" in shown, shown)
        expect(any(line.startswith(f"node:{service['ports'][0]['nodePort']}/TCP -> ") for line in shown), shown)
        node.out("delete", "endpointslice", "shown-1")
        eventually("no endpoint", lambda: f"{service['clusterIP']}:80/TCP rejects: no endpoint\n" in rules()[1])
    finally:
        proxy.terminate()
        code = proxy.wait(20)
    expect(code == 0, f"ended by SIGTERM with {code}")
    expect("rejects" in rules()[1], "the rules do not outlive the proxy")
    sh(f"{BIN}/swiftlet", "proxy", "remove", "--table", table)
    expect(rules()[0], "the table is still there")
    node.out("delete", "service", "shown")
    for wrong in (["--cluster-cidr", "10.1.0.0"], ["--service-cidr", "10.2.0.0/16,10.3.0.0/16"], ["--healthz-bind-address", "nowhere"]):
        code, _, errors = sh(*command, *wrong, check=False)
        expect(code == 1 and wrong[1].split(",")[0] in errors, f"{wrong}: {code} {errors}")
