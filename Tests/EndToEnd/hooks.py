"""HTTPS servers in Python that people register with the API server: admission and conversion webhooks, an aggregated API."""
import base64, contextlib, http.server, json, os, ssl, threading, time
from harness import *

NAMESPACE = "hooked"


def certificates(node):
    """An authority and a server's certificate for the names that the API server asks for; made once for each run."""
    folder = f"{node.dir}/hooks"
    if not os.path.exists(f"{folder}/server.crt"):
        os.makedirs(folder, exist_ok=True)
        sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hooks-ca", "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.crt")
        sh("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=hooks", "-keyout", f"{folder}/server.key", "-out", f"{folder}/server.csr")
        with open(f"{folder}/names", "w") as file:
            file.write(f"subjectAltName=DNS:hooks.{NAMESPACE}.svc,IP:127.0.0.1\n")
        sh("openssl", "x509", "-req", "-days", "2", "-in", f"{folder}/server.csr", "-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key",
           "-CAcreateserial", "-extfile", f"{folder}/names", "-out", f"{folder}/server.crt")
    return folder


@contextlib.contextmanager
def serving(node, answer, client_authority=None):
    """A server for the time of a test. `answer(method, path, headers, body)` gives (code, JSON). Yields an object with `url`, `service()`,
    `bundle` and `stop()`."""
    folder = certificates(node)
    address = next(a["address"] for a in node.json("get", "node", "e2e")["status"]["addresses"] if a["type"] == "InternalIP")

    open_connections = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def setup(self):
            super().setup()
            open_connections.append(self.connection)

        def reply(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, document = answer(self.command, self.path, self.headers, json.loads(body) if body else None)
            data = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = reply

        def log_message(self, *arguments):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        address_family = __import__("socket").AF_INET

        def handle_error(self, request, client):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/server.crt", f"{folder}/server.key")
    if client_authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_authority)

    class Running:
        def __init__(self):
            self.servers, self.port = [], 0
            for host in ("127.0.0.1", address):
                server = Server((host, self.port), Handler)
                self.port = server.server_address[1]
                # The handshake is each connection's own: one that waits holds up nobody.
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
                threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.05), daemon=True).start()
                self.servers.append(server)
            self.url = f"https://127.0.0.1:{self.port}"
            self.bundle = base64.b64encode(open(f"{folder}/ca.crt", "rb").read()).decode()

        def service(self):
            """The Service `hooks` with this server behind it."""
            node.apply(dict(apiVersion="v1", kind="Service", metadata=dict(name="hooks", namespace=NAMESPACE), spec=dict(ports=[dict(port=443, targetPort=self.port)])))
            node.apply(dict(apiVersion="discovery.k8s.io/v1", kind="EndpointSlice", addressType="IPv4", metadata=dict(
                name="hooks-1", namespace=NAMESPACE, labels={"kubernetes.io/service-name": "hooks"}), ports=[dict(port=self.port)],
                endpoints=[dict(addresses=[address])]))

        def stop(self):
            for server in self.servers:
                server.shutdown()
                server.server_close()
            self.servers = []
            for connection in open_connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(2)

    node.apply(dict(apiVersion="v1", kind="Namespace", metadata=dict(name=NAMESPACE, labels=dict(hooked="yes"))))
    running = Running()
    try:
        yield running
    finally:
        running.stop()
        node.out("delete", "namespace", NAMESPACE, "--timeout=60s", "--ignore-not-found")


def config_map(name, data=None, **labels):
    return dict(apiVersion="v1", kind="ConfigMap", metadata=dict(name=name, namespace=NAMESPACE, labels=labels), data=data or {})


def tried(node, verb, manifest, *options):
    return node.kubectl(verb, *options, "-f", "-", input=json.dumps(manifest), check=False)


@test
def admission_webhooks(node):
    reviews = []

    def answer(method, path, headers, review):
        path, _, query = path.partition("?")
        request = review["request"]
        reviews.append((path, query, request))
        response = dict(uid=request["uid"], allowed=True)
        labels = ((request.get("object") or request.get("oldObject") or {}).get("metadata") or {}).get("labels") or {}
        if path == "/mutate":
            patch = [dict(op="add", path="/metadata/labels/mutated", value="yes")] if labels else []
            response.update(patchType="JSONPatch", patch=base64.b64encode(json.dumps(patch).encode()).decode(), warnings=["the hook was here"])
        elif path == "/slow":
            time.sleep(4)
        elif labels.get("refused"):
            response.update(allowed=False, status=dict(message="not this one", code=418, reason="Teapot"))
        return 200, dict(apiVersion="admission.k8s.io/v1", kind="AdmissionReview", response=response)

    def hook(name, client, operations=("CREATE", "UPDATE"), **more):
        return dict(dict(name=name, clientConfig=client, sideEffects="None", admissionReviewVersions=["v1"], timeoutSeconds=5,
                         namespaceSelector=dict(matchLabels=dict(hooked="yes")), objectSelector=dict(matchExpressions=[dict(key="plain", operator="DoesNotExist")]),
                         rules=[dict(apiGroups=[""], apiVersions=["v1"], resources=["configmaps"], operations=list(operations))]), **more)

    def register(client, **more):
        group = "admissionregistration.k8s.io/v1"
        node.apply(dict(apiVersion=group, kind="MutatingWebhookConfiguration", metadata=dict(name="e2e"), webhooks=[hook("change.example.com", client("/mutate"))]))
        node.apply(dict(apiVersion=group, kind="ValidatingWebhookConfiguration", metadata=dict(name="e2e"), webhooks=[
            hook("deny.example.com", client("/validate"), ("CREATE", "UPDATE", "DELETE"), **more)]))

    with serving(node, answer) as server:
        try:
            server.service()
            by_url = lambda path: dict(url=server.url + path, caBundle=server.bundle)
            by_service = lambda path: dict(service=dict(name="hooks", namespace=NAMESPACE, path=path, port=443), caBundle=server.bundle)
            for index, client in enumerate((by_url, by_service)):
                register(client)
                fresh = lambda: node.kubectl("create", "-f", "-", "--dry-run=server", "-o", "json", input=json.dumps(config_map("probe", a="b")))[1]
                eventually("the webhook changes objects", lambda: "mutated" in fresh(), 20)
                reviews.clear()
                code, out, err = tried(node, "create", config_map(f"c{index}", a="b"))
                expect(code == 0 and "Warning: the hook was here" in err, f"{out}{err}")
                expect(node.json("get", "configmap", f"c{index}", "-n", NAMESPACE)["metadata"]["labels"] == dict(a="b", mutated="yes"), "the change was not kept")
                expect([r[0] for r in reviews] == ["/mutate", "/validate"] and all(r[1] == "timeout=5s" for r in reviews), f"{[r[:2] for r in reviews]}")
                seen = reviews[1][2]
                expect(seen["object"]["metadata"]["labels"].get("mutated") == "yes" and seen["operation"] == "CREATE" and seen["namespace"] == NAMESPACE
                       and seen["resource"] == dict(group="", version="v1", resource="configmaps") and "system:masters" in seen["userInfo"]["groups"]
                       and seen["options"]["kind"] == "CreateOptions" and seen.get("dryRun") is False, f"{seen}")
                code, _, err = tried(node, "create", config_map("bad", refused="yes"))
                expect(code != 0 and 'admission webhook "deny.example.com" denied the request: not this one' in err, err)
                # What a selector leaves out nobody looks at.
                expect(tried(node, "create", config_map(f"plain{index}", plain="yes", refused="yes"))[0] == 0, "the object selector is not kept")
                reviews.clear()
                node.out("label", "configmap", f"c{index}", "-n", NAMESPACE, "a=c", "--overwrite")
                expect([(r[0], r[2]["operation"], r[2]["oldObject"]["metadata"]["labels"]["a"]) for r in reviews] == [("/mutate", "UPDATE", "b"), ("/validate", "UPDATE", "b")], "the update")
                reviews.clear()
                node.out("delete", "configmap", f"c{index}", "-n", NAMESPACE)
                expect([(r[0], r[2]["operation"], r[2]["object"]) for r in reviews] == [("/validate", "DELETE", None)], f"{reviews}")
                reviews.clear()
            # Conditions in CEL decide before anybody is called.
            register(by_url, matchConditions=[dict(name="others", expression="object != null && object.metadata.name != 'spared'")])
            eventually("a spared object passes", lambda: tried(node, "create", config_map("spared", refused="yes"), "--dry-run=server")[0] == 0, 20)
            expect(tried(node, "create", config_map("other", refused="yes"))[0] != 0, "the condition lets all pass")
            code, _, err = tried(node, "apply", dict(apiVersion="admissionregistration.k8s.io/v1", kind="ValidatingWebhookConfiguration", metadata=dict(name="e2e"), webhooks=[
                hook("deny.example.com", by_url("/validate"), matchConditions=[dict(name="broken", expression="... [] bad expression")])]))
            expect(code != 0 and "compilation failed" in err, err)
            # One that is slow is given up, and its policy decides.
            node.out("delete", "mutatingwebhookconfiguration", "e2e")
            register_one = lambda **more: node.apply(dict(apiVersion="admissionregistration.k8s.io/v1", kind="ValidatingWebhookConfiguration", metadata=dict(name="e2e"),
                                                          webhooks=[hook("deny.example.com", by_url("/slow"), **dict(dict(timeoutSeconds=1), **more))]))
            register_one()
            refused = lambda: tried(node, "create", config_map("slow"), "--dry-run=server")
            err = eventually("the slow one is waited for", lambda: (lambda r: r[2] if r[0] else None)(refused()), 20)
            expect('failed calling webhook "deny.example.com"' in err and "/slow?timeout=1s" in err and "context deadline exceeded" in err, err)
            register_one(failurePolicy="Ignore")
            eventually("failures are ignored", lambda: refused()[0] == 0, 20)
            server.stop()
            register_one()
            err = eventually("a webhook that is not there refuses", lambda: (lambda r: r[2] if r[0] else None)(refused()), 20)
            expect('failed calling webhook "deny.example.com": failed to call webhook: Post "https://127.0.0.1:' in err, err)
        finally:
            node.kubectl("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "e2e", "--ignore-not-found", check=False)


@test
def conversion_webhooks(node):
    """v1 has `address: host:port`, v2 has both apart; objects move from one stored form to the other."""
    calls = []

    def convert(thing, version):
        spec = thing["spec"]
        if version.endswith("/v2") and "address" in spec:
            host, port = spec.pop("address").split(":")
            spec.update(host=host, port=int(port))
        elif version.endswith("/v1") and "host" in spec:
            spec["address"] = f"{spec.pop('host')}:{spec.pop('port')}"
        return dict(thing, apiVersion=version)

    def answer(method, path, headers, review):
        request = review["request"]
        calls.append((request["desiredAPIVersion"], len(request["objects"])))
        broken = any(o["metadata"]["name"] == "broken" for o in request["objects"])
        result = dict(status="Failure", message="no way") if broken else dict(status="Success")
        objects = [] if broken else [convert(o, request["desiredAPIVersion"]) for o in request["objects"]]
        return 200, dict(apiVersion="apiextensions.k8s.io/v1", kind="ConversionReview", response=dict(uid=request["uid"], result=result, convertedObjects=objects))

    text, number = dict(type="string"), dict(type="integer")
    schema = lambda **fields: dict(openAPIV3Schema=dict(type="object", properties=dict(spec=dict(type="object", properties=fields))))

    def definition(server, stored, served=("v1", "v2")):
        return dict(apiVersion="apiextensions.k8s.io/v1", kind="CustomResourceDefinition", metadata=dict(name="places.example.net"), spec=dict(
            group="example.net", scope="Namespaced", names=dict(plural="places", singular="place", kind="Place"),
            conversion=dict(strategy="Webhook", webhook=dict(conversionReviewVersions=["v1"], clientConfig=dict(
                service=dict(name="hooks", namespace=NAMESPACE, path="/convert", port=443), caBundle=server.bundle))),
            versions=[dict(name="v1", served="v1" in served, storage=stored == "v1", schema=schema(address=text)),
                      dict(name="v2", served="v2" in served, storage=stored == "v2", schema=schema(host=text, port=number))]))

    def place(name, version, **spec):
        return dict(apiVersion=f"example.net/{version}", kind="Place", metadata=dict(name=name, namespace=NAMESPACE), spec=spec)

    with serving(node, answer) as server:
        get = lambda version, name="": json.loads(node.out("get", "--raw", f"/apis/example.net/{version}/namespaces/{NAMESPACE}/places" + (f"/{name}" if name else "")))
        try:
            server.service()
            node.apply(definition(server, "v1"))
            node.out("wait", "--for=condition=Established", "crd/places.example.net", "--timeout=20s")
            eventually("v2 is served", lambda: node.kubectl("get", "--raw", f"/apis/example.net/v2/namespaces/{NAMESPACE}/places", check=False)[0] == 0)
            eventually("places can be made", lambda: tried(node, "create", place("a", "v1", address="h:1"))[0] == 0)
            expect(tried(node, "create", place("b", "v2", host="k", port=2))[0] == 0, "a place of the other version")
            expect(get("v2", "a")["spec"] == dict(host="h", port=1) and get("v1", "b")["spec"] == dict(address="k:2"), "one object in both versions")
            listed = get("v2")
            expect([i["spec"] for i in listed["items"]] == [dict(host="h", port=1), dict(host="k", port=2)] and all(i["apiVersion"] == "example.net/v2" for i in listed["items"]), f"{listed}")
            expect(("example.net/v2", 2) in calls, f"a list is one call: {calls}")
            node.out("patch", "places.v2.example.net", "a", "-n", NAMESPACE, "--type=merge", "-p", '{"spec":{"port":7}}')
            expect(get("v1", "a")["spec"] == dict(address="h:7"), "a patch of the version that is not stored")
            # What is stored changes with the next write of each object.
            node.apply(definition(server, "v2"))
            stored = lambda: node.json("get", "crd", "places.example.net")["status"]["storedVersions"]
            eventually("both are stored", lambda: stored() == ["v1", "v2"], 20)
            node.out("replace", "-f", "-", input=node.out("get", "places.v2.example.net", "-n", NAMESPACE, "-o", "json"))
            node.out("patch", "crd", "places.example.net", "--subresource=status", "--type=merge", "-p", '{"status":{"storedVersions":["v2"]}}')
            expect(stored() == ["v2"], f"{stored()}")
            node.apply(definition(server, "v2", served=("v2",)))
            eventually("v1 is gone", lambda: node.kubectl("get", "--raw", f"/apis/example.net/v1/namespaces/{NAMESPACE}/places", check=False)[0] != 0, 20)
            calls.clear()
            expect([i["spec"]["port"] for i in get("v2")["items"]] == [7, 2] and not calls, f"what is stored as v2 needs no conversion: {calls}")
            # A conversion that fails is told.
            node.apply(definition(server, "v2"))
            eventually("v1 is served again", lambda: node.kubectl("get", "--raw", f"/apis/example.net/v1/namespaces/{NAMESPACE}/places", check=False)[0] == 0, 20)
            code, _, err = tried(node, "create", place("broken", "v1", address="x:1"))
            expect(code != 0 and "conversion webhook for example.net/v1, Kind=Place failed" in err and "no way" in err, err)
        finally:
            node.kubectl("delete", "crd", "places.example.net", "--ignore-not-found", "--timeout=30s", check=False)


@test
def aggregated_servers(node):
    group, version = "wardle.example.com", "v1alpha1"
    seen = []

    def answer(method, path, headers, body):
        path = path.partition("?")[0]
        if path == f"/apis/{group}/{version}":
            return 200, dict(kind="APIResourceList", apiVersion="v1", groupVersion=f"{group}/{version}", resources=[
                dict(name="flunders", singularName="flunder", namespaced=True, kind="Flunder", shortNames=["fl"], verbs=["get", "list", "create", "delete"])])
        if path.startswith(f"/apis/{group}/{version}/namespaces/"):
            seen.append((method, path, headers.get("X-Remote-User"), headers.get_all("X-Remote-Group"), headers.get("Authorization")))
            if method == "GET":
                return 200, dict(kind="FlunderList", apiVersion=f"{group}/{version}", metadata=dict(resourceVersion="1"), items=[
                    dict(kind="Flunder", apiVersion=f"{group}/{version}", metadata=dict(name="one", namespace="default"))])
            return 201, body
        return 404, dict(kind="Status", apiVersion="v1", status="Failure", reason="NotFound", code=404, message="no such path")

    trusted = node.json("get", "configmap", "extension-apiserver-authentication", "-n", "kube-system")["data"]
    expect(json.loads(trusted["requestheader-username-headers"]) == ["X-Remote-User"], f"{trusted}")
    name = f"{version}.{group}"
    condition = lambda: next((c for c in node.json("get", "apiservice", name)["status"].get("conditions", []) if c["type"] == "Available"), {})
    with serving(node, answer, client_authority=trusted["requestheader-client-ca-file"]) as server:
        try:
            service = dict(apiVersion="apiregistration.k8s.io/v1", kind="APIService", metadata=dict(name=name), spec=dict(
                group=group, version=version, groupPriorityMinimum=2000, versionPriority=15, caBundle=server.bundle, service=dict(name="hooks", namespace=NAMESPACE, port=443)))
            node.apply(service)
            eventually("it is not available without a Service", lambda: (condition().get("status"), condition().get("reason")) == ("False", "ServiceNotFound"), 30)
            server.service()
            eventually("it is available", lambda: (condition().get("status"), condition().get("reason")) == ("True", "Passed"), 40)
            eventually("its resources are known", lambda: "flunders" in node.out("api-resources", f"--api-group={group}"), 20)
            expect(node.out("get", "flunders", "-o", "name").split() == [f"flunder.{group}/one"], "kubectl get")
            method, path, user, groups, token = seen[-1]
            expect((method, path, token) == ("GET", f"/apis/{group}/{version}/namespaces/default/flunders", None) and user and "system:masters" in groups, f"{seen[-1]}")
            # Who acts as somebody else is that one there as well, and nobody says by himself who he is.
            count = len(seen)
            node.kubectl("get", "--raw", f"/apis/{group}/{version}/namespaces/default/flunders", "--as=jane", "--as-group=dev", check=False)
            expect(all(s[2] == "jane" and "system:masters" not in s[3] for s in seen[count:]), f"{seen[count:]}")
            tried(node, "create", dict(apiVersion=f"{group}/{version}", kind="Flunder", metadata=dict(name="two", namespace="default")), "--validate=false")
            expect(seen[-1][0] == "POST", f"{seen[-1]}")
            groups = json.loads(node.out("get", "--raw", "/apis"))["groups"]
            expect(any(g["name"] == group and g["preferredVersion"]["version"] == version for g in groups), "the group is not in discovery")
            # It wants to see a certificate of the front proxy.
            code, _, err = sh("curl", "-sS", "-k", f"{server.url}/apis/{group}/{version}", check=False)
            expect(code != 0, "strangers get in")
            server.stop()
            eventually("it is no longer available", lambda: condition().get("status") == "False" and condition().get("reason") == "FailedDiscoveryCheck", 60)
            code, _, err = node.kubectl("get", "--raw", f"/apis/{group}/{version}/namespaces/default/flunders", check=False)
            expect(code != 0, "a server that is not there answers")
        finally:
            node.kubectl("delete", "apiservice", name, "--ignore-not-found", check=False)
    eventually("the group is gone", lambda: group not in node.out("get", "--raw", "/apis"), 20)
