"""What people type, with kubectl of seven versions: they are answered alike, and as they expect."""
import glob, json, os, re, shutil
from harness import *

NAMESPACE = "typed"


def versions():
    """The versions of kubectl that are installed beside the one on the path; empty: that one alone."""
    folder = os.path.dirname(os.path.realpath(shutil.which("kubectl")))
    return sorted((os.path.basename(p).removeprefix("kubectl.") for p in glob.glob(f"{folder}/kubectl.1.*")), key=lambda v: int(v.split(".")[1])) or [None]


def objects():
    labels = dict(app="web")
    template = pod("web")["spec"]
    return [
        dict(apiVersion="v1", kind="Namespace", metadata=dict(name=NAMESPACE)),
        dict(apiVersion="apps/v1", kind="Deployment", metadata=dict(name="web", labels=labels), spec=dict(
            replicas=1, selector=dict(matchLabels=labels), template=dict(metadata=dict(labels=labels), spec=template))),
        dict(apiVersion="v1", kind="Service", metadata=dict(name="web", labels=labels), spec=dict(selector=labels, ports=[dict(name="http", port=80, targetPort=8080)])),
        dict(apiVersion="v1", kind="ConfigMap", metadata=dict(name="settings", labels=labels), data=dict(a="1", b="two\nlines\n")),
        dict(apiVersion="v1", kind="Secret", metadata=dict(name="hidden"), stringData=dict(password="sesame")),
        dict(apiVersion="batch/v1", kind="CronJob", metadata=dict(name="nightly"), spec=dict(schedule="0 3 * * *", jobTemplate=dict(spec=dict(
            template=dict(spec=dict(template, restartPolicy="Never")))))),
    ]


# (the command, what has to stand in the output); every version prints the same but for ages and for what is named in SAME_BUT.
TABLE = [
    ("get deployments", r"^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +1/1 +1 +1 "),
    ("get deployments -o wide", r"CONTAINERS +IMAGES +SELECTOR\n.* c +localhost/busybox:e2e +app=web\n"),
    ("get pods -l app=web", r"^NAME +READY +STATUS +RESTARTS +AGE\nweb-\S+ +1/1 +Running +0 "),
    ("get pods -o wide", r"IP +NODE +NOMINATED NODE +READINESS GATES\n.* e2e +<none> +<none>\n"),
    ("get all", r"(?s)pod/web-.*service/web.*deployment\.apps/web.*replicaset\.apps/web-.*cronjob\.batch/nightly"),
    ("get services", r"web +ClusterIP +10\.\S+ +<none> +80/TCP "),
    ("get cronjobs", r"nightly +0 3 \* \* \* +(<none> +)?False +0 +<none> "),
    ("get configmaps settings -o yaml", r"(?s)^apiVersion: v1\ndata:\n  a: \"1\"\n  b: \|\n    two\n    lines\nkind: ConfigMap\nmetadata:\n"),
    ("get configmaps settings -o jsonpath={.data.a}", r"^1$"),
    ("get configmaps settings -o go-template={{.data.a}}", r"^1$"),
    ("get configmaps -o custom-columns=N:.metadata.name,A:.data.a --sort-by=.metadata.name", r"^N +A\nkube-root-ca.crt +<none>\nsettings +1\n$"),
    ("get configmaps,secrets -o name", r"configmap/settings\n(?s:.*)secret/hidden\n"),
    ("get pods --field-selector=status.phase=Pending", None),
    ("get deployments web --show-labels", r"LABELS\n.* app=web\n"),
    ("get deployments -L app", r"APP\n.* web\n"),
    ("describe configmap settings", r"(?s)^Name: +settings\nNamespace: +typed\nLabels: +app=web\nAnnotations: +<none>\n\nData\n====\n.*\na:\n----\n1\n|\n====\na:\n----\n1\n"),
    ("describe secret hidden", r"(?s)Type: +Opaque\n\nData\n====\npassword: +6 bytes"),
    ("describe deployment web", r"(?s)Replicas: +1 desired \| 1 updated \| 1 total \| 1 available \| 0 unavailable.*NewReplicaSet: +web-\S+ \(1/1 replicas created\)"),
    ("describe service web", r"(?s)Selector: +app=web\nType: +ClusterIP\n.*TargetPort: +8080/TCP\nEndpoints: +10\.\S+:8080\n"),
    ("describe pod -l app=web", r"(?s)Node: +e2e/.*Status: +Running\n.*QoS Class: +BestEffort\n"),
    ("describe namespace typed", r"(?s)^Name: +typed\n.*Status: +Active\n\nNo resource quota.\n\nNo LimitRange resource.\n"),
    ("describe cronjob nightly", r"(?s)Schedule: +0 3 \* \* \*\nConcurrency Policy: +Allow\nSuspend: +False\n"),
    ("rollout status deployment/web", r'^deployment "web" successfully rolled out\n$'),
    ("rollout history deployment/web", r"^deployment.apps/web \nREVISION +CHANGE-CAUSE\n1 +<none>\n\n$"),
    ("explain configmap.data", r"(?s)KIND: +ConfigMap\nVERSION: +v1\n"),
    ("explain deployment.spec.strategy.rollingUpdate.maxSurge", r"(?s)FIELD: maxSurge"),
    ("auth can-i create pods", r"^yes\n$"),
    ("auth can-i create pods --as=jane", r"^no\n$"),
    ("auth can-i list nodes --as=system:serviceaccount:typed:default", r"^no\n"),
    ("auth whoami -o jsonpath={.status.userInfo.groups[0]}", r"^system:masters$"),
    ("api-versions", r"(?s)^admissionregistration.k8s.io/v1\n.*apps/v1\n.*\nv1\n$"),
    ("api-resources --api-group=apps -o name", r"controllerrevisions.apps\ndaemonsets.apps\ndeployments.apps\nreplicasets.apps\nstatefulsets.apps\n"),
    ("api-resources --namespaced=false --verbs=list -o name", r"(?s)namespaces\nnodes\npersistentvolumes\n"),
    ("create configmap dry --from-literal=x=y --dry-run=server -o jsonpath={.data}", r'^\{"x":"y"\}$'),
    ("create deployment dry --image=i --dry-run=client -o name", r"^deployment.apps/dry\n$"),
    ("run dry --image=i --dry-run=server -o jsonpath={.status.qosClass}", r"^BestEffort$"),
    ("get --raw /readyz", r"^ok$"),
    ("get --raw /livez?verbose", r"^\[\+\]ping ok\n\[\+\]etcd ok\nlivez check passed\n$"),
    ("get pods nothing-here", r'pods "nothing-here" not found'),
    ("get nonsense", r'the server doesn\'t have a resource type "nonsense"'),
    ("wait deployment/web --for=condition=Available --timeout=10s", r"^deployment.apps/web condition met\n$"),
    ("wait deployment/web --for=jsonpath={.status.readyReplicas}=1 --timeout=10s", r"^deployment.apps/web condition met\n$"),
    ("top node e2e --no-headers", r"^e2e +\d+m "),
    ("events --types=Warning", None),
    ("cluster-info", r"Kubernetes control plane.* is running at .*https://127\.0\.0\.1:"),
    ("version -o json", r'"gitVersion": "v1\.36\.2\+swiftlet"'),
]
# Versions of kubectl word these differently, or they tell what changes from one moment to the next.
OWN_WORDS = ("explain", "version", "top", "events", "describe", "auth can-i list nodes", "api-resources", "cluster-info", "get all", "get cronjobs", "get --raw", "auth whoami")


def plain(text):
    """Without what moves on: ages, and the blanks that depend on their width."""
    text = re.sub(r"\b(\d+[smhd])+\b( ago)?", "AGE", text)
    return re.sub(r"[ \t]+", " ", text)


@test
def commands_of_every_version(node):
    all_objects = objects()
    for manifest in all_objects:
        node.kubectl("apply", "-n", NAMESPACE if manifest["kind"] != "Namespace" else "default", "-f", "-", input=json.dumps(manifest))
    node.out("rollout", "status", "deployment/web", "-n", NAMESPACE, "--timeout=60s")
    eventually("usage was measured", lambda: node.kubectl("top", "node", "e2e", check=False)[0] == 0, 60)
    wrong = []
    for command, expected in TABLE:
        printed = {}
        for version in versions():
            if command.startswith("auth whoami") and version in ("1.27",):
                continue
            code, out, err = node.kubectl(*command.split(" ") if "0 3" not in command else command.split(), "-n", NAMESPACE, check=False, version=version)
            text = out + (err if code else "")
            if expected and not re.search(expected, text, re.M if expected.startswith(r"^NAME") else 0):
                wrong.append(f"kubectl {version} {command}: ({code}) {text[:400]!r} {err[:200]!r}")
            printed.setdefault(plain(text), []).append(version)
        if len(printed) > 1 and not command.startswith(OWN_WORDS):
            wrong.append(f"kubectl {command}: versions differ: " + "; ".join(f"{v}: {t[:300]!r}" for t, v in printed.items()))
    expect(not wrong, f"{len(wrong)} commands: " + "\n".join(wrong))


@test
def changes_by_every_version(node):
    """Each version makes, changes, compares and removes objects of its own; what it leaves in the end is the same."""
    node.kubectl("create", "namespace", NAMESPACE, check=False)
    results = {}
    for version in versions():
        name = "v" + (version or "x").replace(".", "-")
        run = lambda *args, check=True, input=None: node.kubectl(*args, "-n", NAMESPACE, check=check, input=input, version=version)
        manifest = lambda **data: json.dumps(dict(apiVersion="v1", kind="ConfigMap", metadata=dict(name=name, labels=dict(made="here")), data=data))
        said = []
        def say(*args, **kw):
            code, out, err = run(*args, check=False, **kw)
            said.append((code, (out + err).replace(name, "NAME")))
            return code, out, err
        say("apply", "-f", "-", input=manifest(a="1", b="2"))
        say("apply", "-f", "-", input=manifest(a="1", b="2"))
        code, out, _ = run("diff", "-f", "-", check=False, input=manifest(a="9", b="2"))
        expect(code == 1 and '-  a: "1"\n+  a: "9"\n' in out, f"{version} diff: {code} {out}")
        say("apply", "-f", "-", input=manifest(b="2", c="3"))
        expect(json.loads(run("get", "configmap", name, "-o", "json")[1])["data"] == dict(b="2", c="3"), f"{version}: apply does not remove")
        say("label", "configmap", name, "x=y")
        say("label", "configmap", name, "x-")
        say("annotate", "configmap", name, "note=it")
        say("patch", "configmap", name, "--type=json", "-p", '[{"op":"test","path":"/data/b","value":"2"},{"op":"remove","path":"/data/c"}]')
        say("patch", "configmap", name, "--type=merge", "-p", '{"data":{"d":"4"}}')
        say("patch", "configmap", name, "--type=strategic", "-p", '{"data":{"e":"5"}}')
        say("patch", "configmap", name, "--type=json", "-p", '[{"op":"test","path":"/data/b","value":"no"}]')
        say("apply", "--server-side", "--field-manager=other", "-f", "-", input=manifest(e="6"))
        say("apply", "--server-side", "--force-conflicts", "--field-manager=other", "-f", "-", input=manifest(e="6"))
        say("apply", "-f", "-", input=manifest(b="2").replace('"data"', '"nonsense":{},"data"'))
        said[-1] = (said[-1][0], "unknown field" in said[-1][1])
        expect(said[-1] == (1, True), f"{version}: an unknown field passes")
        token = run("create", "token", "default", "--duration=20m")[1]
        expect(token.count(".") == 2, f"{version}: token {token}")
        say("get", "configmap", name, "-o", "jsonpath={.data}")
        say("delete", "configmap", name)
        results[version] = said
    first, *rest = results
    for version in rest:
        for a, b in zip(results[first], results[version]):
            # kubectl 1.27 says "annotate".
            expect(plain(str(a)).replace("annotate\\n", "annotated\\n") == plain(str(b)), f"kubectl {first} and {version} differ: {a} and {b}")
    # kubectl's server-side apply takes over what its client-side apply set, and so removes what is not in the new configuration.
    expect(results[first][-2] == (0, '{"d":"4","e":"6"}'), f"{results[first][-2]}")
    node.out("delete", "namespace", NAMESPACE, "--timeout=90s")
