"""An operator written with kopf: a Website becomes a ConfigMap that it owns, and says so in its status."""
import kopf
from kubernetes import client, config


@kopf.on.startup()
def settings(settings: kopf.OperatorSettings, **_):
    settings.posting.enabled = True
    config.load_kube_config()


@kopf.on.create("example.org", "v1", "websites")
def made(spec, name, namespace, body, **_):
    if spec["title"] == "broken":
        kopf.event(body, type="Warning", reason="Broken", message="a website must not be broken")
        raise kopf.PermanentError("broken")
    page = dict(apiVersion="v1", kind="ConfigMap", metadata=dict(name=f"{name}-page"), data=dict(title=spec["title"]))
    kopf.adopt(page)
    client.CoreV1Api().create_namespaced_config_map(namespace, page)
    return dict(page=f"{name}-page")


@kopf.on.update("example.org", "v1", "websites", field="spec.title")
def renamed(old, new, name, namespace, **_):
    client.CoreV1Api().patch_namespaced_config_map(f"{name}-page", namespace, dict(data=dict(title=new, before=old)))


@kopf.on.delete("example.org", "v1", "websites")
def ended(name, namespace, **_):
    client.CoreV1Api().create_namespaced_config_map(namespace, dict(metadata=dict(name=f"{name}-goodbye")))
