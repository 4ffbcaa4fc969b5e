"""Claims, images as volumes, paths and limits."""
import json, os
from harness import *
from nodes import events, status_of


def persistent(name, path, claim, **spec):
    return dict(apiVersion="v1", kind="PersistentVolume", metadata=dict(name=name), spec=dict(dict(
        capacity=dict(storage="1Gi"), accessModes=["ReadWriteOnce"], persistentVolumeReclaimPolicy="Retain", storageClassName="",
        hostPath=dict(path=path, type="DirectoryOrCreate"), claimRef=dict(namespace="default", name=claim)), **spec))


def claim(name, volume="", mode="ReadWriteOnce"):
    return dict(apiVersion="v1", kind="PersistentVolumeClaim", metadata=dict(name=name), spec=dict(
        accessModes=[mode], storageClassName="", volumeName=volume, resources=dict(requests=dict(storage="1Gi"))))


@test
def claims_are_mounted(node):
    store = f"{node.dir}/store"
    write = pod("writes", ["sh", "-c", "echo kept > /data/file; trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"],
                container=dict(volumeMounts=[dict(name="data", mountPath="/data")]),
                volumes=[dict(name="data", persistentVolumeClaim=dict(claimName="disk"))])
    node.apply(claim("disk", "disk-1"))
    node.apply(write)
    told = eventually("the claim is missed", lambda: [m for r, m in events(node, "writes") if r in ("FailedMount", "FailedScheduling")], timeout=20)
    node.apply(persistent("disk-1", store, "disk"))
    node.ready("writes", timeout=60)
    expect(open(f"{store}/file").read() == "kept\n", "the file on the node")
    node.apply(pod("reads", container=dict(volumeMounts=[dict(name="data", mountPath="/data", readOnly=True), dict(name="data", mountPath="/sub", subPath="deep/er")]),
                   volumes=[dict(name="data", persistentVolumeClaim=dict(claimName="disk"))]))
    node.ready("reads")
    expect(node.out("exec", "reads", "--", "cat", "/data/file") == "kept\n", "read through the claim")
    code, _, errors = node.kubectl("exec", "reads", "--", "touch", "/data/new", check=False)
    expect(code != 0 and "Read-only" in errors, errors)
    node.out("exec", "reads", "--", "touch", "/sub/x")
    expect(os.path.exists(f"{store}/deep/er/x"), "the subpath lies in the volume")
    node.out("delete", "pod", "writes", "reads")
    expect(os.path.exists(f"{store}/file"), "the volume outlives its pods")
    node.out("delete", "pvc", "disk", "--wait=false")
    node.out("delete", "pv", "disk-1", "--wait=false")


@test
def storage_node(node):
    found = node.json("get", "csinode", "e2e")
    expect(not found["spec"]["drivers"] and found["metadata"]["ownerReferences"][0]["kind"] == "Node", found)


@test
def images_are_volumes(node):
    node.apply(pod("shows", container=dict(volumeMounts=[dict(name="i", mountPath="/image"), dict(name="i", mountPath="/part", subPath="bin")]),
                   volumes=[dict(name="i", image=dict(reference="localhost/busybox:e2e", pullPolicy="IfNotPresent"))]))
    node.ready("shows")
    expect("busybox" in node.out("exec", "shows", "--", "ls", "/image/bin"), "the image's files")
    expect("busybox" in node.out("exec", "shows", "--", "ls", "/part"), "a part of them")
    code, _, errors = node.kubectl("exec", "shows", "--", "touch", "/image/new", check=False)
    expect(code != 0 and "Read-only" in errors, errors)
    mounts = status_of(node, "shows")["volumeMounts"]
    expect(any(m.get("volumeStatus", {}).get("image", {}).get("imageRef") for m in mounts), mounts)
    node.kill()
    node.start()
    eventually("the image's files are there after the agent's restart", lambda: "busybox" in node.out("exec", "shows", "--", "ls", "/image/bin"))
    expect(any(m.get("volumeStatus") for m in status_of(node, "shows")["volumeMounts"]), "the image's digest is forgotten")
    node.kubectl("exec", "shows", "--", "kill", "-9", "1", check=False)
    node.kubectl("exec", "shows", "--", "kill", "1", check=False)
    eventually("it starts again", lambda: status_of(node, "shows")["restartCount"] == 1 and status_of(node, "shows")["ready"])
    expect("busybox" in node.out("exec", "shows", "--", "ls", "/image/bin"), "the image's files in the second run")
    node.out("delete", "pod", "shows")
    expect(node.dir + "/data/pods" not in "".join(l for l in open("/proc/mounts") if "kubernetes.io~image" in l), "the mount is left")
    node.apply(pod("misses", container=dict(volumeMounts=[dict(name="i", mountPath="/image")]),
                   volumes=[dict(name="i", image=dict(reference="localhost/none:1", pullPolicy="Never"))]))
    eventually("the image is missed", lambda: status_of(node, "misses")["state"].get("waiting", {}).get("reason") == "ErrImageNeverPull")
    node.out("delete", "pod", "misses")


@test
def volumes_have_limits(node):
    node.apply(pod("fills", ["sh", "-c", "sleep 1; dd if=/dev/zero of=/d/f bs=64k count=4; trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"],
                   container=dict(volumeMounts=[dict(name="d", mountPath="/d")]), volumes=[dict(name="d", emptyDir=dict(sizeLimit="64Ki"))]))
    evicted = eventually("the pod is evicted", lambda: (lambda s: s if s["phase"] == "Failed" else None)(node.json("get", "pod", "fills")["status"]), timeout=40)
    expect(evicted["reason"] == "Evicted" and evicted["message"] == 'Usage of EmptyDir volume "d" exceeds the limit "64Ki". ', evicted)
    node.out("delete", "pod", "fills")


@test
def paths_from_variables(node):
    p = pod("expands", metadata=dict(annotations=dict(mysubpath="../up")),
            container=dict(env=[dict(name="ANNOTATION", valueFrom=dict(fieldRef=dict(fieldPath="metadata.annotations['mysubpath']")))],
                           volumeMounts=[dict(name="d", mountPath="/d", subPathExpr="$(ANNOTATION)")]),
            volumes=[dict(name="d", emptyDir={})])
    node.apply(p)
    eventually("it cannot be configured", lambda: (status_of(node, "expands")["state"].get("waiting") or {}).get("reason") == "CreateContainerConfigError")
    node.out("annotate", "pod", "expands", "mysubpath=down", "--overwrite")
    node.ready("expands")
    node.out("delete", "pod", "expands")


@test
def empty_directories(node):
    for medium, kind in (("", None), ("Memory", "tmpfs")):
        for user in (0, 1001):
            name = f"empty-{medium.lower() or 'disk'}-{user}"
            node.apply(pod(name, ["sh", "-c", "stat -c %a /d; touch /d/f && ls -ln /d/f; grep ' /d ' /proc/mounts"], restartPolicy="Never",
                           container=dict(volumeMounts=[dict(name="d", mountPath="/d")], securityContext=dict(runAsUser=user)),
                           volumes=[dict(name="d", emptyDir=dict(medium=medium))], securityContext=dict(fsGroup=123)))
            eventually("it has ended", lambda: node.json("get", "pod", name)["status"]["phase"] == "Succeeded")
            text = node.out("logs", name)
            expect(text.split()[0] in ("2777", "777") and (kind is None or kind in text), text)
            node.out("delete", "pod", name)


@test
def many_volumes_do_not_race(node):
    names = [f"race-{i}" for i in range(50)]
    node.apply(dict(apiVersion="v1", kind="List", items=[dict(apiVersion="v1", kind="ConfigMap", metadata=dict(name=n), data={"data-1": "value-1"}) for n in names]))
    pods = [pod(f"races-{i}", container=dict(volumeMounts=[dict(name=n, mountPath=f"/etc/{n}") for n in names]),
                volumes=[dict(name=n, configMap=dict(name=n, items=[{"key": "data-1", "path": "data-1"}])) for n in names]) for i in range(5)]
    node.apply(dict(apiVersion="v1", kind="List", items=pods))
    node.ready(*[p["metadata"]["name"] for p in pods], timeout=120)
    expect(node.out("exec", "races-4", "--", "cat", "/etc/race-49/data-1") == "value-1", "the file")
    node.out("delete", "pod", *[p["metadata"]["name"] for p in pods])
    node.out("delete", "configmap", *names)
