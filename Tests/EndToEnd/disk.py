"""Data directories that are full, read-only, or on a file system that will not do."""
import contextlib, json, os, shutil
from harness import *
from failures import object_names, refused


@contextlib.contextmanager
def mounted(path, *arguments):
    """Something mounted on the host for as long as the test takes."""
    os.makedirs(path, exist_ok=True)
    sh("mount", *arguments, path)
    try:
        yield path
    finally:
        eventually(f"{path} is unmounted", lambda: sh("umount", path, check=False)[0] == 0, timeout=10)


@test
def data_directory_will_not_do(_):
    node = Node(7)
    with mounted(f"{node.dir}/ro", "-t", "tmpfs", "-o", "ro", "tmpfs"):
        refused(node, f"{node.dir}/ro", "Read-only file system", "--data-dir", options=["--data-dir", f"{node.dir}/ro"])
    for name in ("low", "up", "work"):
        os.makedirs(f"{node.dir}/{name}")
    layers = f"lowerdir={node.dir}/low,upperdir={node.dir}/up,workdir={node.dir}/work"
    with mounted(f"{node.dir}/overlay", "-t", "overlay", "-o", layers, "overlay"):
        refused(node, f"{node.dir}/overlay", "root file systems", "ext4", options=["--data-dir", f"{node.dir}/overlay"])
    open(f"{node.dir}/file", "w").close()
    refused(node, f"{node.dir}/file", options=["--data-dir", f"{node.dir}/file/data"])
    refused(node, f"{node.dir}/file", options=["--data-dir", f"{node.dir}/file"])
    shutil.rmtree(node.dir)


def fill(path):
    """Takes all the space there is, but for what is needed to say so."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


@test
def disk_is_full_at_start(_):
    node = Node(7)
    with mounted(f"{node.dir}/disk", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs") as disk:
        node.data = f"{disk}/data"
        fill(f"{disk}/filler")
        refused(node, node.data, "space")
        os.remove(f"{disk}/filler")
        os.makedirs(node.data, exist_ok=True)
        fill(f"{disk}/filler")
        refused(node, node.data, "space")
        os.remove(f"{disk}/filler")
        node.start()
        node.purge()
    shutil.rmtree(node.dir)


@test
def disk_becomes_full(_):
    node = Node(7)
    with mounted(f"{node.dir}/disk", "-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs") as disk:
        node.data = f"{disk}/data"
        try:
            node.start()
            node.image()
            node.apply(pod("living"))
            node.ready("living")
            state = node.json("get", "pod", "living")["status"]["containerStatuses"][0]
            fill(f"{disk}/filler")
            text = "x" * 60_000
            written, refusal = set(), None
            for i in range(200):
                code, _, errors = node.kubectl("create", "-f", "-", check=False, input=json.dumps(
                    dict(apiVersion="v1", kind="ConfigMap", metadata=dict(name=f"big-{i}"), data=dict(text=text))))
                if code != 0:
                    refusal = errors
                    break
                written.add(f"big-{i}")
            expect(refusal, "200 objects fitted on a full disk")
            expect("disk is full" in refusal and "InsufficientStorage" in refusal, refusal)
            expect(written <= object_names(node) and len(refusal.strip().split("\n")) == 1, "an object is missing, or more than one message")
            expect(node.process.poll() is None, "swiftlet ended")
            expect(node.out("exec", "living", "--", "echo", "alive").strip() == "alive", "the pod does not answer")
            node.stop()
            os.remove(f"{disk}/filler")
            node.start()
            expect(written <= object_names(node), "an object was lost")
            node.out("create", "configmap", "after", "--from-literal=a=b")
            now = node.json("get", "pod", "living")["status"]["containerStatuses"][0]
            expect(now["containerID"] == state["containerID"] and now["restartCount"] == 0, "the container was restarted")
            node.apply(pod("later"))
            node.ready("later")
        finally:
            with contextlib.suppress(OSError):
                os.remove(f"{disk}/filler")
            node.purge()
    shutil.rmtree(node.dir)


@test
def space_returns_without_a_restart(_):
    node = Node(7)
    with mounted(f"{node.dir}/disk", "-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs") as disk:
        node.data = f"{disk}/data"
        try:
            node.start()
            node.image()
            fill(f"{disk}/filler")
            manifest = json.dumps(pod("waiting", metadata=dict(annotations=dict(text="x" * 200_000))))
            refusals = [node.kubectl("create", "-f", "-", check=False, input=manifest.replace("waiting", f"waiting-{i}"))[0] for i in range(20)]
            expect(any(refusals), "20 large pods fitted on a full disk")
            os.remove(f"{disk}/filler")
            node.apply(pod("now"))
            node.ready("now")
            node.out("delete", "pod", "--all", "--now", timeout=120)
        finally:
            with contextlib.suppress(OSError):
                os.remove(f"{disk}/filler")
            node.purge()
    shutil.rmtree(node.dir)
