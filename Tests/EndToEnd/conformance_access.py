"""What upstream's conformance tests ask of identities, certificates, addresses, events and devices, and of kubectl beside them."""
import contextlib, datetime, socket, subprocess
from harness import *
from wire import *
from conformance_machinery import namespace, config, holder


@test
def accounts_and_their_tokens(node):
    with namespace(node) as (api, here):
        name, accounts = here.rpartition("/")[2], f"{here}/serviceaccounts"
        api.post(accounts, dict(metadata=dict(name="sa", labels=dict(test="yes"))))
        api.patch(f"{accounts}/sa", dict(automountServiceAccountToken=False), STRATEGIC)
        expect(api.get(f"{accounts}/sa")["automountServiceAccountToken"] is False, "patch")
        expect(api.changed(f"{accounts}/sa", lambda s: s.update(automountServiceAccountToken=True))["automountServiceAccountToken"] is True, "update")
        pod = api.post(f"{here}/pods", holder("bound", serviceAccountName="sa"))
        request = dict(spec=dict(audiences=[], expirationSeconds=600, boundObjectRef=dict(apiVersion="v1", kind="Pod", name="bound", uid=pod["metadata"]["uid"])))
        token = api.post(f"{accounts}/sa/token", request)["status"]
        left = (datetime.datetime.fromisoformat(token["expirationTimestamp"].replace("Z", "+00:00")) - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
        expect(500 < left <= 600, f"it expires in {left} s")
        review = api.post("/apis/authentication.k8s.io/v1/tokenreviews", dict(spec=dict(token=token["token"])))["status"]
        user = review["user"]
        expect(review["authenticated"] is True and user["username"] == f"system:serviceaccount:{name}:sa" and set(user["groups"]) == {"system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{name}"}
               and user["extra"]["authentication.kubernetes.io/pod-name"] == ["bound"] and user["extra"]["authentication.kubernetes.io/pod-uid"] == [pod["metadata"]["uid"]]
               and user["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI="), f"{review}")
        bad = api.post("/apis/authentication.k8s.io/v1/tokenreviews", dict(spec=dict(token=token["token"][:-4] + "AAAA")))["status"]
        expect(not bad.get("authenticated") and bad.get("error"), f"{bad}")
        for wrong, code, text in ((dict(expirationSeconds=10), 422, "may not specify a duration less than 10 minutes"), (dict(boundObjectRef=dict(apiVersion="v1", kind="Pod", name="none")), 404, "not found"),
                                  (dict(boundObjectRef=dict(apiVersion="v1", kind="Pod", name="bound", uid="other")), 409, "UID")):
            api.refused(code, text, "POST", f"{accounts}/sa/token", dict(spec=wrong))
        # The issuer's own documents, read with the token of a pod's account.
        reader = Wire(node, token["token"])
        issuer = api.get("/.well-known/openid-configuration")
        keys = api.get("/openid/v1/jwks")["keys"]
        expect(issuer["jwks_uri"].endswith("/openid/v1/jwks") and keys and all(k["use"] == "sig" for k in keys) and reader.get("/openid/v1/jwks")["keys"] == keys, f"{issuer}")
        claims = json.loads(base64.urlsafe_b64decode(token["token"].split(".")[1] + "=="))
        expect(claims["iss"] == issuer["issuer"] and claims["sub"] == user["username"] and claims["kubernetes.io"]["pod"]["name"] == "bound", f"{claims}")
        expect(reader.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})["status"]["userInfo"]["username"] == user["username"], "who am I")
        api.delete(f"{here}/pods/bound", dict(gracePeriodSeconds=0))
        eventually("the token goes with its pod", lambda: reader.ask("GET", "/openid/v1/jwks").code == 401, 20)
        expect([s["metadata"]["name"] for s in api.get("/api/v1/serviceaccounts?labelSelector=test%3Dyes")["items"]] == ["sa"], "list everywhere")
        api.delete(f"{accounts}?labelSelector=test%3Dyes")
        # The root certificate comes back, and is mended.
        root = f"{here}/configmaps/kube-root-ca.crt"
        was = eventually("the root certificate", lambda: api.ask("GET", root).code == 200 and api.get(root)["data"])
        api.delete(root)
        eventually("it is made anew", lambda: api.ask("GET", root).code == 200 and api.get(root)["data"] == was)
        api.patch(root, dict(data={"ca.crt": "wrong"}))
        eventually("it is mended", lambda: api.get(root)["data"] == was)


@test
def reviews_of_access(node):
    with namespace(node) as (api, here):
        name, reviews = here.rpartition("/")[2], "/apis/authorization.k8s.io/v1"
        asked = dict(resourceAttributes=dict(namespace=name, verb="list", resource="configmaps", version="v1"))
        user = f"system:serviceaccount:{name}:default"
        local = f"{reviews}/namespaces/{name}/localsubjectaccessreviews"
        for path in (f"{reviews}/subjectaccessreviews", local):
            expect(api.post(path, dict(metadata=dict(namespace=name) if path == local else {}, spec=dict(asked, user=user)))["status"]["allowed"] is False, "allowed")
        rbac = here.replace("/api/v1", "/apis/rbac.authorization.k8s.io/v1")
        api.post(f"{rbac}/roles", dict(metadata=dict(name="r"), rules=[dict(apiGroups=[""], resources=["configmaps"], verbs=["list"])]))
        api.post(f"{rbac}/rolebindings", dict(metadata=dict(name="r"), roleRef=dict(apiGroup="rbac.authorization.k8s.io", kind="Role", name="r"), subjects=[dict(kind="ServiceAccount", name="default", namespace=name)]))
        for path in (f"{reviews}/subjectaccessreviews", local):
            eventually("allowed", lambda: api.post(path, dict(metadata=dict(namespace=name) if path == local else {}, spec=dict(asked, user=user)))["status"]["allowed"] is True)
        api.refused(422, "must match metadata.namespace", "POST", local, dict(metadata=dict(namespace=name), spec=dict(dict(resourceAttributes=dict(asked["resourceAttributes"], namespace="other")), user=user)))
        # Whom one acts as, one has the rights of.
        acting = {"Impersonate-User": user, "Impersonate-Group": "system:authenticated"}
        expect(api.ask("GET", f"{here}/configmaps", **acting).code == 200 and api.ask("GET", f"{here}/secrets", **acting).code == 403, "impersonation")
        who = api.do("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, **dict(acting, **{"Impersonate-Uid": "u1", "Impersonate-Extra-scopes": "some"}))["status"]["userInfo"]
        expect(who["username"] == user and who["uid"] == "u1" and who["extra"] == dict(scopes=["some"]), f"{who}")
        rules = api.do("POST", f"{reviews}/selfsubjectrulesreviews", dict(spec=dict(namespace=name)), **acting)["status"]
        expect(any(r["resources"] == ["configmaps"] and r["verbs"] == ["list"] for r in rules["resourceRules"]) and rules["incomplete"] is False, f"{rules}")


@test
def certificates_by_request(node):
    api, path = Wire(node), "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    with tempfile.TemporaryDirectory() as folder:
        sh("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=e2e/CN=e2e-user", "-keyout", f"{folder}/k", "-out", f"{folder}/r")
        request = base64.b64encode(open(f"{folder}/r", "rb").read()).decode()
        spec = dict(request=request, signerName="example.com/e2e-signer", usages=["digital signature", "key encipherment", "client auth"], expirationSeconds=3600)
        made = [api.post(path, dict(metadata=dict(generateName="e2e-example-csr-", labels=dict(csr="e2e")), spec=spec)) for _ in range(2)]
        one = f"{path}/{made[0]['metadata']['name']}"
        expect(made[0]["spec"]["username"] and "system:masters" in made[0]["spec"]["groups"], "who asked is not recorded")
        with api.watch(f"{path}?labelSelector=csr%3De2e", made[1]["metadata"]["resourceVersion"]) as watch:
            api.patch(one, dict(metadata=dict(annotations=dict(patched="true"))))
            api.changed(one, lambda c: c["metadata"]["annotations"].update(updated="true"))
            watch.until("the update", lambda t, o: t == "MODIFIED" and o["metadata"]["annotations"].get("updated") == "true")
        approve = dict(type="Approved", status="True", reason="E2E", message="Set from an e2e test")
        approval = api.patch(f"{one}/approval", dict(metadata=dict(annotations=dict(patchedapproval="true")), status=dict(conditions=[dict(approve, type="ApprovalPatch")])))
        expect(approval["status"]["conditions"][0]["type"] == "ApprovalPatch" and approval["metadata"]["annotations"].get("patchedapproval") == "true", f"{approval}")
        updated = api.changed(f"{one}/approval", lambda c: c["status"]["conditions"].append(approve))
        expect([c["type"] for c in updated["status"]["conditions"]] == ["ApprovalPatch", "Approved"], f"{updated['status']}")
        certificate = base64.b64encode(open(f"{node.data}/pki/ca.crt", "rb").read() if os.path.exists(f"{node.data}/pki/ca.crt") else b"").decode()
        status = api.patch(f"{one}/status", dict(metadata=dict(annotations=dict(patchedstatus="true")), status=dict(certificate=certificate)) if certificate else dict(metadata=dict(annotations=dict(patchedstatus="true"))))
        expect(status["metadata"]["annotations"].get("patchedstatus") == "true" and status["status"].get("certificate", "") == certificate, f"{status}")
        status = api.changed(f"{one}/status", lambda c: c["status"]["conditions"].append(dict(approve, type="StatusUpdate")))
        expect("StatusUpdate" in [c["type"] for c in status["status"]["conditions"]], f"{status['status']}")
        # What is not its business a subresource leaves alone.
        expect("StatusUpdate" in [c["type"] for c in api.get(one)["status"]["conditions"]], "the status")
        api.patch(one, dict(spec=dict(signerName="example.com/other")))
        expect(api.get(one)["spec"]["signerName"] == "example.com/e2e-signer", "the spec can be changed")
        api.delete(one)
        api.delete(f"{path}?labelSelector=csr%3De2e")
        expect(not api.get(f"{path}?labelSelector=csr%3De2e")["items"], "they stay")


@test
def services_change_their_type(node):
    with namespace(node) as (api, here):
        services = f"{here}/services"
        change = lambda name, **spec: api.changed(f"{services}/{name}", lambda s: s["spec"].update(spec))["spec"]
        made = api.post(services, dict(metadata=dict(name="outer"), spec=dict(type="ExternalName", externalName="foo.example.com")))
        expect("clusterIP" not in made["spec"] or not made["spec"]["clusterIP"], f"{made['spec']}")
        spec = change("outer", type="ClusterIP", externalName=None, ports=[dict(port=80, name="http", protocol="TCP")])
        expect(spec["clusterIP"].startswith("10.") and "externalName" not in spec, f"{spec}")
        spec = change("outer", type="NodePort")
        expect(30000 <= spec["ports"][0]["nodePort"] <= 32767, f"{spec}")
        spec = change("outer", type="ExternalName", externalName="foo.example.com")
        expect(not spec.get("clusterIP") and not any("nodePort" in p for p in spec.get("ports", [])), f"{spec}")
        made = api.post(services, dict(metadata=dict(name="port", labels={"test-service-static": "true"}), spec=dict(type="NodePort", ports=[dict(name="http", port=80)])))
        port = made["spec"]["ports"][0]["nodePort"]
        api.refused(422, "provided port is already allocated", "POST", services, dict(metadata=dict(name="same"), spec=dict(type="NodePort", ports=[dict(port=80, nodePort=port)])))
        api.refused(422, "provided IP is already allocated", "POST", services, dict(metadata=dict(name="same"), spec=dict(clusterIP=made["spec"]["clusterIP"], ports=[dict(port=80)])))
        # A status by patch and by update, with its annotations.
        ingress = dict(loadBalancer=dict(ingress=[dict(ip="203.0.113.1")]))
        api.changed(f"{services}/port", lambda s: s["spec"].update(type="LoadBalancer"))
        patched = api.patch(f"{services}/port/status", dict(metadata=dict(annotations=dict(patchedstatus="true")), status=ingress))
        expect(patched["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1" and patched["metadata"]["annotations"]["patchedstatus"] == "true", f"{patched['status']}")
        updated = api.changed(f"{services}/port/status", lambda s: s["status"].update(conditions=[dict(type="StatusUpdate", status="True", reason="E2E", message="Set from e2e test", lastTransitionTime="2026-01-02T03:04:05Z")]))
        expect(updated["status"]["conditions"][0]["type"] == "StatusUpdate", f"{updated['status']}")
        patched = api.patch(f"{services}/port", dict(metadata=dict(labels={"test-service": "patched"})))
        expect(patched["metadata"]["labels"]["test-service"] == "patched", "labels")
        expect(any(s["metadata"]["name"] == "kubernetes" for s in api.get("/api/v1/services")["items"]), "the API's own")
        for i in range(3):
            api.post(services, dict(metadata=dict(name=f"many{i}", labels=dict(many="yes")), spec=dict(ports=[dict(port=80)])))
        api.delete(f"{services}?labelSelector=many%3Dyes")
        expect(not api.get(f"{services}?labelSelector=many%3Dyes")["items"] and len(api.get(services)["items"]) == 2, "deletecollection")


@test
def addresses_of_services(node):
    api, group = Wire(node), "/apis/networking.k8s.io/v1"
    address = api.get("/api/v1/namespaces/default/services/kubernetes")["spec"]["clusterIP"]
    found = api.get(f"{group}/ipaddresses/{address}")
    expect(found["spec"]["parentRef"] == dict(resource="services", namespace="default", name="kubernetes") and found["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"] == "ipallocator.k8s.io", f"{found}")
    own = api.get(f"{group}/servicecidrs/kubernetes")
    expect(any(c["type"] == "Ready" and c["status"] == "True" for c in own["status"]["conditions"]), f"{own}")
    api.refused(422, "field is immutable", "PATCH", f"{group}/ipaddresses/{address}", dict(spec=dict(parentRef=dict(name="other"))), MERGE)
    api.refused(422, "Invalid value", "POST", f"{group}/ipaddresses", dict(metadata=dict(name="not-an-address"), spec=dict(parentRef=dict(resource="services", name="x", namespace="y"))))


@test
def events_in_both_groups(node):
    with namespace(node) as (api, here):
        name = here.rpartition("/")[2]
        new = here.replace("/api/v1", "/apis/events.k8s.io/v1")
        made = api.post(f"{new}/events", dict(metadata=dict(name="new"), eventTime="2026-01-02T03:04:05.000006Z", note="This is new", type="Normal", reason="Test", action="Do",
                                              regarding=dict(kind="Pod", name="p", namespace=name), reportingController="test-controller", reportingInstance="test-node"))
        expect(made["note"] == "This is new" and made["regarding"]["name"] == "p" and made["eventTime"] == "2026-01-02T03:04:05.000006Z", f"{made}")
        old = api.get(f"{here}/events/new")
        expect(old["message"] == "This is new" and old["involvedObject"]["name"] == "p" and old["reportingComponent"] == "test-controller" and old["apiVersion"] == "v1", f"{old}")
        api.post(f"{here}/events", dict(metadata=dict(name="old"), involvedObject=dict(kind="Pod", name="p", namespace=name), reason="Test", message="This is old", type="Warning", source=dict(component="e2e"),
                                        firstTimestamp="2026-01-02T03:04:05Z", lastTimestamp="2026-01-02T03:04:05Z", count=1))
        for path, query, wanted in ((here, "source%3De2e", ["old"]), (new, "reportingController%3Dtest-controller", ["new"]), (here, "involvedObject.name%3Dp,type%3DWarning", ["old"]),
                                    (here, "reason%3DTest", ["new", "old"]), (new, "regarding.name%3Dp", ["new", "old"]), (here, "reportingComponent%3Dtest-controller", ["new"])):
            got = [e["metadata"]["name"] for e in api.get(f"{path}/events?fieldSelector={query}")["items"]]
            expect(sorted(got) == wanted, f"{query}: {got}")
        series = api.patch(f"{new}/events/new", dict(series=dict(count=2, lastObservedTime="2026-01-02T03:04:06.000006Z")), STRATEGIC)
        expect(series["series"] == dict(count=2, lastObservedTime="2026-01-02T03:04:06.000006Z"), f"{series}")
        updated = api.changed(f"{new}/events/new", lambda e: e.update(series=dict(count=100, lastObservedTime="2026-01-02T03:04:07.000006Z")))
        expect(updated["series"]["count"] == 100 and api.get(f"{here}/events/new")["series"]["count"] == 100, f"{updated}")
        # Who wrote what is remembered in the words of the version that it was written in.
        fields = [f for m in updated["metadata"]["managedFields"] for f in m["fieldsV1"]]
        expect("f:note" in fields and "f:message" not in fields, f"{fields}")
        expect(api.patch(f"{here}/events/old", dict(message="changed"))["message"] == "changed" and api.get(f"{new}/events/old")["note"] == "changed", "patch")
        api.delete(f"{new}/events?fieldSelector=reason%3DTest")
        expect(not api.get(f"{here}/events?fieldSelector=reason%3DTest")["items"], "deletecollection")


@test
def devices_by_every_patch(node):
    """DRA's objects, as upstream's test of its API: applied by the server, and patched in three ways, the object and its status."""
    with namespace(node) as (api, here):
        group = "/apis/resource.k8s.io/v1"
        claims = here.replace("/api/v1", group) + "/resourceclaims"
        claim = dict(apiVersion="resource.k8s.io/v1", kind="ResourceClaim", metadata=dict(name="c"), spec=dict(devices=dict(requests=[dict(name="r", exactly=dict(deviceClassName="dc.example.com"))])))
        made = api.do("PATCH", f"{claims}/c?fieldManager=e2e", claim, APPLY)
        exactly = made["spec"]["devices"]["requests"][0]["exactly"]
        expect(exactly["allocationMode"] == "ExactCount" and exactly["count"] == 1, f"{made['spec']}")
        for kind, body in ((STRATEGIC, dict(metadata=dict(labels=dict(a="1")))), (MERGE, dict(metadata=dict(labels=dict(b="2")))), (JSON_PATCH, [dict(op="add", path="/metadata/labels/c", value="3")])):
            api.patch(f"{claims}/c", body, kind)
        expect(api.get(f"{claims}/c")["metadata"]["labels"] == dict(a="1", b="2", c="3"), "labels")
        result = dict(driver="d.example.com", pool="p", device="x", request="r")
        status = dict(allocation=dict(devices=dict(results=[result])), reservedFor=[dict(resource="pods", name="p", uid="u")])
        got = api.do("PATCH", f"{claims}/c/status?fieldManager=e2e-status", dict(apiVersion="resource.k8s.io/v1", kind="ResourceClaim", metadata=dict(name="c"), status=status), APPLY)
        expect(got["status"]["reservedFor"][0]["name"] == "p" and got["status"]["allocation"]["devices"]["results"][0]["pool"] == "p", f"{got}")
        device = dict(driver="d.example.com", pool="p", device="x", conditions=[dict(type="Ready", status="True", reason="R", message="m", lastTransitionTime="2026-01-02T03:04:05Z")])
        got = api.patch(f"{claims}/c/status", dict(status=dict(devices=[device])), STRATEGIC)
        expect(got["status"]["devices"][0]["conditions"][0]["type"] == "Ready", f"{got['status']}")
        got = api.patch(f"{claims}/c/status", [dict(op="add", path="/status/reservedFor/-", value=dict(resource="pods", name="q", uid="v"))], JSON_PATCH)
        expect([r["name"] for r in got["status"]["reservedFor"]] == ["p", "q"], f"{got['status']}")
        got = api.patch(f"{claims}/c/status", dict(status=dict(reservedFor=None)))
        expect("reservedFor" not in got["status"], f"{got['status']}")
        api.refused(422, "field is immutable", "PATCH", f"{claims}/c", dict(spec=dict(devices=dict(requests=[]))), MERGE)
        api.patch(f"{claims}/c/status", dict(status=dict(allocation=None, devices=None)))
        api.delete(f"{claims}/c")
        slices = f"{group}/resourceslices"
        spec = dict(nodeName="none", driver="d.example.com", pool=dict(name="p", generation=1, resourceSliceCount=1), devices=[dict(name="x", attributes=dict(a=dict(string="b"), n=dict(int=3), v=dict(version="1.2.3")), capacity=dict(memory=dict(value="1Gi")))])
        api.post(slices, dict(metadata=dict(name="e2e-slice"), spec=spec))
        expect([s["metadata"]["name"] for s in api.get(f"{slices}?fieldSelector=spec.driver%3Dd.example.com")["items"]] == ["e2e-slice"], "by driver")
        api.delete(f"{slices}/e2e-slice")


@test
def classes_of_runtimes_at_admission(node):
    with namespace(node) as (api, here):
        pod = holder("p", runtimeClassName="none")
        for query in ("", "?dryRun=All"):
            api.refused(403, 'RuntimeClass "none" not found', "POST", f"{here}/pods{query}", pod)
        classes = "/apis/node.k8s.io/v1/runtimeclasses"
        api.post(classes, dict(metadata=dict(name="e2e-heavy"), handler="h", overhead=dict(podFixed=dict(cpu="10m", memory="1Mi")), scheduling=dict(nodeSelector=dict(kind="heavy"))))
        made = api.post(f"{here}/pods", holder("p", runtimeClassName="e2e-heavy"))
        expect(made["spec"]["overhead"] == dict(cpu="10m", memory="1Mi") and made["spec"]["nodeSelector"] == dict(no="node", kind="heavy"), f"{made['spec']}")
        api.delete(f"{here}/pods/p", dict(gracePeriodSeconds=0))
        api.delete(f"{classes}/e2e-heavy")


@test
def kubectl_proxies_replaces_and_scales(node):
    with namespace(node) as (api, here):
        name = here.rpartition("/")[2]
        process = subprocess.Popen(["kubectl", "proxy", "-p", "0", "--disable-filter"], stdout=subprocess.PIPE, env=node.env, text=True, start_new_session=True)
        try:
            port = int(re.search(r":(\d+)", process.stdout.readline()).group(1))
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/api/")
            expect(json.loads(connection.getresponse().read())["versions"] == ["v1"], "kubectl proxy")
        finally:
            process.terminate(), process.wait()
        path = f"{node.dir}/proxy.sock"
        process = subprocess.Popen(["kubectl", "proxy", f"--unix-socket={path}"], stdout=subprocess.DEVNULL, env=node.env, start_new_session=True)
        try:
            def ask():
                with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
                    s.connect(path)
                    s.sendall(b"GET /api/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
                    return b"".join(iter(lambda: s.recv(4096), b""))
            expect(b'"v1"' in eventually("the socket answers", ask), "kubectl proxy at a socket")
        finally:
            process.terminate(), process.wait()
        k = lambda *args, **kw: node.out("-n", name, *args, **kw)
        rc = dict(apiVersion="v1", kind="ReplicationController", metadata=dict(name="rc", labels=dict(app="agnhost")), spec=dict(replicas=0, selector=dict(app="agnhost"), template=dict(
            metadata=dict(labels=dict(app="agnhost")), spec=dict(nodeSelector=dict(no="node"), containers=[dict(name="c", image="i", ports=[dict(containerPort=6379)])]))))
        k("create", "-f", "-", input=json.dumps(rc))
        k("scale", "rc", "rc", "--replicas=2", "--timeout=1m")
        expect(api.get(f"{here}/replicationcontrollers/rc")["spec"]["replicas"] == 2, "scale")
        printed = k("describe", "rc", "rc")
        expect(re.search(r"(?s)Name:\s+rc.*Selector:\s+app=agnhost.*Replicas:\s+\d current / 2 desired.*Pods Status:\s+0 Running / \d Waiting.*Pod Template:.*Image:\s+i", printed), printed)
        k("expose", "rc", "rc", "--name=rm2", "--port=1234", "--target-port=6379")
        k("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
        expect(api.get(f"{here}/services/rm3")["spec"]["selector"] == dict(app="agnhost"), "expose")
        k("run", "solo", "--image=localhost/none:1", '--overrides={"spec":{"nodeSelector":{"no":"node"}}}', "--labels=run=solo", "--restart=Never")
        solo = k("get", "pod", "solo", "-o", "json").replace("localhost/none:1", "localhost/none:2")
        k("replace", "-f", "-", input=solo)
        expect(api.get(f"{here}/pods/solo")["spec"]["containers"][0]["image"] == "localhost/none:2", "replace")
        k("label", "pods", "solo", "testing-label=testing-label-value")
        expect("testing-label-value" in k("get", "pod", "solo", "-L", "testing-label"), "label")
        k("patch", "pod", "solo", "-p", '{"metadata":{"annotations":{"x":"y"}}}')
        expect(re.search(r"(?s)Name:\s+solo.*Namespace:.*Labels:.*run=solo.*Annotations:\s+x: y.*Status:\s+Pending.*Node-Selectors:\s+no=node", k("describe", "pod", "solo")), "describe")
        k("delete", "pod", "solo", "--now")
        for what in ("node/e2e", f"namespace/{name}", "service/rm2"):
            expect("Name:" in k("describe", what), f"describe {what}")
