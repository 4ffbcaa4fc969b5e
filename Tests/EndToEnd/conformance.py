"""Every kind's life as the conformance tests of Kubernetes lead it, in their order and with their requests: found in discovery, made, read,
listed, watched, patched, updated (as JSON and as protobuf), its status and scale written, deleted singly and together."""
from harness import *
from wire import *

SPACE = "conformant"
TEMPLATE = dict(metadata=dict(labels=dict(app="x")), spec=dict(nodeSelector={"no": "such-node"}, containers=[dict(name="c", image="localhost/none:x")]))
SELECTOR = dict(matchLabels=dict(app="x"))
RULE = dict(apiGroups=["apps"], apiVersions=["v1"], operations=["CREATE"], resources=["deployments"])
HOOK = dict(name="h.example.com", sideEffects="None", admissionReviewVersions=["v1"], clientConfig=dict(url="https://127.0.0.1:9/"),
            rules=[dict(apiGroups=["no.example.com"], apiVersions=["v1"], operations=["CREATE"], resources=["nothings"])])
CLAIM = dict(devices=dict(requests=[dict(name="r", exactly=dict(deviceClassName="none.example.com", allocationMode="ExactCount", count=1))]))


def kind(path, namespaced, name=None, status=None, scale=False, create=None, serial=False, **content):
    """`status`: what the status becomes, or None; `create`: what distinguishes the objects of a list, by index."""
    return dict(path=path, namespaced=namespaced, name=name, status=status, scale=scale, content=content, create=create or (lambda index: {}))


def condition(reason):
    return dict(conditions=[dict(type="StatusUpdate", status="True", reason=reason, message="Set from e2e test", lastTransitionTime="2026-01-02T03:04:05Z")])


KINDS = [
    kind("api/v1/configmaps", True, data=dict(a="1")),
    kind("api/v1/secrets", True, stringData=dict(a="1")),
    kind("api/v1/podtemplates", True, template=TEMPLATE),
    kind("api/v1/serviceaccounts", True),
    kind("api/v1/limitranges", True, spec=dict(limits=[dict(type="Container", max=dict(cpu="2"))])),
    kind("api/v1/resourcequotas", True, spec=dict(hard={"count/nothings.example.com": "5"}), status=dict(hard={"count/nothings.example.com": "6"})),
    kind("api/v1/services", True, spec=dict(type="ClusterIP", selector=dict(app="x"), ports=[dict(port=80)]), status=condition("E2E")),
    kind("api/v1/endpoints", True, subsets=[dict(addresses=[dict(ip="10.0.0.24")], ports=[dict(name="http", port=80, protocol="TCP")])]),
    kind("api/v1/replicationcontrollers", True, spec=dict(replicas=0, selector=dict(app="x"), template=TEMPLATE), status=condition("E2E"), scale=True),
    kind("api/v1/pods", True, spec=TEMPLATE["spec"], status=dict(conditions=[dict(type="E2E", status="True")])),
    kind("api/v1/persistentvolumeclaims", True, spec=dict(accessModes=["ReadWriteOnce"], storageClassName="none", resources=dict(requests=dict(storage="1Mi"))), status=condition("E2E")),
    kind("api/v1/persistentvolumes", False, spec=dict(accessModes=["ReadWriteOnce"], capacity=dict(storage="1Mi"), storageClassName="none", hostPath=dict(path="/tmp/none")),
         status=dict(message="StatusUpdate", reason="E2E")),
    kind("api/v1/nodes", False, name="e2e-fake", status=dict(conditions=[dict(type="E2E", status="True")])),
    kind("api/v1/events", True, involvedObject=dict(kind="Pod", name="x", namespace=SPACE), reason="Test", message="m", type="Normal", source=dict(component="c")),
    kind("apis/events.k8s.io/v1/events", True, eventTime="2026-01-02T03:04:05.000006Z", note="n", reason="Test", action="Do", type="Normal", regarding=dict(kind="Pod", name="x", namespace=SPACE),
         reportingController="test-controller", reportingInstance="test-node"),
    kind("apis/apps/v1/deployments", True, spec=dict(replicas=0, selector=SELECTOR, template=TEMPLATE), status=condition("E2E"), scale=True),
    kind("apis/apps/v1/replicasets", True, spec=dict(replicas=0, selector=SELECTOR, template=TEMPLATE), status=condition("E2E"), scale=True),
    kind("apis/apps/v1/statefulsets", True, spec=dict(replicas=0, serviceName="x", selector=SELECTOR, template=TEMPLATE), status=condition("E2E"), scale=True),
    kind("apis/apps/v1/daemonsets", True, spec=dict(selector=SELECTOR, template=TEMPLATE), status=condition("E2E")),
    kind("apis/apps/v1/controllerrevisions", True, revision=1, data=dict(a="1")),
    kind("apis/batch/v1/jobs", True, spec=dict(suspend=True, template=dict(spec=dict(TEMPLATE["spec"], restartPolicy="Never"))), status={}),
    kind("apis/batch/v1/cronjobs", True, spec=dict(schedule="0 0 1 1 *", suspend=True, jobTemplate=dict(spec=dict(template=dict(spec=dict(TEMPLATE["spec"], restartPolicy="Never"))))),
         status=dict(lastScheduleTime="2026-01-02T03:04:05Z")),
    kind("apis/autoscaling/v1/horizontalpodautoscalers", True, spec=dict(maxReplicas=2, scaleTargetRef=dict(kind="Deployment", name="x", apiVersion="apps/v1")), status=dict(desiredReplicas=0)),
    kind("apis/autoscaling/v2/horizontalpodautoscalers", True, spec=dict(maxReplicas=2, scaleTargetRef=dict(kind="Deployment", name="x", apiVersion="apps/v1")), status=dict(desiredReplicas=0)),
    kind("apis/coordination.k8s.io/v1/leases", True, spec=dict(holderIdentity="h", leaseDurationSeconds=30, acquireTime="2026-01-02T03:04:05.000006Z", renewTime="2026-01-02T03:04:05.000006Z", leaseTransitions=0)),
    kind("apis/discovery.k8s.io/v1/endpointslices", True, addressType="IPv4", endpoints=[dict(addresses=["10.1.2.3"], conditions=dict(ready=True))], ports=[dict(name="p", port=80, protocol="TCP")]),
    kind("apis/networking.k8s.io/v1/ingresses", True, spec=dict(defaultBackend=dict(service=dict(name="default-backend", port=dict(number=80)))),
         status=dict(loadBalancer=dict(ingress=[dict(ip="169.1.1.1")]))),
    kind("apis/networking.k8s.io/v1/networkpolicies", True, spec=dict(podSelector={}, policyTypes=["Ingress"])),
    kind("apis/networking.k8s.io/v1/ingressclasses", False, spec=dict(controller="example.com/controller")),
    kind("apis/networking.k8s.io/v1/ipaddresses", False, create=lambda i: dict(metadata=dict(name=f"192.168.1.{i + 1}")), spec=dict(parentRef=dict(resource="services", name="x", namespace="default"))),
    kind("apis/networking.k8s.io/v1/servicecidrs", False, create=lambda i: dict(spec=dict(cidrs=[f"10.9{i}.0.0/24"])), status=condition("E2E")),
    kind("apis/policy/v1/poddisruptionbudgets", True, spec=dict(minAvailable=1, selector=SELECTOR), status=dict(disruptionsAllowed=0, currentHealthy=0, desiredHealthy=1, expectedPods=0)),
    kind("apis/node.k8s.io/v1/runtimeclasses", False, handler="test-handler"),
    kind("apis/scheduling.k8s.io/v1/priorityclasses", False, value=100),
    kind("apis/rbac.authorization.k8s.io/v1/roles", True, rules=[dict(apiGroups=[""], resources=["pods"], verbs=["get"])]),
    kind("apis/rbac.authorization.k8s.io/v1/rolebindings", True, roleRef=dict(apiGroup="rbac.authorization.k8s.io", kind="Role", name="x"), subjects=[dict(kind="User", name="u", apiGroup="rbac.authorization.k8s.io")]),
    kind("apis/rbac.authorization.k8s.io/v1/clusterroles", False, rules=[dict(apiGroups=[""], resources=["pods"], verbs=["get"])]),
    kind("apis/rbac.authorization.k8s.io/v1/clusterrolebindings", False, roleRef=dict(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name="view"), subjects=[dict(kind="User", name="u", apiGroup="rbac.authorization.k8s.io")]),
    kind("apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", False, spec=dict(matchingPrecedence=10000, priorityLevelConfiguration=dict(name="global-default"), distinguisherMethod=dict(type="ByUser"),
         rules=[dict(subjects=[dict(kind="User", user=dict(name="example-e2e-flow-schema"))], nonResourceRules=[dict(nonResourceURLs=["*"], verbs=["*"])])]), status=condition("E2E")),
    kind("apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations", False, spec=dict(type="Limited", limited=dict(nominalConcurrencyShares=2, limitResponse=dict(type="Reject"))), status=condition("E2E")),
    kind("apis/storage.k8s.io/v1/storageclasses", False, provisioner="e2e-fake-provisioner", reclaimPolicy="Delete"),
    kind("apis/storage.k8s.io/v1/csinodes", False, spec=dict(drivers=[])),
    kind("apis/storage.k8s.io/v1/csidrivers", False, spec=dict(attachRequired=False)),
    kind("apis/storage.k8s.io/v1/csistoragecapacities", True, storageClassName="fake", capacity="1Gi"),
    kind("apis/storage.k8s.io/v1/volumeattachments", False, spec=dict(attacher="none.example.com", nodeName="none", source=dict(persistentVolumeName="none")), status=dict(attached=True)),
    kind("apis/storage.k8s.io/v1/volumeattributesclasses", False, driverName="e2e-fake-csi.example.com", parameters=dict(a="b")),
    kind("apis/resource.k8s.io/v1/deviceclasses", False, spec=dict(selectors=[dict(cel=dict(expression='device.driver == "e2e.example.com"'))])),
    kind("apis/resource.k8s.io/v1/resourceclaims", True, spec=CLAIM, status={}),
    kind("apis/resource.k8s.io/v1/resourceclaimtemplates", True, spec=dict(spec=CLAIM)),
    kind("apis/resource.k8s.io/v1/resourceslices", False, create=lambda i: dict(spec=dict(
        nodeName="e2e-none", driver="e2e.example.com", pool=dict(name=f"pool{i}", generation=1, resourceSliceCount=1), devices=[dict(name="d")]))),
    kind("apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", False, webhooks=[HOOK]),
    kind("apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", False, webhooks=[HOOK]),
    kind("apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", False, status=condition("E2E"), spec=dict(
        matchConstraints=dict(namespaceSelector=dict(matchLabels={"no": "namespace"}), resourceRules=[RULE]), validations=[dict(expression="object.spec.replicas <= 100")])),
    kind("apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings", False, spec=dict(policyName="replicalimit-policy.example.com", validationActions=["Deny"])),
    kind("apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies", False, spec=dict(
        reinvocationPolicy="Never", matchConstraints=dict(namespaceSelector=dict(matchLabels={"no": "namespace"}), resourceRules=[RULE]),
        mutations=[dict(patchType="ApplyConfiguration", applyConfiguration=dict(expression="Object{spec: Object.spec{replicas: 1}}"))])),
    kind("apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings", False, spec=dict(policyName="replicalimit-policy.example.com")),
    kind("apis/apiregistration.k8s.io/v1/apiservices", False, create=lambda i: dict(metadata=dict(name=f"v{i + 1}.e2e.example.com"), spec=dict(
        group="e2e.example.com", version=f"v{i + 1}", groupPriorityMinimum=100, versionPriority=10, insecureSkipTLSVerify=True, service=dict(name="none", namespace="default"))), status=condition("E2E")),
    kind("apis/apiextensions.k8s.io/v1/customresourcedefinitions", False, create=lambda i: dict(metadata=dict(name=f"things{i}.e2e.example.com"), spec=dict(
        group="e2e.example.com", scope="Namespaced", names=dict(plural=f"things{i}", singular=f"thing{i}", kind=f"Thing{i}", listKind=f"Thing{i}List"),
        versions=[dict(name="v1", served=True, storage=True, schema=dict(openAPIV3Schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True}))])), status=condition("E2E")),
]


def merged(base, more):
    return {k: merged(base[k], v) if k in base and isinstance(base[k], dict) and isinstance(v, dict) else v for k, v in dict(base, **more).items()}


def discovered(api, path):
    """The entry of a kind and its subresources, by the three documents of discovery."""
    *prefix, version, plural = path.split("/")
    if prefix[0] == "apis":
        group = next((g for g in api.get("/apis")["groups"] if g["name"] == prefix[1]), None)
        expect(group and any(v["version"] == version for v in group["versions"]) and group["preferredVersion"] in group["versions"], f"/apis: {group}")
        expect(api.get(f"/apis/{prefix[1]}") == dict(group, kind="APIGroup", apiVersion="v1"), f"/apis/{prefix[1]}")
    resources = {r["name"]: r for r in api.get("/" + "/".join(prefix + [version]))["resources"]}
    expect(plural in resources, f"{path}: not in discovery")
    return resources[plural], {name.partition("/")[2] for name in resources if name.startswith(plural + "/")}


def life(api, entry):
    plural = entry["path"].rpartition("/")[2]
    found, subresources = discovered(api, entry["path"])
    expect(found["namespaced"] == entry["namespaced"] and {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"} <= set(found["verbs"]), f"{found}")
    expect((entry["status"] is not None) <= ("status" in subresources) and entry["scale"] <= ("scale" in subresources), f"{subresources}")
    prefix = "/" + entry["path"].rpartition("/")[0]
    everywhere, here = f"{prefix}/{plural}", f"{prefix}/namespaces/{SPACE}/{plural}" if entry["namespaced"] else f"{prefix}/{plural}"
    mark = f"{plural}-{time.time_ns()}"
    label = "labelSelector=special-label%3D" + mark
    version = prefix.removeprefix("/apis/").removeprefix("/api/")

    def body(index):
        metadata = dict(labels={"special-label": mark}, **({"name": entry["name"] + str(index)} if entry["name"] else {"generateName": "e2e-example-"}))
        return merged(dict(apiVersion=version, kind=found["kind"], metadata=metadata, **entry["content"]), entry["create"](index))

    stale = api.get(f"{everywhere}?{label}")
    expect(stale["kind"] == found["kind"] + "List" and stale["apiVersion"] == version and not stale["items"], f"an empty list: {stale}")
    with api.watch(f"{everywhere}?{label}", stale["metadata"]["resourceVersion"]) as watch, api.watch(f"{here}?{label}", stale["metadata"]["resourceVersion"]) as near:
        made = [api.post(here, body(index)) for index in range(3)]
        grows(made[0], made[1], "two creates")
        one = f"{here}/{made[0]['metadata']['name']}"
        if "name" not in body(0)["metadata"]:
            expect(made[0]["metadata"]["name"].startswith("e2e-example-") and len(made[0]["metadata"]["name"]) == 17, f"{made[0]['metadata']}")
        again = dict(body(0), metadata=dict(body(0)["metadata"], name=made[0]["metadata"]["name"]))
        api.refused(409, "already exists", "POST", here, again)
        got = api.get(one)
        expect(got["metadata"]["uid"] == made[0]["metadata"]["uid"] and got["metadata"]["creationTimestamp"], f"{got}")
        for path in (everywhere, here):
            expect(len(api.get(f"{path}?{label}")["items"]) == 3 and len(api.get(f"{path}?{label}&limit=2")["items"]) == 2, f"list of {path}")
        for stream in (watch, near):
            for thing in made:
                expect(stream.until("made", lambda t, o: t == "ADDED")["object"]["metadata"]["name"] == thing["metadata"]["name"], "order of creates")
        patched = api.patch(one, dict(metadata=dict(annotations=dict(patched="true"))))
        grows(made[0], patched, "a patch")
        expect(patched["metadata"]["annotations"]["patched"] == "true", f"{patched}")
        updated = api.changed(one, lambda thing: thing["metadata"]["annotations"].update(updated="true"))
        grows(patched, updated, "an update")
        watch.until("the patch", lambda t, o: t == "MODIFIED" and o["metadata"].get("annotations", {}).get("patched") == "true")
        watch.until("the update", lambda t, o: t == "MODIFIED" and o["metadata"].get("annotations", {}).get("updated") == "true")
        round_trip(api, one)
        strategic = api.patch(one, dict(metadata=dict(labels=dict(strategic="yes"))), STRATEGIC)
        expect(strategic["metadata"]["labels"] == {"special-label": mark, "strategic": "yes"}, f"{strategic['metadata']}")
        removed = api.patch(one, [dict(op="remove", path="/metadata/labels/strategic")], JSON_PATCH)
        expect(removed["metadata"]["labels"] == {"special-label": mark}, f"{removed['metadata']}")
        applied = api.ask("PATCH", f"{one}?fieldManager=e2e&force=true", dict(apiVersion=version, kind=found["kind"], metadata=dict(name=made[0]["metadata"]["name"], labels=dict(applied="yes"))), APPLY)
        expect(applied.code == 200 and applied.json["metadata"]["labels"].get("applied") == "yes", f"apply: {applied.code} {applied.message}")
        # A version that is no longer current, and an identity that never was.
        api.refused(409, "the object has been modified", "PUT", one, dict(got, metadata=dict(got["metadata"], labels=dict(got["metadata"]["labels"], late="yes"))))
        api.refused(409, "the UID in the precondition (none) does not match the UID in record", "DELETE", one, dict(kind="DeleteOptions", apiVersion="v1", preconditions=dict(uid="none")))
        if entry["status"] is not None:
            statuses(api, one, entry, watch)
        if entry["scale"]:
            scales(api, one)
        # One goes alone, the others together.
        api.delete(one, dict(kind="DeleteOptions", apiVersion="v1", gracePeriodSeconds=0))
        gone(api, one)
        gone_event = watch.until("deleted", lambda t, o: t == "DELETED")["object"]
        expect(gone_event["metadata"]["uid"] == made[0]["metadata"]["uid"], f"{gone_event}")
        grows(applied.json, gone_event, "a delete")
        api.delete(f"{here}?{label}&gracePeriodSeconds=0")
        eventually(f"{plural} are gone", lambda: not api.get(f"{everywhere}?{label}")["items"], 20)
        api.refused(404, f'"{made[0]["metadata"]["name"]}" not found', "GET", one)


def gone(api, path):
    """Protected kinds keep a finalizer for a moment."""
    eventually(f"{path} is gone", lambda: api.ask("GET", path).code == 404, 20)


def round_trip(api, path):
    """A typed client reads protobuf and writes the same bytes back; nothing changes."""
    for _ in range(20):
        read = api.ask("GET", path, accept=PROTOBUF)
        if read.headers["Content-Type"] != PROTOBUF:
            expect(read.code == 406, f"{path} as protobuf: {read.code} {read.headers['Content-Type']}")
            return
        written = api.ask("PUT", path, read.data, PROTOBUF, PROTOBUF)
        if written.code != 409:
            expect(written.code == 200, f"{path}: {written.code} {written.data}")
            expect(written.data == read.data, f"{path} changed by its own bytes")
            return
    raise Failed(f"{path}: always a conflict")


# With these a status brings no labels or annotations.
ONLY_STATUS = ("customresourcedefinitions", "apiservices", "resourceclaims", "flowschemas", "prioritylevelconfigurations", "volumeattachments", "validatingadmissionpolicies")


def statuses(api, one, entry, watch):
    status = api.get(f"{one}/status")
    expect(status["metadata"]["name"] == one.rpartition("/")[2], f"{status}")
    patched = api.patch(f"{one}/status", dict(metadata=dict(annotations=dict(patchedstatus="true")), status=entry["status"]))
    contains(patched.get("status", {}), entry["status"], f"{one}/status")
    if not entry["path"].endswith(ONLY_STATUS):
        expect(patched["metadata"]["annotations"].get("patchedstatus") == "true", f"annotations with a status: {patched['metadata']}")
    if entry["status"] and api.get(one).get("status"):
        watch.until("the status", lambda t, o: t == "MODIFIED" and all(k in o.get("status", {}) for k in entry["status"]))
    before = api.get(one)
    api.changed(f"{one}/status", lambda thing: thing["metadata"].setdefault("annotations", {}).update(updatedstatus="true"))
    expect(api.get(one).get("spec") == before.get("spec"), "a status changed the spec")


def contains(whole, part, what):
    if isinstance(part, dict):
        for key, value in part.items():
            expect(key in whole, f"{what}: no {key} in {whole}")
            contains(whole[key], value, what)
    elif isinstance(part, list) and part and isinstance(part[0], dict):
        for value in part:
            expect(any(value.items() <= other.items() for other in whole), f"{what}: {value} not in {whole}")
    else:
        expect(whole == part, f"{what}: {whole}, not {part}")


def scales(api, one):
    scale = api.get(f"{one}/scale")
    expect(scale["kind"] == "Scale" and scale["apiVersion"] == "autoscaling/v1" and scale["spec"].get("replicas", 0) == 0, f"{scale}")
    scale["metadata"].pop("resourceVersion")
    scale["spec"]["replicas"] = 2
    expect(api.put(f"{one}/scale", scale)["spec"]["replicas"] == 2 and api.get(one)["spec"]["replicas"] == 2, "scale by update")
    for kind in (MERGE, STRATEGIC):
        expect(api.patch(f"{one}/scale", dict(spec=dict(replicas=4)), kind)["spec"]["replicas"] == 4, "scale by patch")
    expect(api.get(one)["spec"]["replicas"] == 4, "scale by patch")
    api.patch(f"{one}/scale", dict(spec=dict(replicas=0)))


@test
def every_kind_lives_as_upstreams_tests_want(node):
    api, wrong = Wire(node), []
    api.ask("POST", "/api/v1/namespaces", dict(metadata=dict(name=SPACE)))
    eventually("the namespace is ready", lambda: api.ask("GET", f"/api/v1/namespaces/{SPACE}/serviceaccounts/default").code == 200)
    only = os.environ.get("SWIFTLET_E2E_KINDS")
    for entry in KINDS:
        if only and not entry["path"].endswith(only):
            continue
        try:
            life(api, entry)
        except FAULTS as error:
            api.ask("DELETE", "/" + entry["path"] + "?labelSelector=special-label&gracePeriodSeconds=0")
            wrong.append(f"{entry['path']}: {type(error).__name__} {str(error)[:600]}")
    api.delete(f"/api/v1/namespaces/{SPACE}")
    gone(api, f"/api/v1/namespaces/{SPACE}")
    expect(not wrong, f"{len(wrong)} of {len(KINDS)} kinds:\n" + "\n".join(wrong))
