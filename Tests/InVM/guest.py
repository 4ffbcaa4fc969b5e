"""The node in the guest, and what its tests ask of it and of the kernel's files."""
import base64, http.client, json, os, re, ssl, sys, tempfile

if sys.argv[1:2] != ["--image"]:
    os.environ["TMPDIR"] = "/var/lib"   # an ext4 disk in the guest; containers' overlays cannot lie on an overlay
os.environ.pop("KUBECONFIG", None)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "EndToEnd"))
from harness import *

IMAGE = "localhost/busybox:vm"
IMAGE_FILE = os.path.join(ROOT, ".build", "vm-image.tar")
LAYERS = 20
PIDS = 48
CGROUP_ROOT = "/sys/fs/cgroup/swiftlet-vm"
NEEDED = {"cpu", "memory", "pids"}


def make_image(path):
    """busybox, and further layers with a file each: more than fit into one overlay's options on kernels before 6.5, as Debian 12's."""
    with tempfile.TemporaryDirectory() as folder:
        layers = []
        for n in range(1, LAYERS + 1):
            os.makedirs(f"{folder}/{n}/layers")
            with open(f"{folder}/{n}/layers/{n}", "w") as file:
                file.write(f"{n}\n")
            layers += ["--layer", f"{folder}/{n}"]
        sh(f"{ROOT}/scripts/make-test-image", "--format", "docker", *layers, IMAGE, path)


class Guest(Node):
    """The harness's node, on a machine that lacks nothing."""

    start_seconds = 180
    has_pids_option = False

    def options(self):
        return ["--data-dir", self.data, "--run-dir", self.run, "--cgroup-root", CGROUP_ROOT]

    def up_command(self):
        command = [a for a in super().up_command() if a != "--allow-missing-controllers"]
        self.has_pids_option = "--pod-pids-limit" in sh(f"{BIN}/swiftlet", "up", "--help")[1]
        return command + (["--pod-pids-limit", str(PIDS)] if self.has_pids_option else [])

    def connect(self):
        """As the administrator of the kubeconfig: kubectl's own start alone takes seconds here, and these tests ask often."""
        text = open(self.kubeconfig).read()
        files = {}
        for key in ("certificate-authority-data", "client-certificate-data", "client-key-data"):
            files[key] = f"{self.dir}/{key}.pem"
            with open(files[key], "wb") as file:
                file.write(base64.b64decode(re.search(key + r":\s*\"?([A-Za-z0-9+/=]+)", text).group(1)))
        self.tls = ssl.create_default_context(cafile=files["certificate-authority-data"])
        self.tls.load_cert_chain(files["client-certificate-data"], files["client-key-data"])
        self.connection = None

    def request(self, method, path, body=None):
        try:
            self.connection = self.connection or http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=60)
            self.connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            self.connection = None
            raise Failed(f"{method} {path}: {error}")
        if response.status >= 300:
            raise Failed(f"{method} {path}: {response.status} {answer.get('message')}")
        return answer

    def is_ready(self):
        """Asks over one connection as soon as there is a kubeconfig."""
        if self.process.poll() is not None:
            raise Failed("swiftlet ended: " + "".join(open(self.log).readlines()[-5:]))
        if not os.path.exists(self.kubeconfig):
            return False
        self.connect()
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.node()["status"].get("conditions", []))

    def node(self):
        return self.request("GET", "/api/v1/nodes/e2e")

    def pod(self, name):
        return self.request("GET", f"/api/v1/namespaces/default/pods/{name}")

    def make(self, manifest):
        return self.request("POST", "/api/v1/namespaces/default/pods", manifest)

    def ready(self, *names, timeout=120):
        def is_ready(name):
            return any(c["type"] == "Ready" and c["status"] == "True" for c in status(self, name).get("conditions", []))
        for name in names:
            eventually(f"pod {name} is ready", lambda: is_ready(name), timeout, every=0.5)

    def image(self):
        path = IMAGE_FILE
        if not os.path.exists(path):
            path = f"{self.dir}/image.tar"
            make_image(path)
        self.swiftlet("image", "import", path)


def limited(name, limits=None, requests=None, command=None, more=None, **spec):
    """A pod with these resources; `more` goes into its container."""
    resources = {}
    if limits:
        resources["limits"] = limits
    if requests:
        resources["requests"] = requests
    return pod(name, command, image=IMAGE, container=dict(resources=resources, **(more or {})), **spec)


def status(node, name):
    return node.pod(name)["status"]


def container(node, name):
    return status(node, name).get("containerStatuses", [{}])[0]


def ended(node, name, timeout=180):
    """How the container ended."""
    return eventually(f"the container of {name} ends", lambda: container(node, name).get("state", {}).get("terminated"), timeout, every=1)


def is_out_of_memory(state):
    expect(state["reason"] == "OOMKilled" and state["exitCode"] == 137, f"not an out-of-memory kill: {json.dumps(state)}")


def shared(node, name):
    """A folder of the node's that a container sees at /shared."""
    path = f"{node.dir}/{name}"
    os.mkdir(path)
    return path, dict(volumes=[dict(name="shared", hostPath=dict(path=path))]), [dict(name="shared", mountPath="/shared")]


def scores(path):
    """oom_score_adj of a cgroup's processes."""
    return {int(value(f"/proc/{p}/oom_score_adj")) for p in value(f"{path}/cgroup.procs").split()}


def cgroup(node, name):
    """Path of the pod's cgroup below the tree's root, and of its container's, as the kernel's files show them."""
    uid = node.pod(name)["metadata"]["uid"]
    found = [base for base, _, _ in os.walk(CGROUP_ROOT) if os.path.basename(base) == f"pod{uid}"]
    expect(len(found) == 1, f"cgroups of pod {name} ({uid}): {found}")
    identity = node.pod(name)["status"]["containerStatuses"][0].get("containerID", "").split("://")[-1]
    # That of the run before is kept with what else is kept of it.
    place = f"{found[0]}/{identity}"
    expect(identity and os.path.isdir(place), f"no cgroup {place}; there are {os.listdir(found[0])}")
    return os.path.relpath(found[0], CGROUP_ROOT), place


def value(path):
    return open(path).read().strip()


def table(path):
    return {k: int(v) for k, v in (line.split() for line in open(path))}


def pods(node):
    """What is there, for the one who looks for the reason of a failure."""
    try:
        return node.request("GET", "/api/v1/namespaces/default/pods")["items"]
    except (Failed, AttributeError):
        return []
