"""Images out of registries: a real one on loopback with login, and one that lies.

The real one is Debian's docker-registry with a password file of htpasswd; images are pushed to it with urllib. The lying one
is a thread of this program. Both live in a folder of their own and end with this program, or with the last test.
"""
import atexit, base64, gzip, hashlib, http.server, io, json, os, re, secrets, shutil, socket, subprocess, tarfile, tempfile
import threading, time, urllib.error, urllib.parse, urllib.request
from harness import *

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
# Docker's names for the same documents, as `docker push` sends them.
DOCKER_TYPES = {OCI_MANIFEST: "application/vnd.docker.distribution.manifest.v2+json",
                OCI_CONFIG: "application/vnd.docker.container.image.v1+json",
                OCI_LAYER: "application/vnd.docker.image.rootfs.diff.tar",
                OCI_LAYER + "+gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip"}


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Registry:
    """docker-registry on a free loopback port, for one user."""

    user = "puller"

    def __init__(self):
        for program, package in (("docker-registry", "docker-registry"), ("htpasswd", "apache2-utils")):
            if not shutil.which(program):
                raise Failed(f"{program} is missing; on Debian: apt-get install {package}")
        self.dir = tempfile.mkdtemp(prefix="swiftlet-registry-")
        self.password, self.process = secrets.token_hex(8), None
        atexit.register(self.stop)
        self.host = f"127.0.0.1:{free_port()}"
        with open(f"{self.dir}/htpasswd", "w") as file:
            file.write(sh("htpasswd", "-Bbn", self.user, self.password)[1])
        config = dict(version="0.1", log=dict(level="warn", accesslog=dict(disabled=True)), http=dict(addr=self.host),
                      storage=dict(filesystem=dict(rootdirectory=f"{self.dir}/storage")),
                      auth=dict(htpasswd=dict(realm="swiftlet-tests", path=f"{self.dir}/htpasswd")))
        with open(f"{self.dir}/config.yml", "w") as file:
            json.dump(config, file)  # JSON is YAML
        with open(f"{self.dir}/log", "w") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", f"{self.dir}/config.yml"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=dict(PATH=os.environ["PATH"], OTEL_TRACES_EXPORTER="none"))
        eventually("the registry answers", self.answers, timeout=20)

    def answers(self):
        if self.process.poll() is not None:
            raise Failed("docker-registry ended: " + open(f"{self.dir}/log").read()[-500:])
        try:
            return self.request("GET", "/v2/").status == 200
        except OSError as error:
            raise Failed(str(error))

    def request(self, method, url, body=None, content_type="application/octet-stream"):
        if url.startswith("/"):
            url = f"http://{self.host}{url}"
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(url, data=body, method=method, headers={"Authorization": f"Basic {login}"})
        if body is not None:
            request.add_header("Content-Type", content_type)
        return urllib.request.urlopen(request, timeout=20)

    def push_blob(self, repository, content):
        start = self.request("POST", f"/v2/{repository}/blobs/uploads/", body=b"")
        place = urllib.parse.urljoin(f"http://{self.host}/", start.headers["Location"])
        place += ("&" if "?" in place else "?") + urllib.parse.urlencode(dict(digest=digest(content)))
        self.request("PUT", place, body=content)

    def push(self, repository, tag, archive, docker=False):
        """Pushes the one image of an oci-archive; with docker=True under Docker's media types. Returns its digest."""
        with tarfile.open(archive) as tar:
            def blob(name):
                return tar.extractfile("blobs/sha256/" + name.removeprefix("sha256:")).read()
            member = next(n for n in tar.getnames() if n.removeprefix("./") == "index.json")
            index = json.load(tar.extractfile(member))
            manifest = json.loads(blob(index["manifests"][0]["digest"]))
            for part in [manifest["config"], *manifest["layers"]]:
                self.push_blob(repository, blob(part["digest"]))
        if docker:
            for part in [manifest, manifest["config"], *manifest["layers"]]:
                part["mediaType"] = DOCKER_TYPES[part["mediaType"]]
        content = json.dumps(manifest).encode()
        self.request("PUT", f"/v2/{repository}/manifests/{tag}", body=content, content_type=manifest["mediaType"])
        return digest(content)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class LyingRegistry:
    """Serves images whose one layer is not what the manifest says.

    truncated    ends, well-formed, after half of the announced bytes; asked for the rest it begins again and ends there again
    broken       announces all bytes and breaks the connection off in the middle
    digest       as many bytes as announced, one of them another
    bomb         128 MiB of zeros in 130 KB of gzip
    """

    def __init__(self):
        noise = gzip.compress(self.tar("file", os.urandom(200_000)), mtime=0)
        raw = self.tar("file", b"right" * 20_000)
        bomb = self.tar("zeros", bytes(128 << 20))
        self.served = {}
        self.images = {
            "truncated": self.image(noise, gzip.decompress(noise), noise[:len(noise) // 2], "+gzip"),
            "broken": self.image(noise, gzip.decompress(noise), noise[:len(noise) // 2], "+gzip"),
            "digest": self.image(raw, raw, raw.replace(b"rightright", b"wrongright", 1), ""),
            "bomb": self.image(None, bomb, gzip.compress(bomb, 6, mtime=0), "+gzip")}
        lying = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                lying.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def tar(name, content):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        return out.getvalue()

    @staticmethod
    def image(announced, unpacked, served, suffix):
        announced = served if announced is None else announced
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
        config = json.dumps(dict(architecture=machine, os="linux", config=dict(Cmd=["sh"]),
                                 rootfs=dict(type="layers", diff_ids=[digest(unpacked)]))).encode()
        layer = dict(mediaType=OCI_LAYER + suffix, digest=digest(announced), size=len(announced))
        manifest = json.dumps(dict(schemaVersion=2, mediaType=OCI_MANIFEST, layers=[layer],
                                   config=dict(mediaType=OCI_CONFIG, digest=digest(config), size=len(config)))).encode()
        return dict(manifest=manifest, config=config, layer=layer, served=served)

    def answer(self, request):
        match = re.fullmatch(r"/v2/(?:evil/(\w+)/(manifests|blobs)/(.+))?", request.path)
        image = match and self.images.get(match[1])
        if match and not match[1]:
            status, kind, content, length = 200, "application/json", b"{}", 2
        elif image and match[2] == "manifests":
            status, kind, content, length = 200, OCI_MANIFEST, image["manifest"], len(image["manifest"])
        elif image and match[3] == digest(image["config"]):
            status, kind, content, length = 200, OCI_CONFIG, image["config"], len(image["config"])
        elif image and match[3] == image["layer"]["digest"]:
            content = image["served"]
            length = image["layer"]["size"] if match[1] == "broken" else len(content)
            status, kind = 200, "application/octet-stream"
            self.served[match[1]] = self.served.get(match[1], 0) + 1
        else:
            status, kind, content = 404, "application/json", b'{"errors":[{"code":"NAME_UNKNOWN","message":"not here"}]}'
            length = len(content)
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(length))
        request.end_headers()
        if request.command == "GET":
            try:
                request.wfile.write(content)
            except OSError:
                pass  # the node has seen enough
        if length != len(content):
            request.close_connection = True

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


STARTED = {}


def real(node):
    """The registry with its images and the pod's login in the cluster, made by the first test that asks."""
    if "real" not in STARTED:
        registry = Registry()
        archive = f"{registry.dir}/image.tar"
        sh(f"{ROOT}/scripts/make-test-image", "--format", "oci", "--gzip", "busybox:1", archive)
        registry.digest = registry.push("team/busybox", "1", archive)
        registry.push("team/docker", "1", archive, docker=True)
        for name, password in (("login", registry.password), ("wrong-login", "not-" + registry.password)):
            node.out("create", "secret", "docker-registry", name, f"--docker-server={registry.host}",
                     f"--docker-username={registry.user}", f"--docker-password={password}")
        STARTED["real"] = registry
    return STARTED["real"]


def files(node):
    """Every file and folder of the image store."""
    found = set()
    for base, folders, names in os.walk(f"{node.data}/images"):
        # Which container holds which image is no part of what a pull leaves.
        if not base.endswith("/leases"):
            found.update(os.path.join(base, n) for n in folders + names)
    return found


def waiting(node, name):
    status = node.json("get", "pod", name)["status"]
    states = status.get("containerStatuses") or [{}]
    return states[0].get("state", {}).get("waiting", {})


def events(node, name):
    items = node.json("get", "events", "--field-selector", f"involvedObject.name={name},involvedObject.kind=Pod")["items"]
    return [(e["type"], e["reason"], e["message"]) for e in items]


def refused(node, name, image, reasons, message, event=None, timeout=60, **spec):
    """A pod that never runs: its waiting reason, message and events, and an image store that is as it was."""
    before = files(node)
    kind, reason, text = event or ("Warning", "Failed", "Failed to pull image")

    def waits():
        state = waiting(node, name)
        return state.get("reason") in reasons and re.search(message, state.get("message", ""))

    def told():
        return any(e[:2] == (kind, reason) and text in e[2] and re.search(message, e[2]) for e in events(node, name))

    node.apply(pod(name, image=image, **spec))
    try:
        try:
            eventually(f"{name} waits because of {' or '.join(reasons)}, with a message like {message!r}", waits, timeout)
            eventually(f"{name} has an event {kind} {reason} {text}, with a message like {message!r}", told, 10)
            eventually(f"{name} has an event that names the reason", lambda: any(
                e[2] in [f"Error: {r}" for r in reasons] for e in events(node, name)), 10)
        except Failed as error:
            raise Failed(f"{error}; it is {waiting(node, name)}, with the events {events(node, name)}")
        row = node.out("get", "pod", name)
        expect(any(r in row for r in reasons) and "0/1" in row, row)
        expect(node.json("get", "pod", name)["status"]["phase"] == "Pending", "the phase")
    finally:
        node.kubectl("delete", "pod", name, "--now", check=False)
    try:
        eventually("the image store is as it was", lambda: files(node) == before, 15)
    except Failed as error:
        raise Failed(f"{error}; new: {sorted(files(node) - before)[:8]}, gone: {sorted(before - files(node))[:8]}")


PULL = ("ErrImagePull", "ImagePullBackOff")


@test
def pull_with_login(node):
    registry = real(node)
    for name, image in (("reg-oci", "team/busybox:1"), ("reg-docker", "team/docker:1")):
        node.apply(pod(name, image=f"{registry.host}/{image}", imagePullSecrets=[dict(name="login")]))
        node.ready(name)
        eventually("the pull is told", lambda: name == "reg-docker" or any(
            reason == "Pulled" and "Successfully pulled" in text for _, reason, text in events(node, name)))
    status = node.json("get", "pod", "reg-oci")["status"]["containerStatuses"][0]
    expect(registry.digest in status["imageID"] and status["image"].endswith("team/busybox:1"), status)
    expect(node.out("exec", "reg-oci", "--", "echo", "hi") == "hi\n", "exec in the pulled image")
    node.out("delete", "pod", "reg-oci", "reg-docker", "--now")
    # By digest it is the same image.
    node.apply(pod("reg-digest", image=f"{registry.host}/team/busybox@{registry.digest}", imagePullSecrets=[dict(name="login")]))
    node.ready("reg-digest")
    node.out("delete", "pod", "reg-digest", "--now")


@test
def pull_with_a_wrong_password(node):
    registry = real(node)
    refused(node, "reg-wrong", f"{registry.host}/team/busybox:1", PULL, r"refused the login|unauthorized",
            imagePullSecrets=[dict(name="wrong-login")], container=dict(imagePullPolicy="Always"))


@test
def pull_without_a_login(node):
    registry = real(node)
    refused(node, "reg-stranger", f"{registry.host}/team/busybox:1", PULL, r"wants a login|authentication required",
            container=dict(imagePullPolicy="Always"))


@test
def pull_of_a_missing_image(node):
    registry = real(node)
    refused(node, "reg-missing", f"{registry.host}/team/nothing:1", PULL, r"has no team/nothing|not found|unknown",
            imagePullSecrets=[dict(name="login")])


@test
def pull_never(node):
    refused(node, "reg-never", "localhost/not-here:1", ("ErrImageNeverPull",), r"is not present with pull policy of Never",
            event=("Warning", "ErrImageNeverPull", "localhost/not-here:1"), container=dict(imagePullPolicy="Never"))


@test
def pull_of_an_invalid_name(node):
    refused(node, "reg-invalid", "Not/A:Valid:Name", ("InvalidImageName",), r"Not/A:Valid:Name.*invalid reference format",
            event=("Warning", "InspectFailed", "Failed to apply default image tag"))


@test
def pull_from_a_lying_registry(node):
    lying = LyingRegistry()
    try:
        for kind, reasons, message in (
                ("truncated", PULL, r"ended .*after \d+ of \d+ bytes"),
                ("broken", (*PULL, "RegistryUnavailable"), r"(broke off|ended) .*after \d+ of \d+ bytes"),
                ("digest", PULL, r"has digest sha256:[0-9a-f]{64}"),
                ("bomb", PULL, r"limit \w*Ratio\w*|compress")):
            refused(node, f"reg-{kind}", f"{lying.host}/evil/{kind}:1", reasons, message)
            expect(lying.served.get(kind), f"the {kind} layer was never asked for")
        expect(lying.served["truncated"] > 1, "a download that ended early was not tried again")
    finally:
        lying.stop()


@test
def registry_that_is_gone(node):
    """What was pulled runs without the registry; what was not says that nobody answers. Ends the real registry."""
    registry = real(node)
    image = f"{registry.host}/team/busybox:1"
    login = dict(imagePullSecrets=[dict(name="login")])
    node.apply(pod("reg-before", image=image, **login))
    node.ready("reg-before")
    registry.stop()
    node.apply(pod("reg-after", image=image, **login))
    node.ready("reg-after")
    refused(node, "reg-gone", image, (*PULL, "RegistryUnavailable"), r"cannot reach " + re.escape(registry.host), timeout=90,
            container=dict(imagePullPolicy="Always"), **login)
    node.out("delete", "pod", "reg-before", "reg-after", "--now")
    node.out("delete", "secret", "login", "wrong-login")
    del STARTED["real"]
