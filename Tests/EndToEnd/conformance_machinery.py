"""What upstream's conformance tests ask of watches, pages, tables, namespaces and quotas, step by step as they do."""
import contextlib
from harness import *
from wire import *

V1 = "/api/v1"


@contextlib.contextmanager
def namespace(node, labels=None):
    """An API connection and a namespace of its own with its default account, which is gone afterwards."""
    api = Wire(node)
    name = api.post(f"{V1}/namespaces", dict(metadata=dict(generateName="conf-", labels=labels or {})))["metadata"]["name"]
    try:
        eventually("the default account", lambda: api.ask("GET", f"{V1}/namespaces/{name}/serviceaccounts/default").code == 200)
        yield api, f"{V1}/namespaces/{name}"
    finally:
        api.ask("DELETE", f"{V1}/namespaces/{name}")
        eventually(f"{name} is gone", lambda: api.ask("GET", f"{V1}/namespaces/{name}").code == 404, 30)


def config(name, data=None, **labels):
    return dict(metadata=dict(name=name, labels=labels), data=data or {})


@test
def watches_select_by_labels(node):
    with namespace(node) as (api, here):
        maps = f"{here}/configmaps"
        a, b = ("labelSelector=w%3D" + x for x in "AB")
        with api.watch(f"{maps}?{a}") as on_a, api.watch(f"{maps}?{b}") as on_b, api.watch(f"{maps}?labelSelector=w+in+(A,B)") as on_both:
            both = (on_a, on_both)
            api.post(maps, config("one", w="A"))
            for stream in both:
                stream.next("made", "ADDED")
            for step in ("1", "2"):
                api.changed(f"{maps}/one", lambda m: m.update(data=dict(mutation=step)))
                for stream in both:
                    expect(stream.next("changed", "MODIFIED")["data"] == dict(mutation=step), "the change")
            api.delete(f"{maps}/one")
            for stream in both:
                stream.next("deleted", "DELETED")
            api.post(maps, config("two", w="B"))
            api.delete(f"{maps}/two")
            for stream in (on_b, on_both):
                stream.next("made", "ADDED"), stream.next("deleted", "DELETED")
            for stream in (on_a, on_b, on_both):
                stream.none(0.2)


@test
def watches_start_where_another_ended(node):
    with namespace(node) as (api, here):
        maps, change = f"{here}/configmaps", lambda text: api.changed(f"{maps}/m", lambda m: m.update(data=dict(mutation=text)))
        api.post(maps, config("m", w="r"))
        first = change("1")["metadata"]["resourceVersion"]
        second = change("2")["metadata"]["resourceVersion"]
        api.delete(f"{maps}/m")
        with api.watch(f"{maps}?labelSelector=w%3Dr", first) as watch:
            expect(watch.next("changed", "MODIFIED")["metadata"]["resourceVersion"] == second, "another change")
            watch.next("deleted", "DELETED")
        # Started at the version of an event of the watch before, nothing is seen twice and nothing is missed.
        with api.watch(f"{maps}?labelSelector=w%3Dr", api.get(maps)["metadata"]["resourceVersion"]) as watch:
            api.post(maps, config("m", w="r"))
            watch.next("made", "ADDED")
            last = (change("1"), watch.next("changed", "MODIFIED"))[1]["metadata"]["resourceVersion"]
        change("2")
        api.delete(f"{maps}/m")
        with api.watch(f"{maps}?labelSelector=w%3Dr", last) as watch:
            expect(watch.next("changed", "MODIFIED")["data"] == dict(mutation="2"), "the change between")
            watch.next("deleted", "DELETED")


@test
def what_leaves_a_selector_is_deleted_for_its_watcher(node):
    with namespace(node) as (api, here):
        maps = f"{here}/configmaps"
        label = lambda value: api.changed(f"{maps}/m", lambda m: m["metadata"].update(labels=dict(w=value)))
        with api.watch(f"{maps}?labelSelector=w%3Din") as watch:
            api.post(maps, config("m", w="in"))
            watch.next("made", "ADDED")
            api.changed(f"{maps}/m", lambda m: m.update(data=dict(mutation="1")))
            watch.next("changed", "MODIFIED")
            left = label("out")
            seen = watch.next("left", "DELETED")
            expect(seen["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"] and seen["metadata"]["labels"] == dict(w="in"), f"{seen}")
            api.changed(f"{maps}/m", lambda m: m.update(data=dict(mutation="2")))
            watch.none(0.3)
            label("in")
            expect(watch.next("back", "ADDED")["data"] == dict(mutation="2"), "the state")
            api.changed(f"{maps}/m", lambda m: m.update(data=dict(mutation="3")))
            watch.next("changed", "MODIFIED")
            api.delete(f"{maps}/m")
            expect(watch.next("deleted", "DELETED")["data"] == dict(mutation="3"), "the last state")


@test
def all_watchers_see_one_order(node):
    with namespace(node) as (api, here):
        maps, versions, streams = f"{here}/configmaps", ["0"], []
        try:
            with api.watch(maps, api.get(maps)["metadata"]["resourceVersion"]) as first:
                for i in range(40):
                    name = f"cm-{i % 5}"
                    if api.ask("GET", f"{maps}/{name}").code == 404:
                        api.post(maps, config(name))
                    elif i % 3:
                        api.changed(f"{maps}/{name}", lambda m: m.update(data=dict(i=str(i))))
                    else:
                        api.delete(f"{maps}/{name}")
                order = [first.until("an event", lambda *_: True) for _ in range(40)]
            versions = [e["object"]["metadata"]["resourceVersion"] for e in order]
            expect(versions == sorted(versions, key=int), f"{versions}")
            for index in range(39):
                streams.append(api.watch(maps, versions[index]))
            for index, stream in enumerate(streams):
                got = [stream.until("an event", lambda *_: True)["object"]["metadata"]["resourceVersion"] for _ in versions[index + 1:]]
                expect(got == versions[index + 1:], f"the watch from {index}: {got}")
        finally:
            for stream in streams:
                stream.close()


@test
def pages_of_a_large_list(node):
    with namespace(node) as (api, here):
        path = f"{here}/podtemplates"
        for i in range(400):
            api.post(path, dict(metadata=dict(name=f"template-{i:04}"), template=dict(spec=dict(containers=[dict(name="c", image="i")]))))
        for _ in range(2):
            seen, token, version = [], "", None
            while True:
                page = api.get(f"{path}?limit=17" + (f"&continue={token}" if token else ""))
                expect(len(page["items"]) <= 17, "too many")
                version = version or page["metadata"]["resourceVersion"]
                expect(page["metadata"]["resourceVersion"] == version, "another version")
                seen += [i["metadata"]["name"] for i in page["items"]]
                token = page["metadata"].get("continue", "")
                if not token:
                    break
                expect(page["metadata"]["remainingItemCount"] == 400 - len(seen), f"{page['metadata']}")
            expect(seen == [f"template-{i:04}" for i in range(400)], "the order")
        whole = api.get(f"{path}?resourceVersion=0&limit=400")
        expect(len(whole["items"]) == 400 and "continue" not in whole["metadata"], "at once")
        api.delete(path)


@test
def tables_where_there_are_columns(node):
    with namespace(node) as (api, here):
        table = "application/json;as=Table;v=v1;g=meta.k8s.io"
        api.post(f"{here}/podtemplates", dict(metadata=dict(name="t"), template=dict(metadata=dict(labels=dict(a="b")), spec=dict(containers=[dict(name="c", image="i")]))))
        got = json.loads(api.ask("GET", f"{here}/podtemplates", accept=table).data)
        expect(got["kind"] == "Table" and got["columnDefinitions"][0]["name"] == "Name" and got["rows"][0]["cells"][0] == "t" and got["rows"][0]["object"]["kind"] == "PartialObjectMetadata", f"{got}")
        got = json.loads(api.ask("GET", f"{V1}/nodes", accept=table).data)
        expect(got["rows"][0]["cells"][0] == "e2e" and len(got["columnDefinitions"]) >= 2 and got["metadata"]["resourceVersion"], f"{got}")
        got = json.loads(api.ask("GET", f"{here}/podtemplates?limit=1", accept=table + ",application/json").data)
        expect(got["kind"] == "Table", f"{got['kind']}")
        answer = api.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", dict(spec=dict(resourceAttributes=dict(namespace="x", verb="get", resource="pods"))), accept=table)
        expect(answer.code == 406, f"{answer.code}")


@test
def namespaces_are_patched_updated_and_finalized(node):
    with namespace(node) as (api, here):
        expect(api.patch(here, dict(metadata=dict(labels=dict(testLabel="testValue"))), STRATEGIC)["metadata"]["labels"]["testLabel"] == "testValue", "patch")
        got = api.get(f"{here}/status")
        expect(got["status"]["phase"] == "Active", f"{got['status']}")
        status = dict(conditions=[dict(type="StatusPatch", status="True", reason="E2E", message="Patched by an e2e test")])
        patched = api.patch(f"{here}/status", dict(metadata=dict(annotations=dict(e2epatched="true")), status=status))
        expect(patched["metadata"]["annotations"].get("e2epatched") == "true" and any(c["type"] == "StatusPatch" for c in patched["status"]["conditions"]), f"{patched}")
        updated = api.changed(f"{here}/status", lambda n: n["status"]["conditions"].append(dict(type="StatusUpdate", status="True", reason="E2E", message="Updated by an e2e test")))
        expect([c["type"] for c in updated["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"], f"{updated['status']}")
        expect(api.changed(here, lambda n: n["metadata"]["labels"].update(updated="yes"))["metadata"]["labels"]["updated"] == "yes", "update")
        fake = "e2e.example.com/fakeFinalizer"
        thing = api.get(here)
        thing["spec"]["finalizers"] = ["kubernetes", fake]
        expect(api.put(f"{here}/finalize", thing)["spec"]["finalizers"] == ["kubernetes", fake], "finalize adds")
        thing = api.get(here)
        thing["spec"]["finalizers"] = ["kubernetes"]
        expect(api.put(f"{here}/finalize", thing)["spec"]["finalizers"] == ["kubernetes"], "finalize removes")


@test
def a_namespace_waits_for_its_pods_with_everything_else(node):
    with namespace(node) as (api, here):
        pod_path = f"{here}/pods/held"
        api.post(f"{here}/pods", dict(metadata=dict(name="held", finalizers=["e2e.example.com/finalizer"]), spec=dict(containers=[dict(name="c", image="localhost/none:x")], nodeSelector=dict(no="node"))))
        api.post(f"{here}/configmaps", config("kept"))
        answer = api.ask("DELETE", here)
        expect(answer.code == 200 and answer.json["status"]["phase"] == "Terminating" and answer.json["metadata"]["deletionTimestamp"], f"{answer.data}")
        held = eventually("the pod is deleted and held", lambda: api.get(pod_path)["metadata"].get("deletionTimestamp"))
        conditions = lambda: {c["type"]: c for c in api.get(here)["status"].get("conditions", [])}
        blocked = eventually("the namespace tells", lambda: (lambda c: c if "NamespaceDeletionContentFailure" in c and c.get("NamespaceFinalizersRemaining", {}).get("status") == "True" else None)(conditions()), 30)
        expect(held and "pods. has 1 resource instances" in blocked["NamespaceContentRemaining"]["message"], f"{blocked}")
        expect(api.ask("GET", f"{here}/configmaps/kept").code == 200, "the ConfigMap went before the pod")
        api.refused(403, "because it is being terminated", "POST", f"{here}/configmaps", config("late"))
        api.patch(pod_path, dict(metadata=dict(finalizers=None)))
        eventually("the namespace is gone", lambda: api.ask("GET", here).code == 404, 30)


def quota(api, here, name, hard, **spec):
    """Makes a quota and waits for its status. A function that waits for usage comes back."""
    path = f"{here}/resourcequotas/{name}"
    api.post(f"{here}/resourcequotas", dict(metadata=dict(name=name), spec=dict(hard=hard, **spec)))
    used = lambda: api.get(path).get("status", {}).get("used", {})
    eventually(f"{name} has a status", lambda: set(used()) == set(hard))

    def becomes(**wanted):
        eventually(f"{name} shows {wanted}", lambda: all(used().get(k.replace("__", ".")) == v for k, v in wanted.items()) or None, 20)
    return becomes


def holder(name, requests=None, limits=None, **spec):
    resources = dict(**(dict(requests=requests) if requests else {}), **(dict(limits=limits) if limits else {}))
    return dict(metadata=dict(name=name), spec=dict(nodeSelector=dict(no="node"), containers=[dict(name="c", image="localhost/none:x", resources=resources)], **spec))


@test
def quotas_count_the_life_of_objects(node):
    with namespace(node) as (api, here):
        apps = here.replace("/api/v1", "/apis/apps/v1")
        template = dict(metadata=dict(labels=dict(a="b")), spec=dict(containers=[dict(name="c", image="i")]))
        # (what counts, how much at most, where it is made, the object)
        rows = [
            ("secrets", "5", f"{here}/secrets", dict(metadata=dict(name="q"), stringData=dict(a="b"))),
            ("configmaps", "5", f"{here}/configmaps", config("q")),
            ("replicationcontrollers", "5", f"{here}/replicationcontrollers", dict(metadata=dict(name="q"), spec=dict(replicas=0, selector=dict(a="b"), template=template))),
            ("count/replicasets.apps", "5", f"{apps}/replicasets", dict(metadata=dict(name="q"), spec=dict(replicas=0, selector=dict(matchLabels=dict(a="b")), template=template))),
            ("persistentvolumeclaims", "5", f"{here}/persistentvolumeclaims", dict(metadata=dict(name="q"), spec=dict(accessModes=["ReadWriteOnce"], storageClassName="gold", resources=dict(requests=dict(storage="1Gi"))))),
        ]
        hard = {row[0]: row[1] for row in rows} | {"requests.storage": "10Gi", "gold.storageclass.storage.k8s.io/requests.storage": "10Gi", "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "5"}
        becomes = quota(api, here, "counts", hard)
        before = api.get(f"{here}/resourcequotas/counts")["status"]["used"]
        for what, _, path, thing in rows:
            api.post(path, thing)
            becomes(**{what: str(int(before[what]) + 1)})
        becomes(**{"requests.storage": "1Gi", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi", "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1"})
        for what, _, path, thing in rows:
            api.delete(f"{path}/q")
            becomes(**{what: before[what]})
        becomes(**{"requests.storage": "0", "gold.storageclass.storage.k8s.io/requests.storage": "0"})
        status = api.patch(f"{here}/resourcequotas/counts/status", dict(status=dict(hard={"configmaps": "99"})))
        expect(status["status"]["hard"]["configmaps"] == "99", f"{status['status']}")
        eventually("the controller puts it right", lambda: api.get(f"{here}/resourcequotas/counts")["status"]["hard"]["configmaps"] == "5")
        api.delete(f"{here}/resourcequotas")


@test
def quotas_count_services_and_their_ports(node):
    with namespace(node) as (api, here):
        services = f"{here}/services"
        service = lambda name, kind: dict(metadata=dict(name=name), spec=dict(type=kind, selector=dict(a="b"), ports=[dict(port=80)]))
        becomes = quota(api, here, "services", {"services": "10", "services.nodeports": "1", "services.loadbalancers": "1"})
        api.post(services, service("cluster", "ClusterIP"))
        becomes(services="1", services__nodeports="0", services__loadbalancers="0")
        api.post(services, service("port", "NodePort"))
        becomes(services="2", services__nodeports="1", services__loadbalancers="0")
        api.refused(403, "exceeded quota: services", "POST", services, service("balanced", "LoadBalancer"))
        api.refused(403, "exceeded quota: services", "POST", services, service("other", "NodePort"))
        for name in ("cluster", "port"):
            api.delete(f"{services}/{name}")
        becomes(services="0", services__nodeports="0")


@test
def quotas_count_pods_and_what_they_ask_for(node):
    with namespace(node) as (api, here):
        pods = f"{here}/pods"
        becomes = quota(api, here, "pods", {"pods": "5", "cpu": "1", "memory": "500Mi", "ephemeral-storage": "50Gi", "requests.example.com/dongle": "3"})
        api.post(pods, holder("a", {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"}, {"example.com/dongle": "2"}))
        used = api.get(f"{here}/resourcequotas/pods")["status"]["used"]
        expect(used == {"pods": "1", "cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "requests.example.com/dongle": "2"}, f"{used}")
        api.refused(403, "exceeded quota: pods, requested: cpu=600m", "POST", pods, holder("b", {"cpu": "600m", "memory": "100Mi", "ephemeral-storage": "1Gi"}))
        api.refused(403, "requests.example.com/dongle=2", "POST", pods, holder("b", {"cpu": "10m", "memory": "1Mi", "ephemeral-storage": "1Gi", "example.com/dongle": "2"}, {"example.com/dongle": "2"}))
        api.refused(403, "must specify cpu for: c; memory for: c", "POST", pods, holder("b"))
        # What a pod asks for may not change, nor what is counted.
        api.refused(422, "", "PATCH", f"{pods}/a", dict(spec=dict(containers=[dict(name="c", resources=dict(requests=dict(cpu="900m")))])), STRATEGIC)
        api.patch(f"{pods}/a", dict(metadata=dict(labels=dict(x="y"))))
        becomes(pods="1", cpu="500m")
        api.delete(f"{pods}/a", dict(gracePeriodSeconds=0))
        becomes(**{"pods": "0", "cpu": "0", "memory": "0", "ephemeral-storage": "0", "requests.example.com/dongle": "0"})


@test
def quotas_have_scopes(node):
    with namespace(node) as (api, here):
        pods = f"{here}/pods"
        terminating = quota(api, here, "terminating", dict(pods="5"), scopes=["Terminating"])
        lasting = quota(api, here, "lasting", dict(pods="5"), scopes=["NotTerminating"])
        effortless = quota(api, here, "effortless", dict(pods="5"), scopes=["BestEffort"])
        effort = quota(api, here, "effort", dict(pods="5"), scopes=["NotBestEffort"])
        for name, thing, expected in (
            ("a", holder("a", dict(cpu="10m")), ("0", "1", "0", "1")), ("b", holder("b"), ("0", "1", "1", "0")),
            ("c", holder("c", dict(cpu="10m"), activeDeadlineSeconds=3600), ("1", "0", "0", "1")),
        ):
            api.post(pods, thing)
            for becomes, count in zip((terminating, lasting, effortless, effort), expected):
                becomes(pods=count)
            api.delete(f"{pods}/{name}", dict(gracePeriodSeconds=0))
            for becomes in (terminating, lasting, effortless, effort):
                becomes(pods="0")


@test
def limits_fill_in_and_refuse(node):
    with namespace(node) as (api, here):
        ranges, pods = f"{here}/limitranges", f"{here}/pods"
        limit = dict(type="Container", min=dict(cpu="50m", memory="100Mi"), max=dict(cpu="500m", memory="500Mi"), default=dict(cpu="500m", memory="500Mi"),
                     defaultRequest=dict(cpu="100m", memory="200Mi"), maxLimitRequestRatio={})
        with api.watch(ranges, api.get(ranges)["metadata"]["resourceVersion"]) as watch:
            made = api.post(ranges, dict(metadata=dict(name="l"), spec=dict(limits=[limit])))
            expect(watch.next("made", "ADDED")["spec"] == made["spec"], "the watch shows another one")
        resources = api.post(pods, holder("plain"))["spec"]["containers"][0]["resources"]
        expect(resources == dict(limits=dict(cpu="500m", memory="500Mi"), requests=dict(cpu="100m", memory="200Mi")), f"{resources}")
        resources = api.post(pods, holder("partial", dict(cpu="300m"), dict(memory="300Mi")))["spec"]["containers"][0]["resources"]
        expect(resources == dict(limits=dict(cpu="500m", memory="300Mi"), requests=dict(cpu="300m", memory="300Mi")), f"{resources}")
        api.refused(403, "minimum memory usage per Container is 100Mi, but request is 10Mi", "POST", pods, holder("small", dict(cpu="50m", memory="10Mi")))
        api.refused(403, "maximum cpu usage per Container is 500m, but limit is 600m", "POST", pods, holder("large", dict(cpu="50m"), dict(cpu="600m")))
        patched = api.patch(f"{ranges}/l", dict(spec=dict(limits=[dict(type="Container", min=dict(cpu="40m", memory="5Mi"))])), STRATEGIC)
        expect(patched["spec"]["limits"][0]["min"] == dict(cpu="40m", memory="5Mi"), f"{patched['spec']}")
        api.post(pods, holder("small", dict(cpu="50m", memory="10Mi"), dict(cpu="60m", memory="20Mi")))
        api.delete(f"{ranges}/l")
        expect(not api.get(ranges)["items"], "it stays")
