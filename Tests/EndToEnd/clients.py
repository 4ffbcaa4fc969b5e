"""Programs that people bring: the official Python client, an operator, a fuzzer of OpenAPI, kubectl of other versions."""
import base64, contextlib, hashlib, os, shutil, signal, subprocess, sys
from harness import *

CLIENTS = os.path.join(ROOT, "Tests", "Clients")


def python():
    """A Python with the clients' packages, made once in .build."""
    folder, wanted = os.path.join(ROOT, ".build", "venv"), os.path.join(CLIENTS, "requirements.txt")
    stamp = os.path.join(folder, hashlib.sha256(open(wanted, "rb").read()).hexdigest())
    if not os.path.exists(stamp):
        shutil.rmtree(folder, ignore_errors=True)
        sh(sys.executable, "-m", "venv", folder)
        sh(f"{folder}/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted, timeout=600)
        open(stamp, "w").close()
    return f"{folder}/bin"


@contextlib.contextmanager
def background(node, name, *command, **env):
    """A program beside the test, ended with it; its output goes to a file of the node's folder."""
    with open(f"{node.dir}/{name}.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=dict(node.env, **env), start_new_session=True)
    try:
        yield process
    except Failed as error:
        raise Failed(f"{error}\n{''.join(open(f'{node.dir}/{name}.log').readlines()[-15:])}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@test
def the_python_client(node):
    # Nothing of a first try is in the second one's way.
    node.out("delete", "namespace/python", "customresourcedefinition/widgets.example.org", "--ignore-not-found")
    sh(f"{python()}/python", "-B", f"{CLIENTS}/python_client.py", env=node.env, timeout=240)


@test
def an_operator(node):
    names = dict(plural="websites", singular="website", kind="Website")
    schema = dict(type="object", properties=dict(
        spec=dict(type="object", required=["title"], properties=dict(title=dict(type="string"))),
        status=dict({"type": "object", "x-kubernetes-preserve-unknown-fields": True})))
    node.apply(dict(apiVersion="apiextensions.k8s.io/v1", kind="CustomResourceDefinition", metadata=dict(name="websites.example.org"), spec=dict(
        group="example.org", scope="Namespaced", names=names,
        versions=[dict(name="v1", served=True, storage=True, subresources=dict(status={}), schema=dict(openAPIV3Schema=schema))])))
    website = lambda name, title: dict(apiVersion="example.org/v1", kind="Website", metadata=dict(name=name), spec=dict(title=title))
    title = lambda: node.json("get", "configmap", "site-page")["data"]
    with background(node, "operator", f"{python()}/kopf", "run", "-n", "default", "--standalone", f"{CLIENTS}/operator_kopf.py", PYTHONDONTWRITEBYTECODE="1"):
        eventually("the definition is served", lambda: node.kubectl("get", "websites", check=False)[0] == 0)
        node.apply(website("site", "first"))
        eventually("the operator made the page", lambda: title() == dict(title="first"), timeout=60)
        eventually("the status says so", lambda: node.json("get", "website", "site").get("status", {}).get("made") == dict(page="site-page"))
        node.apply(website("site", "second"))
        eventually("the operator changed the page", lambda: title() == dict(title="second", before="first"))
        node.apply(website("other", "broken"))
        eventually("the failure is an event", lambda: any("must not be broken" in e["message"] for e in node.json("get", "events")["items"]))
        node.out("delete", "website", "--all", "--timeout=30s")
        eventually("the operator said goodbye", lambda: node.kubectl("get", "configmap", "site-goodbye", check=False)[0] == 0)
        eventually("what the website owned is gone", lambda: node.kubectl("get", "configmap", "site-page", check=False)[0] != 0)
    node.out("delete", "crd", "websites.example.org")
    node.out("delete", "configmap", "site-goodbye", "other-goodbye")


@test
def the_document_describes_the_server(node):
    """schemathesis sends what the OpenAPI document allows and refuses answers that it does not describe."""
    credentials = [f"{node.dir}/client.crt", f"{node.dir}/client.key"]
    user = node.json("config", "view", "--raw")["users"][0]["user"]
    for path, field in zip(credentials, ("client-certificate-data", "client-key-data")):
        with open(path, "wb") as file:
            file.write(base64.b64decode(user[field]))
    for group, paths in (("apis/coordination.k8s.io/v1", "/leases"), ("apis/batch/v1", "/cronjobs"), ("api/v1", "/configmaps")):
        url = f"https://127.0.0.1:{node.port}"
        code, out, err = sh(
            f"{python()}/st", "run", f"{url}/openapi/v3/{group}", "--url", url, "--request-cert", credentials[0], "--request-cert-key", credentials[1],
            "--tls-verify", "false", "--include-path-regex", f"namespaces/.namespace.{paths}", "--exclude-method", "DELETE", "--max-examples", "15", "--seed", "1",
            "--phases", "fuzzing", "--checks", "not_a_server_error,response_schema_conformance,content_type_conformance", "--no-color", "--suppress-health-check", "all", check=False, timeout=300,
            env=dict(node.env, PYTHONPATH=CLIENTS, SCHEMATHESIS_HOOKS="fuzz_hooks", PYTHONDONTWRITEBYTECODE="1"))
        expect(code == 0, f"{group}: {out[-3000:]} {err[-500:]}")
