"""What upstream's conformance tests ask of custom resources, of discovery and OpenAPI, and of the validation of fields."""
from harness import *
from wire import *
from conformance_machinery import namespace

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
FOO = dict(description="Foo CRD for Testing", type="object", properties=dict(
    spec=dict(type="object", description="Specification of Foo", properties=dict(
        bars=dict(description="List of Bars and their specs.", type="array", items=dict(type="object", required=["name"], properties=dict(
            name=dict(description="Name of Bar.", type="string"), age=dict(description="Age of Bar.", type="string"),
            feeling=dict(description="Whether Bar is feeling great.", type="string", enum=["Great", "Down"]),
            bazs=dict(description="List of Bazs.", items=dict(type="string"), type="array")))))),
    status=dict(description="Status of Foo", type="object", properties=dict(
        bars=dict(description="List of Bars and their statuses.", type="array", items=dict(type="object", properties=dict(
            name=dict(description="Name of Bar.", type="string"), available=dict(description="Whether the Bar is installed.", type="boolean"))))))))


def version(name="v1", schema=OPEN, storage=True, **more):
    return dict(dict(name=name, served=True, storage=storage, schema=dict(openAPIV3Schema=schema)), **more)


def define(api, group, plural, *versions, scope="Namespaced"):
    """Makes a definition and waits until its kind is served; its path comes back."""
    singular = plural.removesuffix("s")
    name = f"{plural}.{group}"
    api.ask("DELETE", f"{DEFINITIONS}/{name}")
    eventually("an earlier one is gone", lambda: api.ask("GET", f"{DEFINITIONS}/{name}").code == 404)
    api.post(DEFINITIONS, dict(metadata=dict(name=name), spec=dict(group=group, scope=scope, versions=list(versions) or [version()], names=dict(
        plural=plural, singular=singular, kind=singular.capitalize(), listKind=singular.capitalize() + "List"))))
    established = lambda: any(c["type"] == "Established" and c["status"] == "True" for c in api.get(f"{DEFINITIONS}/{name}").get("status", {}).get("conditions", []))
    eventually("it is established", established)
    for v in versions or [version()]:
        if v["served"]:
            eventually(f"{v['name']} is served", lambda: api.ask("GET", f"/apis/{group}/{v['name']}/{plural}").code == 200)
    return f"{DEFINITIONS}/{name}"


def definition_in_document(api, name, wanted=None, timeout=30):
    """Waits until OpenAPI v2 describes a kind; `wanted`: by just this schema; False: not at all. An unchanged document is answered with 304."""
    state = dict(tag=None, document=None)

    def probe():
        headers = {"If-None-Match": state["tag"]} if state["tag"] else {}
        answer = api.ask("GET", "/openapi/v2", **headers)
        if answer.code != 304:
            expect(answer.code == 200 and answer.headers["ETag"], f"{answer.code}")
            state.update(tag=answer.headers["ETag"], document=answer.json)
        found = state["document"]["definitions"].get(name)
        if wanted is False:
            return found is None
        if found is None:
            return False
        found = json.loads(json.dumps(found))
        for part in ("apiVersion", "kind", "metadata"):
            found.get("properties", {}).pop(part, None)
        found.pop("x-kubernetes-group-version-kind", None)
        if not found.get("properties"):
            found.pop("properties", None)
        expect(wanted is None or found == wanted, f"{name}: {found}")
        return True
    eventually(f"the document has {name}" if wanted is not False else f"the document has lost {name}", probe, timeout, every=0.2)


@test
def definitions_live_and_have_a_status(node):
    with namespace(node) as (api, _):
        group = "lives.e2e.example.com"
        paths = [define(api, group, f"kind{i}s") for i in range(3)]
        api.changed(paths[0], lambda d: d["metadata"].setdefault("labels", {}).update(e2e="list"))
        expect([d["metadata"]["name"] for d in api.get(f"{DEFINITIONS}?labelSelector=e2e%3Dlist")["items"]] == [paths[0].rpartition("/")[2]], "list")
        status = api.get(f"{paths[0]}/status")
        status["status"]["conditions"].append(dict(type="StatusUpdate", status="True", reason="E2E", message="Set from e2e test", lastTransitionTime="2026-01-02T03:04:05Z"))
        expect(api.put(f"{paths[0]}/status", status)["status"]["conditions"][-1]["type"] == "StatusUpdate", "update of the status")
        patched = api.patch(f"{paths[0]}/status", dict(status=dict(conditions=[dict(type="StatusPatched", status="True", reason="E2E", message="Set by e2e test", lastTransitionTime="2026-01-02T03:04:05Z")])))
        expect("StatusPatched" in [c["type"] for c in patched["status"]["conditions"]], f"{patched['status']}")
        groups = {g["name"]: g for g in api.get("/apis")["groups"]}
        expect(groups["apiextensions.k8s.io"]["preferredVersion"]["version"] == "v1" and group in groups, "discovery")
        expect("kind0s" in [r["name"] for r in api.get(f"/apis/{group}/v1")["resources"]], "discovery")
        aggregated = json.loads(api.ask("GET", "/apis", accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").data)
        mine = next(g for g in aggregated["items"] if g["metadata"]["name"] == group)
        expect(aggregated["kind"] == "APIGroupDiscoveryList" and aggregated["apiVersion"] == "apidiscovery.k8s.io/v2" and mine["versions"][0]["freshness"] == "Current"
               and {"kind0s", "kind1s", "kind2s"} == {r["resource"] for r in mine["versions"][0]["resources"]}, f"{mine}")
        api.delete(f"{DEFINITIONS}/kind0s.{group}")
        for path in paths[1:]:
            api.delete(path)
        eventually("the group is gone", lambda: group not in [g["name"] for g in api.get("/apis")["groups"]])


@test
def every_group_has_what_clients_expect(node):
    api = Wire(node)
    required = "admissionregistration.k8s.io apiextensions.k8s.io apiregistration.k8s.io apps authentication.k8s.io authorization.k8s.io autoscaling batch certificates.k8s.io coordination.k8s.io " \
               "discovery.k8s.io events.k8s.io networking.k8s.io node.k8s.io policy scheduling.k8s.io storage.k8s.io flowcontrol.apiserver.k8s.io rbac.authorization.k8s.io resource.k8s.io"
    groups = {g["name"]: g for g in api.get("/apis")["groups"]}
    expect(set(required.split()) <= set(groups), f"{set(required.split()) - set(groups)}")
    for group in groups.values():
        own = api.get(f"/apis/{group['name']}")
        expect(own["preferredVersion"] in own["versions"] and own["kind"] == "APIGroup" and own["apiVersion"] == "v1", f"{own}")
    expect([v["version"] for v in groups["autoscaling"]["versions"]] == ["v2", "v1"], f"{groups['autoscaling']}")
    for path in ("/api", "/apis"):
        for accept, version in (("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "apidiscovery.k8s.io/v2"),
                                ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", "apidiscovery.k8s.io/v2beta1")):
            answer = api.ask("GET", path, accept=accept)
            expect(answer.json["apiVersion"] == version and answer.headers["ETag"] and answer.headers["Content-Type"] == accept.partition(",")[0], f"{path}: {answer.headers}")
            again = api.ask("GET", path, accept=accept, If_None_Match=answer.headers["ETag"])
            expect(again.code == 304, f"{path}: {again.code}")
    got = api.get("/version")
    expect(re.fullmatch(r"\d+", got["major"]) and re.match(r"\d+", got["minor"]) and got["gitVersion"].startswith("v1.36."), f"{got}")


@test
def openapi_follows_the_definitions(node):
    with namespace(node) as (api, here):
        name = here.rpartition("/")[2]
        path = define(api, "foo.e2e.example.com", "foos", version(schema=FOO))
        definition_in_document(api, "com.example.e2e.foo.v1.Foo", FOO)
        foo = lambda spec: json.dumps(dict(apiVersion="foo.e2e.example.com/v1", kind="Foo", metadata=dict(name="test-foo"), spec=spec))
        good = foo(dict(bars=[dict(name="test-bar")]))
        for verb in ("create", "apply"):
            node.kubectl("-n", name, verb, "-f", "-", input=good)
            node.kubectl("-n", name, "delete", "foos", "test-foo")
            for spec, text in ((dict(foo=True), 'unknown field "spec.foo"'), (dict(bars=[dict(age="10")]), "spec.bars[0].name: Required value"),
                               (dict(bars=[dict(name="b", feeling="NonExistentValue")]), 'Unsupported value: "NonExistentValue"')):
                code, _, err = node.kubectl("-n", name, verb, "-f", "-", input=foo(spec), check=False)
                expect(code and text in err, f"{verb} {spec}: {err}")
        for field, pattern in (("", r"(?s)DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines.*spec.*<Object>.*Specification of Foo"),
                               (".metadata", r"(?s)DESCRIPTION:.*Standard object's metadata.*FIELDS:.*creationTimestamp.*<string>.*CreationTimestamp is a timestamp"),
                               (".spec", r"(?s)DESCRIPTION:.*Specification of Foo.*FIELDS:.*bars.*<\[\]Object>.*List of Bars and their specs"),
                               (".spec.bars", r"(?s)(RESOURCE|FIELD):.*bars.*<\[\]Object>.*DESCRIPTION:.*List of Bars and their specs.*FIELDS:.*bazs.*<\[\]string>.*List of Bazs.*name.*<string>.*Name of Bar")):
            printed = eventually("explain", lambda: node.kubectl("explain", "foos" + field, check=False)[1])
            expect(re.search(pattern, printed), f"explain foos{field}: {printed}")
        expect(node.kubectl("explain", "foos.spec.bars2", check=False)[0] != 0, "explains what is not there")
        # Without a schema, and with one that keeps everything.
        define(api, "open.e2e.example.com", "opens")
        definition_in_document(api, "com.example.e2e.open.v1.Open")
        node.kubectl("-n", name, "apply", "-f", "-", input=json.dumps(dict(apiVersion="open.e2e.example.com/v1", kind="Open", metadata=dict(name="o"), a=[dict(b="c")], spec=1)))
        expect(api.get(f"/apis/open.e2e.example.com/v1/namespaces/{name}/opens/o")["a"] == [dict(b="c")], "it was pruned")
        expect("Open" in node.out("explain", "opens"), "explain")
        # Two versions; one is renamed, then no longer served.
        two = define(api, "two.e2e.example.com", "pairs", version("v2", FOO), version("v3", FOO, storage=False))
        for v in ("v2", "v3"):
            definition_in_document(api, f"com.example.e2e.two.{v}.Pair", FOO)
        api.changed(two, lambda d: d["spec"]["versions"][1].update(name="v4"))
        definition_in_document(api, "com.example.e2e.two.v4.Pair", FOO)
        definition_in_document(api, "com.example.e2e.two.v3.Pair", False)
        definition_in_document(api, "com.example.e2e.two.v2.Pair", FOO)
        api.changed(two, lambda d: d["spec"]["versions"][1].update(served=False))
        definition_in_document(api, "com.example.e2e.two.v4.Pair", False)
        definition_in_document(api, "com.example.e2e.two.v2.Pair", FOO)
        third = api.get("/openapi/v3")["paths"]
        expect("apis/two.e2e.example.com/v2" in third and "apis/two.e2e.example.com/v4" not in third, "v3")
        for each in (path, two, f"{DEFINITIONS}/opens.open.e2e.example.com"):
            api.delete(each)
        definition_in_document(api, "com.example.e2e.foo.v1.Foo", False)


@test
def defaults_come_with_requests_and_from_the_store(node):
    with namespace(node) as (api, here):
        text = dict(type="string")
        path = define(api, "defaults.e2e.example.com", "filleds", version(schema=dict(type="object", properties=dict(a=text, b=text))))
        things = here.replace("/api/v1", "/apis/defaults.e2e.example.com/v1") + "/filleds"
        thing = lambda name, **fields: dict(apiVersion="defaults.e2e.example.com/v1", kind="Filled", metadata=dict(name=name), **fields)
        expect("a" not in api.post(things, thing("early")), "a default that nobody gave")
        api.changed(path, lambda d: d["spec"]["versions"][0].update(schema=dict(openAPIV3Schema=dict(type="object", properties=dict(a=dict(text, default="A"), b=dict(text, default="B"))))))
        got = eventually("defaults from the store", lambda: (lambda o: o if o.get("a") == "A" else None)(api.get(f"{things}/early")))
        expect(got["b"] == "B", f"{got}")
        made = api.post(things, thing("late", a="given"))
        expect((made["a"], made["b"]) == ("given", "B"), f"{made}")
        # A default that goes leaves what was written with it.
        api.changed(path, lambda d: d["spec"]["versions"][0].update(schema=dict(openAPIV3Schema=dict(type="object", properties=dict(a=text, b=dict(text, default="C"))))))
        got = eventually("other defaults", lambda: (lambda o: o if o.get("b") == "C" else None)(api.get(f"{things}/early")))
        expect("a" not in got and api.get(f"{things}/late")["b"] == "B", f"{got}")
        api.delete(path)


@test
def custom_resources_are_watched_by_name_and_selected_by_field(node):
    with namespace(node) as (api, here):
        spec = dict(type="object", properties=dict(host=dict(type="string"), port=dict(type="string")))
        selectable = dict(selectableFields=[dict(jsonPath=".spec.host"), dict(jsonPath=".spec.port")])
        path = define(api, "select.e2e.example.com", "places", version("v1", dict(type="object", properties=dict(spec=spec)), **selectable),
                      version("v2", dict(type="object", properties=dict(spec=spec)), storage=False, **selectable))
        at = lambda v: here.replace("/api/v1", f"/apis/select.e2e.example.com/{v}") + "/places"
        thing = lambda name, host, port="80": dict(apiVersion="select.e2e.example.com/v1", kind="Place", metadata=dict(name=name), spec=dict(host=host, port=port))
        version_now = api.get(at("v1"))["metadata"]["resourceVersion"]
        with api.watch(f"{at('v1')}?fieldSelector=metadata.name%3Da", version_now) as on_a, api.watch(f"{at('v2')}?fieldSelector=spec.host%3Dh1", version_now) as on_host:
            for name, host in (("a", "h1"), ("b", "h2"), ("c", "h1")):
                api.post(at("v1"), thing(name, host))
            expect(on_a.next("a", "ADDED")["spec"]["host"] == "h1", "by name")
            expect([on_host.next("h1", "ADDED")["metadata"]["name"] for _ in range(2)] == ["a", "c"], "by host")
            api.patch(f"{at('v1')}/a", dict(spec=dict(host="h3")))
            on_a.next("a", "MODIFIED")
            gone = on_host.next("a leaves", "DELETED")
            expect(gone["apiVersion"] == "select.e2e.example.com/v2" and gone["spec"]["host"] == "h1", f"{gone}")
            for v in ("v1", "v2"):
                names = lambda query: [i["metadata"]["name"] for i in api.get(f"{at(v)}?fieldSelector={query}")["items"]]
                expect(names("spec.host%3Dh1") == ["c"] and names("spec.host%21%3Dh1,spec.port%3D80") == ["a", "b"], f"{v}")
            api.refused(400, "field label not supported: spec.none", "GET", f"{at('v1')}?fieldSelector=spec.none%3Dx")
            api.delete(f"{at('v2')}?fieldSelector=spec.host%3Dh1")
            expect([i["metadata"]["name"] for i in api.get(at("v1"))["items"]] == ["a", "b"], "deletecollection")
            on_host.next("c", "DELETED")
            api.delete(f"{at('v1')}/a")
            on_a.next("a", "DELETED")
        grows(*(api.post(at(v), dict(thing(f"grow-{v}", "h"), apiVersion=f"select.e2e.example.com/{v}")) for v in ("v1", "v2")), "two creates")
        api.delete(path)


@test
def fields_that_are_not_declared(node):
    with namespace(node) as (api, here):
        apps = here.replace("/api/v1", "/apis/apps/v1") + "/deployments"
        body = lambda name, extra, meta="": f'''{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"{name}","labels":{{"app":"nginx"}}{meta}}},
            "spec":{{{extra}"selector":{{"matchLabels":{{"app":"nginx"}}}},"template":{{"metadata":{{"labels":{{"app":"nginx"}}}},"spec":{{"containers":[{{"name":"nginx","image":"nginx","unknownNested":"v","imagePullPolicy":"Always","imagePullPolicy":"Never"}}]}}}}}}}}'''
        strict = "fieldValidation=Strict&fieldManager=e2e"
        extra = '"foo":1,"bar":2,"bar":3,'
        refused = api.refused(400, "strict decoding error: ", "POST", f"{apps}?{strict}", body("d", extra))
        for part in ('unknown field "spec.foo"', 'duplicate field "spec.bar"', 'unknown field "spec.template.spec.containers[0].unknownNested"', 'duplicate field "spec.template.spec.containers[0].imagePullPolicy"'):
            expect(part in refused["message"], f"{part} is not in {refused['message']}")
        api.refused(400, 'unknown field "metadata.unknownMeta"', "POST", f"{apps}?{strict}", body("d", "", ',"unknownMeta":"x"'))
        api.refused(500, "failed to create typed patch object", "PATCH", f"{apps}/d?{strict}", body("d", extra), APPLY)
        warned = api.ask("POST", f"{apps}?fieldValidation=Warn&dryRun=All", body("d", extra))
        expect(warned.code == 201 and any(r'unknown field \"spec.foo\"' in w for w in warned.headers.get_all("Warning")), f"{warned.code} {warned.headers}")
        silent = api.ask("POST", f"{apps}?fieldValidation=Ignore&dryRun=All", body("d", extra))
        expect(silent.code == 201 and not silent.headers.get_all("Warning"), f"{silent.headers}")
        # Custom resources: with a schema, with what is kept, and with an embedded object.
        spec = dict(type="object", properties={
            "knownField1": dict(type="string"), "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"], "items": dict(
                type="object", required=["containerPort", "protocol"], properties=dict(containerPort=dict(type="integer", format="int32"), protocol=dict(type="string"), hostPort=dict(type="integer")))},
            "embeddedObj": {"type": "object", "x-kubernetes-embedded-resource": True, "properties": dict(apiVersion=dict(type="string"), kind=dict(type="string"), metadata=dict(type="object"), spec=dict(type="object"))},
            "kept": OPEN})
        path = define(api, "fields.e2e.example.com", "fielders", version(schema=dict(type="object", properties=dict(spec=spec))))
        things = here.replace("/api/v1", "/apis/fields.e2e.example.com/v1") + "/fielders"
        thing = lambda spec, meta="": f"apiVersion: fields.e2e.example.com/v1\nkind: Fielder\nmetadata:\n  name: f\n{meta}spec:\n{spec}"
        good = "  knownField1: a\n  ports:\n  - {containerPort: 80, protocol: TCP}\n"
        apply = lambda text: api.ask("PATCH", f"{things}/f?{strict}", text, APPLY)
        expect(apply(thing(good)).code in (200, 201), "what is valid")
        for text, part in ((thing(good + "  extra: b\n"), "spec.extra"), (thing(good, "  unknownMeta: x\n"), "metadata.unknownMeta"),
                           (thing(good + "  knownField1: c\n"), 'key "knownField1" already set in map'),
                           (thing(good + "  kept: {a: 1}\n  kept: {b: 1}\n"), 'key "kept" already set in map'),
                           (thing(good + "  embeddedObj: {apiVersion: v1, kind: ConfigMap, metadata: {name: n, unknownSubMeta: x}}\n"), "spec.embeddedObj.metadata.unknownSubMeta"),
                           (thing(good + "  embeddedObj: {apiVersion: v1, kind: ConfigMap, unknownRoot: y, metadata: {name: n}}\n"), "spec.embeddedObj.unknownRoot")):
            answer = apply(text)
            # What a type does not have is told by the merge, as upstream, and not by the decoder.
            told = answer.code == 400 and part in answer.message or answer.code == 500 and f".{part}: field not declared in schema" in answer.message
            expect(told, f"{part}: {answer.code} {answer.message}")
            answer = api.ask("POST", f"{things}?{strict}", text.replace("name: f", "name: g"), "application/yaml")
            expect(answer.code == 400 and "strict decoding error" in answer.message and part in answer.message, f"POST {part}: {answer.code} {answer.message}")
        expect(apply(thing(good + "  kept: {anything: [1, {a: b}]}\n")).code == 200, "what is kept")
        answer = apply(thing("  ports:\n  - {containerPort: 80, protocol: TCP}\n  - {containerPort: 80, protocol: TCP, hostPort: 1}\n"))
        expect(answer.code >= 400, f"a key that stands twice: {answer.code} {answer.message}")
        api.delete(path)
