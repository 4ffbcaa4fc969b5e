"""The API beyond pods, with the real kubectl: custom resources, admission, access, quotas, webhooks that run in pods."""
import base64, json, os, subprocess, tempfile
from harness import *

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec, description: when it runs}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    selectableFields:
    - jsonPath: .spec.image
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [cronSpec]
            properties:
              cronSpec: {type: string, pattern: '^(\\\\d+|\\\\*)(/\\\\d+)?(\\\\s+(\\\\d+|\\\\*)(/\\\\d+)?){4}$', description: The time in cron's form.}
              image: {type: string, default: busybox}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
          status:
            type: object
            properties:
              replicas: {type: integer}
""".replace("\\\\", "\\")


def tab(name, **spec):
    return dict(apiVersion="stable.example.com/v1", kind="CronTab", metadata=dict(name=name), spec=dict(dict(cronSpec="* * * * */5"), **spec))


def refused_with(node, text, *args, **kw):
    code, out, err = node.kubectl(*args, check=False, **kw)
    expect(code != 0, f"kubectl {' '.join(args)} was let through: {out}")
    expect(text in err, f"kubectl {' '.join(args)}: {err}")


@test
def custom_resources(node):
    node.apply(CRD)
    node.out("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=10s")
    node.apply(tab("one", replicas=3))
    expect("one" in node.out("get", "ct") and "SPEC" in node.out("get", "crontabs"), "no columns")
    one = node.json("get", "ct", "one")
    expect(one["spec"]["image"] == "busybox", f"no default: {one['spec']}")
    refused_with(node, "spec.replicas: Invalid value: 11", "apply", "-f", "-", input=json.dumps(tab("bad", replicas=11)))
    refused_with(node, "spec.cronSpec: Invalid value", "apply", "-f", "-", input=json.dumps(tab("bad", cronSpec="never")))
    refused_with(node, 'unknown field "spec.other"', "create", "-f", "-", input=json.dumps(tab("bad", other=1)))
    node.out("scale", "ct/one", "--replicas=5")
    expect(node.json("get", "ct", "one")["spec"]["replicas"] == 5, "scale did nothing")
    node.out("patch", "ct", "one", "--type=merge", "-p", '{"spec":{"image":"nginx"}}')
    expect(node.out("get", "ct", "--field-selector", "spec.image=nginx", "-o", "name").strip() == "crontab.stable.example.com/one", "field selector")
    expect(node.out("get", "ct", "--field-selector", "spec.image=busybox", "-o", "name").strip() == "", "field selector")
    node.out("patch", "ct", "one", "--type=merge", "--subresource=status", "-p", '{"status":{"replicas":5}}')
    one = node.json("get", "ct", "one")
    expect(one["status"] == {"replicas": 5} and one["metadata"]["generation"] == 3, f"{one}")
    node.out("apply", "--server-side", "--field-manager=other", "-f", "-", input=json.dumps(tab("one", cronSpec="1 * * * *")), check=False)
    refused_with(node, "conflict", "apply", "--server-side", "--field-manager=third", "-f", "-", input=json.dumps(tab("one", cronSpec="2 * * * *")))
    explained = eventually("explain knows the kind", lambda: node.kubectl("explain", "crontab.spec", check=False)[1], 10)
    expect("The time in cron's form." in explained, explained)
    expect("crontabs" in node.out("api-resources", "--api-group=stable.example.com"), "not discovered")
    expect("one" in node.out("get", "all"), "category all")
    node.out("delete", "crd", "crontabs.stable.example.com", "--timeout=20s")
    refused_with(node, "could not find the requested resource", "get", "ct")


@test
def access_by_role(node):
    node.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "roles"}})
    node.out("create", "serviceaccount", "reader", "-n", "roles")
    node.out("create", "role", "see", "--verb=get,list", "--resource=pods", "-n", "roles")
    node.out("create", "rolebinding", "see", "--role=see", "--serviceaccount=roles:reader", "-n", "roles")
    who = "--as=system:serviceaccount:roles:reader"
    expect(node.out("auth", "can-i", "list", "pods", "-n", "roles", who).strip() == "yes", "may not list")
    expect(node.kubectl("auth", "can-i", "delete", "pods", "-n", "roles", who, check=False)[1].strip() == "no", "may delete")
    refused_with(node, 'User "system:serviceaccount:roles:reader" cannot list resource "pods" in API group "" in the namespace "default"', "get", "pods", who)
    token = node.out("create", "token", "reader", "-n", "roles").strip()
    server = f"https://127.0.0.1:{node.port}"
    code, out, err = sh("kubectl", f"--server={server}", "--insecure-skip-tls-verify", f"--token={token}", "get", "pods", "-n", "roles",
                        env=dict(node.env, KUBECONFIG="/dev/null"), check=False)
    expect(code == 0, f"the token is refused: {err}")
    node.out("delete", "namespace", "roles", "--timeout=30s")


@test
def pods_use_their_account(node):
    node.out("create", "rolebinding", "default-view", "--clusterrole=view", "--serviceaccount=default:default")
    node.apply(pod("caller", ["sh", "-c", "T=/var/run/secrets/kubernetes.io/serviceaccount; cat $T/namespace; test -s $T/token && test -s $T/ca.crt && echo ' has its account'; sleep 3600"]))
    node.ready("caller")
    eventually("the pod's files", lambda: "default has its account" in node.out("logs", "caller"), 10)
    token = node.out("exec", "caller", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token").strip()
    code, out, err = sh("kubectl", f"--server=https://127.0.0.1:{node.port}", "--insecure-skip-tls-verify", f"--token={token}", "get", "pod", "caller",
                        "-o", "name", env=dict(node.env, KUBECONFIG="/dev/null"), check=False)
    expect(out.strip() == "pod/caller", f"a pod's token: {err}")
    node.out("delete", "pod", "caller", "--now")
    eventually("a pod that is gone has no voice", lambda: sh(
        "kubectl", f"--server=https://127.0.0.1:{node.port}", "--insecure-skip-tls-verify", f"--token={token}", "get", "pods",
        env=dict(node.env, KUBECONFIG="/dev/null"), check=False)[0] != 0, 10)
    node.out("delete", "rolebinding", "default-view")


@test
def quotas_and_limits(node):
    node.out("create", "namespace", "bounded")
    node.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits", "namespace": "bounded"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}]}})
    node.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota", "namespace": "bounded"},
                "spec": {"hard": {"pods": "2", "requests.cpu": "250m", "count/configmaps": "5"}}})
    eventually("the quota has a status", lambda: "used" in node.json("get", "quota", "quota", "-n", "bounded").get("status", {}), 10)

    def one(name, **kw):
        p = pod(name, **kw)
        p["metadata"]["namespace"] = "bounded"
        return p
    node.apply(one("a"))
    made = node.json("get", "pod", "a", "-n", "bounded")
    expect(made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}, f"{made['spec']['containers'][0]}")
    used = node.json("get", "quota", "quota", "-n", "bounded")["status"]["used"]
    expect(used["pods"] == "1" and used["requests.cpu"] == "100m", f"usage is not right at once: {used}")
    refused_with(node, "maximum cpu usage per Container is 1, but limit is 2", "apply", "-f", "-", input=json.dumps(one("big", container=dict(resources=dict(limits=dict(cpu="2"))))))
    node.apply(one("b"))
    refused_with(node, "exceeded quota: quota, requested: pods=1,requests.cpu=100m, used: pods=2,requests.cpu=200m, limited: pods=2,requests.cpu=250m",
                 "apply", "-f", "-", input=json.dumps(one("c")))
    node.out("delete", "pod", "a", "-n", "bounded", "--now")
    eventually("what went is given back", lambda: node.json("get", "quota", "quota", "-n", "bounded")["status"]["used"]["pods"] == "1", 10)
    node.out("delete", "namespace", "bounded", "--timeout=30s")


@test
def pod_security(node):
    node.out("create", "namespace", "strict")
    node.out("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    p = pod("p")
    p["metadata"]["namespace"] = "strict"
    refused_with(node, 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false', "apply", "-f", "-", input=json.dumps(p))
    p["spec"]["securityContext"] = dict(runAsNonRoot=True, runAsUser=1000, seccompProfile=dict(type="RuntimeDefault"))
    p["spec"]["containers"][0]["securityContext"] = dict(allowPrivilegeEscalation=False, capabilities=dict(drop=["ALL"]))
    node.apply(p)
    node.out("wait", "--for=condition=Ready", "pod/p", "-n", "strict", "--timeout=30s")
    node.out("delete", "namespace", "strict", "--timeout=30s")


@test
def proxied_requests(node):
    node.apply(pod("page", ["sh", "-c", "mkdir /w; echo page > /w/index.html; exec httpd -f -p 8080 -h /w"],
                   container=dict(ports=[dict(name="web", containerPort=8080)])))
    node.ready("page")
    node.out("expose", "pod", "page", "--name=page", "--port=80", "--target-port=web")
    base = "/api/v1/namespaces/default"
    expect(node.out("get", "--raw", f"{base}/pods/page:8080/proxy/") == "page\n", "pod by port")
    expect(node.out("get", "--raw", f"{base}/services/page/proxy/") == "page\n", "service")
    expect(node.out("get", "--raw", f"{base}/services/http:page:80/proxy/index.html") == "page\n", "service by scheme and port")
    expect('"healthz"' in node.out("get", "--raw", "/api/v1/nodes/e2e/proxy/healthz") or "ok" in node.out("get", "--raw", "/api/v1/nodes/e2e/proxy/healthz"), "node")
    node.out("delete", "service/page", "pod/page", "--now")


HOOK = """
import http.server, json, ssl, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        bad = request["object"]["metadata"].get("labels", {}).get("bad")
        response = dict(uid=request["uid"], allowed=not bad, status=dict(message="bad is bad"))
        out = json.dumps(dict(apiVersion="admission.k8s.io/v1", kind="AdmissionReview", response=response)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)
    def log_message(self, *arguments): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/cert.pem", sys.argv[1] + "/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@test
def a_webhook(node):
    with tempfile.TemporaryDirectory() as folder:
        sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
           "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem")
        bundle = base64.b64encode(open(f"{folder}/cert.pem", "rb").read()).decode()
        hook = subprocess.Popen(["python3", "-c", HOOK, folder], stdout=subprocess.PIPE, text=True)
        try:
            port = int(hook.stdout.readline())
            node.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "e2e"}, "webhooks": [{
                "name": "hook.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
                "clientConfig": {"url": f"https://localhost:{port}/", "caBundle": bundle},
                "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]}]})

            def judged():
                code, _, err = node.kubectl("create", "--dry-run=server", "-f", "-", check=False, input=json.dumps(
                    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bad", "labels": {"bad": "yes"}}}))
                return code != 0 and 'admission webhook "hook.example.org" denied the request: bad is bad' in err
            eventually("the webhook is asked", judged, 10)
            node.out("create", "configmap", "good")
            hook.terminate()
            hook.wait()
            refused_with(node, 'failed calling webhook "hook.example.org": failed to call webhook', "create", "configmap", "other")
        finally:
            hook.kill()
            hook.wait()
            node.out("delete", "validatingwebhookconfiguration", "e2e", "--ignore-not-found")
            node.out("delete", "configmap", "good", "--ignore-not-found")


RULED = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ranges.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: ranges, singular: range, kind: Range}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            x-kubernetes-validations:
            - {rule: self.low <= self.high, message: low must not be above high}
            - {rule: self.low >= oldSelf.low, message: low may only grow}
            properties:
              low: {type: integer}
              high: {type: integer}
"""


@test
def rules_in_expressions(node):
    def spread(low, high):
        return json.dumps(dict(apiVersion="stable.example.com/v1", kind="Range", metadata=dict(name="r"), spec=dict(low=low, high=high)))
    refused_with(node, "compilation failed", "apply", "-f", "-", input=RULED.replace("self.low <= self.high", "self.low <= self.other"))
    node.apply(RULED)
    node.out("wait", "--for=condition=Established", "crd/ranges.stable.example.com", "--timeout=10s")
    refused_with(node, "low must not be above high", "apply", "-f", "-", input=spread(5, 1))
    node.apply(spread(2, 5))
    refused_with(node, "low may only grow", "apply", "-f", "-", input=spread(1, 5))
    node.out("delete", "crd", "ranges.stable.example.com", "--timeout=20s")


@test
def policies(node):
    node.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "e2e"}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]},
        "variables": [{"name": "size", "expression": "size(object.data)"}],
        "validations": [{"expression": "variables.size <= 2", "messageExpression": "'has ' + string(variables.size) + ' entries, not 2'"}]}})
    node.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "e2e"}, "spec": {
        "policyName": "e2e", "validationActions": ["Deny"], "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}}})
    many = ["create", "configmap", "many", "--from-literal=a=1", "--from-literal=b=2", "--from-literal=c=3", "--dry-run=server"]

    def judged():
        code, _, err = node.kubectl(*many, check=False)
        return code != 0 and "ValidatingAdmissionPolicy 'e2e' with binding 'e2e' denied request: has 3 entries, not 2" in err
    try:
        eventually("the policy is enforced", judged, 10)
        node.out("create", "configmap", "few", "--from-literal=a=1", "--dry-run=server")
        node.out(*many, "-n", "kube-public")
    finally:
        node.out("delete", "validatingadmissionpolicybinding/e2e", "validatingadmissionpolicy/e2e")


@test
def a_long_list_is_whole(node):
    """More objects than the server reads at a time come in one answer, packed for kubectl and plain for others."""
    node.out("create", "namespace", "long")
    items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"m{i}", "namespace": "long"}, "data": {"text": "x" * 300}} for i in range(1_050)]
    node.out("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    wanted = sorted([item["metadata"]["name"] for item in items] + ["kube-root-ca.crt"])
    names = lambda answer: [item["metadata"]["name"] for item in answer["items"]]
    plain = json.loads(node.call("GET", "/api/v1/namespaces/long/configmaps"))
    expect(names(plain) == wanted, f"{len(plain['items'])} of {len(wanted)}")
    packed = names(json.loads(node.out("get", "configmaps", "-n", "long", "--chunk-size=0", "-o", "json")))
    expect(packed == wanted, f"{len(packed)} of {len(wanted)}")
    node.out("delete", "namespace", "long")
