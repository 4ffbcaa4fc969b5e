"""What the official Python client does against a server: KUBECONFIG names it, `localhost/busybox:e2e` is an image it can run."""
import multiprocessing, queue, time, uuid, tempfile
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.stream import portforward, stream

NAMESPACE = "python"
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; echo started; while :; do sleep 3600 & wait; done"]


def pod(name, labels=None):
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name=name, labels=labels or {"app": name}),
        spec=client.V1PodSpec(termination_grace_period_seconds=1, containers=[client.V1Container(
            name="c", image="localhost/busybox:e2e", image_pull_policy="IfNotPresent", command=SLEEP)]))


def refused(status, call, *args, **kw):
    try:
        call(*args, **kw)
    except ApiException as error:
        assert error.status == status, f"{error.status} instead of {status}: {error.body}"
        return error
    raise AssertionError(f"{call.__name__} was not refused with {status}")


def typed(core):
    """Create, read, the patches, replace with a conflict, list by selectors and in chunks, delete."""
    core.create_namespaced_config_map(NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="m", labels={"a": "b"}), data={"k": "v"}))
    stale = core.read_namespaced_config_map("m", NAMESPACE)
    assert core.patch_namespaced_config_map("m", NAMESPACE, {"data": {"k": "w"}}).data == {"k": "w"}
    assert core.patch_namespaced_config_map("m", NAMESPACE, [{"op": "add", "path": "/data/l", "value": "x"}]).data == {"k": "w", "l": "x"}
    stale.data = {"lost": "update"}
    refused(409, core.replace_namespaced_config_map, "m", NAMESPACE, stale)
    refused(409, core.create_namespaced_config_map, NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="m")))
    refused(422, core.create_namespaced_config_map, NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="Not A Name")))
    refused(404, core.read_namespaced_config_map, "absent", NAMESPACE)
    for i in range(7):
        core.create_namespaced_config_map(NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name=f"chunk-{i}", labels={"chunk": "yes"})))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="chunk=yes", limit=3, _continue=token)
        names += [m.metadata.name for m in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"chunk-{i}" for i in range(7)], names
    assert [m.metadata.name for m in core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=m").items] == ["m"]
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="chunk=yes")
    assert not core.list_namespaced_config_map(NAMESPACE, label_selector="chunk=yes").items


def watched(core):
    """A watch from a list's version sees every change once, in order."""
    start = core.list_namespaced_secret(NAMESPACE).metadata.resource_version
    for i in range(20):
        core.create_namespaced_secret(NAMESPACE, client.V1Secret(metadata=client.V1ObjectMeta(name=f"s{i}"), string_data={"a": str(i)}))
    core.delete_namespaced_secret("s0", NAMESPACE)
    seen, watcher = [], watch.Watch()
    for event in watcher.stream(core.list_namespaced_secret, NAMESPACE, resource_version=start, timeout_seconds=20):
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            watcher.stop()
    assert seen == [("ADDED", f"s{i}") for i in range(20)] + [("DELETED", "s0")], seen


def running(core):
    """A pod: its status, log, exec with exit code, streams of a shell, a forwarded port, eviction."""
    core.create_namespaced_pod(NAMESPACE, pod("p"))
    for event in watch.Watch().stream(core.list_namespaced_pod, NAMESPACE, field_selector="metadata.name=p", timeout_seconds=40):
        if any(c.type == "Ready" and c.status == "True" for c in event["object"].status.conditions or []):
            break
    else:
        raise AssertionError("the pod was never Ready")
    assert core.read_namespaced_pod_log("p", NAMESPACE) == "started\n"
    call = dict(name="p", namespace=NAMESPACE, stderr=True, stdin=False, stdout=True, tty=False)
    assert stream(core.connect_get_namespaced_pod_exec, command=["echo", "hello"], **call) == "hello\n"
    shell = stream(core.connect_get_namespaced_pod_exec, command=["sh", "-c", "read line; echo got $line; exit 7"], **dict(call, stdin=True), _preload_content=False)
    shell.write_stdin("word\n")
    shell.run_forever(timeout=10)
    assert (shell.read_stdout(), shell.returncode) == ("got word\n", 7), shell.returncode
    stream(core.connect_get_namespaced_pod_exec, command=["sh", "-c", "mkdir -p /tmp/w; echo page >/tmp/w/index.html; httpd -p 8080 -h /tmp/w"], **call)
    forward = portforward(core.connect_get_namespaced_pod_portforward, "p", NAMESPACE, ports="8080")
    socket = forward.socket(8080)
    socket.setblocking(True)
    socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while part := socket.recv(4096):
        answer += part
    assert answer.endswith(b"page\n"), answer
    core.create_namespaced_pod_eviction("p", NAMESPACE, client.V1Eviction(metadata=client.V1ObjectMeta(name="p"), delete_options=client.V1DeleteOptions(grace_period_seconds=0)))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and core.list_namespaced_pod(NAMESPACE, field_selector="metadata.name=p").items:
        time.sleep(0.05)
    refused(404, core.read_namespaced_pod, "p", NAMESPACE)


def dynamically(api):
    """The dynamic client finds a kind that has just been defined, applies to it and watches it."""
    names = dict(plural="widgets", singular="widget", kind="Widget", shortNames=["wi"])
    schema = dict(type="object", properties=dict(spec=dict(type="object", properties=dict(size=dict(type="integer", minimum=1)))))
    client.ApiextensionsV1Api(api).create_custom_resource_definition(dict(
        apiVersion="apiextensions.k8s.io/v1", kind="CustomResourceDefinition", metadata=dict(name="widgets.example.org"), spec=dict(
            group="example.org", scope="Namespaced", names=names,
            versions=[dict(name="v1", served=True, storage=True, schema=dict(openAPIV3Schema=schema))])))
    found = None
    for _ in range(100):
        try:
            # By itself the client believes what a run before, on the same port, has left in the folder for temporary files.
            with tempfile.TemporaryDirectory() as folder:
                found = dynamic.DynamicClient(api, cache_file=f"{folder}/discovery").resources.get(api_version="example.org/v1", kind="Widget")
            break
        except dynamic.exceptions.ResourceNotFoundError:
            time.sleep(0.1)
    assert found, "the kind never appeared in discovery"
    widget = dict(apiVersion="example.org/v1", kind="Widget", metadata=dict(name="w", namespace=NAMESPACE), spec=dict(size=3))
    made = found.server_side_apply(body=widget, namespace=NAMESPACE, name="w", field_manager="tester")
    assert made.spec.size == 3 and made.metadata.managedFields[0].manager == "tester"
    for event in found.watch(namespace=NAMESPACE, timeout=10):
        assert event["type"] == "ADDED" and event["object"].metadata.name == "w"
        break
    try:
        found.patch(body=dict(spec=dict(size=0)), namespace=NAMESPACE, name="w", content_type="application/merge-patch+json")
    except dynamic.exceptions.UnprocessibleEntityError as error:
        assert "should be greater than or equal to 1" in str(error.body), error.body
    else:
        raise AssertionError("a size of 0 was taken")
    found.delete(name="w", namespace=NAMESPACE)
    client.ApiextensionsV1Api(api).delete_custom_resource_definition("widgets.example.org")


def candidate(name, leads):
    """A process of its own that tries to lead and says when it does."""
    config.load_kube_config()
    lock = LeaseLock("leader", NAMESPACE, f"{name}-{uuid.uuid4()}")
    leaderelection.LeaderElection(electionconfig.Config(
        lock, lease_duration=3, renew_deadline=2, retry_period=1, onstarted_leading=lambda: leads.put(name), onstopped_leading=lambda: None)).run()


def elected():
    """Two candidates for one lease: the second leads once the first was killed, not before."""
    context = multiprocessing.get_context("spawn")
    leads = context.Queue()
    first, second = (context.Process(target=candidate, args=(n, leads), daemon=True) for n in ("first", "second"))
    first.start()
    assert leads.get(timeout=20) == "first"
    second.start()
    try:
        leads.get(timeout=4)
        raise AssertionError("both lead")
    except queue.Empty:
        pass
    first.kill()
    assert leads.get(timeout=20) == "second"
    second.kill()


def main():
    config.load_kube_config()
    api = client.ApiClient()
    core = client.CoreV1Api(api)
    version = client.VersionApi(api).get_code()
    assert (version.major, version.minor[:2]) == ("1", "36"), version
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    for _ in range(100):
        if any(a.metadata.name == "default" for a in core.list_namespaced_service_account(NAMESPACE).items):
            break
        time.sleep(0.05)
    for name, step in dict(typed=lambda: typed(core), watched=lambda: watched(core), running=lambda: running(core),
                           dynamically=lambda: dynamically(api), elected=elected).items():
        begun = time.monotonic()
        step()
        print(f"{name}: {time.monotonic() - begun:.1f} s", flush=True)
    utils.create_from_dict(api, dict(apiVersion="apps/v1", kind="Deployment", metadata=dict(name="d", namespace=NAMESPACE), spec=dict(
        replicas=2, selector=dict(matchLabels=dict(a="b")), template=dict(metadata=dict(labels=dict(a="b")), spec=dict(
            terminationGracePeriodSeconds=1, containers=[dict(name="c", image="localhost/busybox:e2e", command=SLEEP)])))))
    apps = client.AppsV1Api(api)
    for event in watch.Watch().stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=30):
        if event["object"].status.available_replicas == 2:
            break
    else:
        raise AssertionError("the deployment never had two replicas")
    assert apps.patch_namespaced_deployment_scale("d", NAMESPACE, dict(spec=dict(replicas=0))).spec.replicas == 0
    core.delete_namespace(NAMESPACE)


if __name__ == "__main__":
    main()
