"""What the end-to-end tests share: a node of their own, the real kubectl, and a picture of the host before and after.

Only Python's standard library is used. Every path, port, name and address range is this run's own, so that it disturbs
nothing on the machine and several runs can go side by side.
"""
import base64, json, os, re, shutil, signal, ssl, subprocess, sys, tempfile, time, urllib.error, urllib.request

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BIN = os.environ.get("SWIFTLET_BIN", os.path.join(ROOT, ".build", "release"))


class Failed(Exception):
    pass


def sh(*args, check=True, input=None, timeout=120, env=None):
    """Runs a program; returns (exit code, output, errors)."""
    p = subprocess.run(args, input=input, capture_output=True, text=True, timeout=timeout, env=env)
    if check and p.returncode != 0:
        raise Failed(f"{' '.join(args)} ended with {p.returncode}: {p.stderr.strip() or p.stdout.strip()}")
    return p.returncode, p.stdout, p.stderr


def eventually(what, probe, timeout=30, every=0.05):
    """Waits until probe() is true and returns its value; the last value or error is named when it never is."""
    end, last = time.monotonic() + timeout, None
    while time.monotonic() < end:
        try:
            last = probe()
            if last:
                return last
        except Failed as error:
            last = error
        time.sleep(every)
    raise Failed(f"{what}: not within {timeout} s (last: {last})")


class NamespaceFolder:
    """What the first `ip netns add` of a machine makes and mounts; `restore` takes it away where it was not there before."""

    PATH = "/run/netns"

    def __init__(self):
        self.had_mount, self.had_folder = os.path.ismount(self.PATH), os.path.exists(self.PATH)

    def restore(self):
        if not self.had_mount and os.path.ismount(self.PATH) and not os.listdir(self.PATH):
            sh("umount", self.PATH, check=False)
        if not self.had_folder:
            sh("rmdir", self.PATH, check=False)


def expect(condition, message):
    if not condition:
        raise Failed(message)


class Host:
    """What must be the same after as before."""

    @staticmethod
    def picture():
        links = set(os.listdir("/sys/class/net"))
        mounts = sorted(l.split(" ")[4] for l in open("/proc/self/mountinfo"))
        tree = next((l.split()[1] for l in open("/proc/mounts") if l.split()[2] == "cgroup2"), None)
        cgroups = set()
        if tree:
            for base, _, _ in os.walk(tree):
                if "swiftlet" in base or "kubepods" in base:
                    cgroups.add(base)
        rules = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout.split("\n") if shutil.which("nft") else []
        routes = sorted(subprocess.run(["ip", "-o", "route"], capture_output=True, text=True).stdout.split("\n"))
        processes = {}
        for p in filter(str.isdigit, os.listdir("/proc")):
            try:
                name = open(f"/proc/{p}/comm").read().strip()
                state, parent = open(f"/proc/{p}/stat").read().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if (state, parent) == ("Z", "1"):
                continue  # it has ended, and init has yet to hear of it
            if name.startswith("swiftlet") and not name.startswith("swiftletPackage"):
                processes[int(p)] = name
        sysctls = {}
        for path in ("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding", "net/ipv4/conf/all/rp_filter"):
            try:
                sysctls[path] = open("/proc/sys/" + path).read().strip()
            except OSError:
                pass
        return dict(links=sorted(links), mounts=mounts, cgroups=sorted(cgroups), rules=sorted(rules), routes=routes,
                    processes=sorted(processes.items()), sysctls=sysctls)

    @staticmethod
    def difference(before, after):
        out = []
        for key in before:
            if before[key] != after[key]:
                a, b = before[key], after[key]
                if isinstance(a, list):
                    gone, new = [x for x in a if x not in b], [x for x in b if x not in a]
                    out.append(f"{key}: gone {gone}, new {new}" if gone or new else f"{key}: counts differ ({len(a)} and {len(b)})")
                else:
                    out.append(f"{key}: {a} became {b}")
        return out


class Node:
    """An all-in-one node in a folder of its own."""

    start_seconds = 60

    def __init__(self, index=1):
        self.dir = tempfile.mkdtemp(prefix="swiftlet-e2e-")
        self.port, self.kubelet_port = 16400 + index, 16500 + index
        self.kubeconfig = f"{self.dir}/kubeconfig"
        self.data, self.run, self.logs = f"{self.dir}/data", f"{self.dir}/run", f"{self.dir}/logs"
        self.process, self.prefix, self.index = None, f"e{index}t", index
        self.log = f"{self.dir}/log"
        self.env = dict(os.environ, KUBECONFIG=self.kubeconfig, HOME=self.dir)
        self.extra = []

    def options(self):
        """Paths of its own, a cgroup tree among them, so that taking it down leaves other nodes of this machine alone."""
        tree = next((l.split()[1] for l in open("/proc/mounts") if l.split()[2] == "cgroup2"), None)
        return ["--data-dir", self.data, "--run-dir", self.run, *(["--cgroup-root", f"{tree}/swiftlet-{self.prefix}"] if tree else [])]

    def up_command(self):
        return [f"{BIN}/swiftlet", "up", *self.options(), "--log-dir", self.logs, "--listen", f"127.0.0.1:{self.port}",
                "--advertise-address", "127.0.0.1", "--kubeconfig", self.kubeconfig, "--kubelet-port", str(self.kubelet_port),
                "--node-name", "e2e", "--pod-cidr", f"10.{200 + self.index}.0.0/16", "--service-cidr", f"10.{220 + self.index}.0.0/16",
                "--interface-prefix", self.prefix, "--static-pod-dir", f"{self.dir}/manifests", "--allow-missing-controllers",
                "--log-level", os.environ.get("SWIFTLET_LOG", "info"), *self.extra]

    def start(self, wait=True):
        os.makedirs(f"{self.dir}/manifests", exist_ok=True)
        begun = time.monotonic()
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.up_command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        if wait:
            eventually("the node is Ready", self.is_ready, timeout=self.start_seconds, every=0.02)
        return time.monotonic() - begun

    def is_ready(self):
        if self.process.poll() is not None:
            raise Failed("swiftlet ended: " + "".join(open(self.log).readlines()[-5:]))
        if not os.path.exists(self.kubeconfig):
            return False
        code, out, _ = self.kubectl("get", "nodes", "--no-headers", check=False)
        return code == 0 and " Ready " in out

    def kill(self):
        """kill -9 of the agent alone."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def purge(self):
        self.stop()
        sh(f"{BIN}/swiftlet", "down", "--purge", *self.options(), "--pod-cidr", f"10.{200 + self.index}.0.0/16", "--log-dir", self.logs, "--kubeconfig", self.kubeconfig, "--interface-prefix", self.prefix, timeout=120)

    def kubectl(self, *args, check=True, input=None, timeout=90, version=None):
        program = "kubectl"
        if version:
            program = os.path.join(os.path.dirname(os.path.realpath(shutil.which("kubectl"))), f"kubectl.{version}")
        return sh(program, *args, check=check, input=input, timeout=timeout, env=self.env)

    def out(self, *args, **kw):
        return self.kubectl(*args, **kw)[1]

    def json(self, *args):
        return json.loads(self.out(*args, "-o", "json"))

    def apply(self, manifest):
        return self.out("apply", "-f", "-", input=manifest if isinstance(manifest, str) else json.dumps(manifest))

    def call(self, method, path, body=None, **headers):
        """A request that kubectl has no word for, as the administrator; bytes come back. `content_type` is a header."""
        config = json.loads(self.out("config", "view", "--raw", "-o", "json"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile(dir=self.dir) as file:
            for part in ("client-certificate-data", "client-key-data"):
                file.write(base64.b64decode(user[part]))
            file.flush()
            context.load_cert_chain(file.name)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(cluster["server"] + path, method=method, headers=headers, data=body)
        try:
            with urllib.request.urlopen(request, context=context, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}")

    def swiftlet(self, *args, check=True, input=None):
        words = 2 if args[0] == "image" else 1
        return sh(f"{BIN}/swiftlet", *args[:words], "--run-dir", self.run, *args[words:], check=check, input=input, env=self.env)

    def image(self, name="localhost/busybox:e2e"):
        """Makes an image from Debian's busybox and imports it."""
        path = f"{self.dir}/image.tar"
        sh(f"{ROOT}/scripts/make-test-image", name, path)
        self.swiftlet("image", "import", path)
        return name

    def ready(self, *names, timeout=30):
        for name in names:
            self.out("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={timeout}s", timeout=timeout + 30)

    def gone(self, name, timeout=30):
        eventually(f"pod {name} is gone", lambda: self.kubectl("get", "pod", name, check=False)[0] != 0, timeout)


class Lan:
    """A server on this machine and agents on machines of their own, each a network namespace: all on one bridge with the server, or
    `segments` apart ([1, 2]: one machine on the first, two on the second) that a router joins. The router knows no pod."""

    def __init__(self, letter, index, agents, subnet, segments=None):
        self.index, self.prefix, self.segments = index, f"e{index}{letter}", segments
        self.server, self.agents = Node(index), [Node(index + 1 + i) for i in range(agents)]
        self.bridge, self.outer = f"{self.prefix}b", [f"{self.prefix}{i}" for i in range(agents)]
        self.namespaces = [f"swiftlet-{agent.prefix}" for agent in self.agents]
        self.router = f"swiftlet-{self.prefix}r" if segments else None
        self.subnet, self.home = f"10.{subnet}.{index}", f"10.{subnet}.{index}.1"
        segment = [n for n, size in enumerate(segments or [agents]) for _ in range(size)]
        # On one segment: .10, .11, ... behind the server's .1. Apart: 64 addresses for each segment, the router has the first.
        self.gateways = [f"{self.subnet}.{64 * (s + 1) + 1}" if segments else self.home for s in segment]
        self.addresses = [f"{self.subnet}.{(64 * (s + 1) if segments else 0) + 10 + i}" for i, s in enumerate(segment)]
        self.segment = segment
        self.ranges = ["--pod-cidr", f"10.{200 + index}.0.0/16", "--service-cidr", f"10.{220 + index}.0.0/16"]
        self.url = f"https://{self.home}:{self.server.port}"
        self.namespace_folder = NamespaceFolder()

    def wire(self):
        bits, inside = (26, ["-n", self.router]) if self.segments else (24, [])
        if self.segments:
            sh("ip", "netns", "add", self.router)
            sh("nsenter", f"--net=/run/netns/{self.router}", "sysctl", "-qw", "net.ipv4.ip_forward=1")
            sh("ip", "link", "add", self.bridge, "type", "veth", "peer", "name", "home", "netns", self.router)
            sh("ip", "addr", "add", f"{self.home}/26", "dev", self.bridge)
            sh("ip", "link", "set", self.bridge, "up")
            sh("ip", *inside, "addr", "add", f"{self.subnet}.2/26", "dev", "home")
            sh("ip", *inside, "link", "set", "home", "up")
        bridges = [(f"s{n}", f"{self.subnet}.{64 * (n + 1) + 1}") for n in range(len(self.segments or []))] or [(self.bridge, self.home)]
        for name, address in bridges:
            sh("ip", *inside, "link", "add", name, "type", "bridge")
            sh("ip", *inside, "addr", "add", f"{address}/{bits}", "dev", name)
            sh("ip", *inside, "link", "set", name, "up")
            if self.segments:
                sh("ip", "route", "add", f"{address[:address.rindex('.')]}.{int(address.split('.')[-1]) - 1}/26", "via", f"{self.subnet}.2")
        for i, name in enumerate(self.namespaces):
            sh("ip", "netns", "add", name)
            sh("ip", *inside, "link", "add", self.outer[i], "type", "veth", "peer", "name", "eth0", "netns", name)
            sh("ip", *inside, "link", "set", self.outer[i], "master", bridges[self.segment[i] if self.segments else 0][0], "up")
            for command in (["addr", "add", f"{self.addresses[i]}/{bits}", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"],
                            ["route", "add", "default", "via", self.gateways[i]]):
                sh("ip", "-n", name, *command)

    def start_server(self, *extra):
        s = self.server
        with open(s.log, "a") as log:
            s.process = subprocess.Popen([f"{BIN}/swiftlet", "server", *s.options()[:4], "--listen", f"{self.home}:{s.port}", "--advertise-address", self.home,
                                          "--kubeconfig", s.kubeconfig, *self.ranges, *extra], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        eventually("the server is ready", lambda: s.process.poll() is None and s.kubectl("get", "--raw", "/readyz", check=False)[0] == 0, timeout=30)

    def token(self, *options):
        return sh(f"{BIN}/swiftlet", "token", "create", "--data-dir", self.server.data, *options)[1].strip()

    def on(self, i):
        """What puts a command on a machine."""
        return ["nsenter", f"--net=/run/netns/{self.namespaces[i]}"]

    def agent_command(self, i, *extra):
        a = self.agents[i]
        return [*self.on(i), f"{BIN}/swiftlet", "agent", *a.options(), "--log-dir", a.logs, "--node-ip", self.addresses[i], "--kubelet-port", str(a.kubelet_port),
                "--interface-prefix", a.prefix, *self.ranges, "--allow-missing-controllers", *extra]

    def launch(self, i, *extra):
        a = self.agents[i]
        with open(a.log, "a") as log:
            a.process = subprocess.Popen(self.agent_command(i, *extra), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def down(self, i, *extra, check=True):
        sh(*self.on(i), f"{BIN}/swiftlet", "down", *self.agents[i].options(), *extra, timeout=120, check=check)

    def end(self):
        for i, agent in enumerate(self.agents):
            agent.stop()
            if os.path.exists(agent.data):
                self.down(i, "--purge", check=False)
        self.server.stop()
        if os.path.exists(self.server.data):
            sh(f"{BIN}/swiftlet", "down", "--purge", *self.server.options()[:4], timeout=120)
        for name in [*self.namespaces, *([self.router] if self.router else [])]:
            sh("ip", "netns", "del", name, check=False)
        for link in [*self.outer, self.bridge]:
            sh("ip", "link", "del", link, check=False)
        self.namespace_folder.restore()
        for node in [self.server, *self.agents]:
            shutil.rmtree(node.dir, ignore_errors=True)


SLEEP = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"]


def pod(name, command=None, image="localhost/busybox:e2e", **spec):
    container = dict(name="c", image=image, imagePullPolicy="IfNotPresent", command=command or SLEEP)
    container.update(spec.pop("container", {}))
    return dict(apiVersion="v1", kind="Pod", metadata=dict(name=name, labels=dict(app=name), **spec.pop("metadata", {})),
                spec=dict(dict(containers=[container], terminationGracePeriodSeconds=5), **spec))


TESTS = []


def test(function):
    TESTS.append(function)
    return function


FAULTS = (Failed, AssertionError, subprocess.TimeoutExpired, KeyError, IndexError, ValueError, OSError)


def run_all(node, selection):
    """Runs what is selected. What fails is tried once more: passing then, it counts as passed but is named as unsteady, to be mended."""
    passed, failed, unsteady = 0, [], []
    for function in TESTS:
        name = function.__name__
        if selection and not any(s in name for s in selection):
            continue
        for attempt in (1, 2):
            begun = time.monotonic()
            try:
                function(node)
                passed += 1
                print(f"ok    {name} ({time.monotonic() - begun:.1f} s)", flush=True)
                if attempt == 2:
                    unsteady.append(name)
                break
            except FAULTS as error:
                word = "again" if attempt == 1 else "FAIL "
                print(f"{word} {name} ({time.monotonic() - begun:.1f} s): {type(error).__name__}: {error}", flush=True)
                if attempt == 2:
                    failed.append(name)
    if unsteady:
        print(f"UNSTEADY, passed at the second attempt: {' '.join(unsteady)}")
    return passed, failed
