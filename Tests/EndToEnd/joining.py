"""Machines that join with a token: a server, and an agent in a network namespace of its own. The certificate it gets, its renewal, its end."""
import base64, contextlib, hashlib, json, os, shutil, signal, subprocess, tempfile, time
from harness import *


class Joined(Lan):
    """The server listens on a bridge; the agent's machine hangs on it."""

    def __init__(self, index):
        super().__init__("j", index, 1, 98)
        self.agent, self.address, self.namespace = self.agents[0], self.addresses[0], self.namespaces[0]
        self.credential = f"{self.agent.data}/agent/kubeconfig"

    def swiftlet(self, *command, **kw):
        return sh(f"{BIN}/swiftlet", *command, **kw)

    def refused(self, *extra):
        """The message of an agent that does not start."""
        code, out, errors = sh(*self.agent_command(0, *extra), check=False, timeout=60)
        expect(code != 0, f"it was let in: {out}")
        expect(len(errors.strip().split("swiftlet: ")) == 2, f"one message, please: {errors}")
        return errors

    def start_agent(self, *extra, wait=True):
        self.launch(0, *extra)
        if wait:
            eventually("the node is Ready", self.is_ready, timeout=40)

    def is_ready(self):
        expect(self.agent.process.poll() is None, "the agent ended: " + self.said()[-800:])
        return " Ready " in self.server.kubectl("get", "nodes", "--no-headers", check=False)[1]

    def said(self):
        return open(self.agent.log).read()

    def certificate(self, path=None):
        """The node's certificate in PEM."""
        text = open(path or self.credential).read()
        if path:
            return text[:text.index("-----END CERTIFICATE-----") + 26]
        return base64.b64decode(next(l.split(":")[1].strip() for l in text.split("\n") if "client-certificate-data" in l)).decode()

    def api(self, path, config=None):
        """What a path says to whoever holds the agent's credential."""
        return sh("kubectl", "--kubeconfig", config or self.credential, "get", "--raw", path, check=False)


@contextlib.contextmanager
def joined(*server_options):
    cluster = Joined(int(os.environ.get("SWIFTLET_E2E_INDEX", "1")) + 12)
    try:
        cluster.wire()
        cluster.start_server(*server_options)
        yield cluster
    except Exception:
        if os.path.exists(cluster.agent.log):
            print("--- the agent:\n" + cluster.said()[-int(os.environ.get("LOG_BYTES", "2500")):], flush=True)
        raise
    finally:
        cluster.end()


def seconds_of(pem):
    """How long a certificate is good, from its beginning."""
    out = sh("openssl", "x509", "-noout", "-startdate", "-enddate", "-dateopt", "iso_8601", input=pem)[1]
    times = [time.mktime(time.strptime(l.split("=")[1], "%Y-%m-%d %H:%M:%SZ")) for l in out.strip().split("\n")]
    return times[1] - times[0]


@test
def a_machine_joins_by_token(_):
    with joined() as c:
        token = c.token("--description", "for the test")
        # The pin is kubeadm's: of the authority's public key.
        key = subprocess.run(["openssl", "x509", "-pubkey", "-noout", "-in", f"{c.server.data}/pki/ca.crt"], capture_output=True).stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, capture_output=True).stdout
        pin = "sha256:" + hashlib.sha256(der).hexdigest()
        expect(token.split("@")[1] == pin, f"{token}, not {pin}")
        whole = c.swiftlet("token", "create", "--data-dir", c.server.data, "--print-join-command", "--ttl", "1h")[1].split()
        expect(whole[:5] == ["swiftlet", "agent", "--server", c.url, "--token"], whole)
        listed = c.swiftlet("token", "list", "--data-dir", c.server.data)[1]
        expect(token[:6] in listed and "for the test" in listed and token[7:23] not in listed and "23h59m" in listed, listed)

        bare, id = token.split("@")[0], token[:6]
        wrong = f"{id}.{'0' * 16}@{pin}"
        cases = [(["--token", wrong], ["not signed with the token"]), (["--token", f"zzzzzz.{token[7:]}"], ["has no token zzzzzz"]),
                 (["--token", bare], ["which authority", "--ca-cert-hash"]), (["--token", "short"], ["this is no token"]),
                 (["--token", f"{bare}@sha256:{'0' * 64}"], ["not the one that the token names", pin, "nothing was sent"]),
                 (["--token", bare, "--ca-cert-hash", f"sha256:{'a' * 64}"], ["not the one that the token names"]),
                 ([], ["joined no cluster yet", "token create"])]
        for options, words in cases:
            errors = c.refused("--server", c.url, *options)
            expect(all(w in errors for w in words), f"{options}: {errors}")
        expect(not os.path.exists(c.credential), "a credential is left of a refused join")
        expect(c.server.kubectl("get", "csr", "--no-headers")[1] == "", "a request was sent all the same")

        c.start_agent("--server", c.url, "--token", token, "--node-name", "worker")
        expect(c.server.out("get", "nodes", "-o", "name").strip() == "node/worker", "the node's name")
        for path, mode in ((c.credential, 0o600), (f"{c.agent.data}/agent/serving.pem", 0o600), (f"{c.agent.data}/agent", 0o700)):
            expect(os.stat(path).st_mode & 0o777 == mode, f"{path}: {oct(os.stat(path).st_mode)}")
        csrs = {r["spec"]["signerName"]: r for r in c.server.json("get", "csr")["items"]}
        expect(csrs["kubernetes.io/kube-apiserver-client-kubelet"]["spec"]["username"] == f"system:bootstrap:{id}", csrs)
        expect(csrs["kubernetes.io/kubelet-serving"]["spec"]["username"] == "system:node:worker", csrs)
        c.agent.image()
        c.server.apply(pod("one", ["sh", "-c", "echo it runs; trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"]))
        c.server.ready("one")
        eventually("its log, by the endpoint's certificate", lambda: c.server.out("logs", "one") == "it runs\n")
        expect(c.server.out("exec", "one", "--", "echo", "hello").strip() == "hello", "exec")

        # Services and their names, which the node follows as itself.
        c.server.apply(pod("web", ["sh", "-c", "mkdir /tmp/w; echo a page > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w"]))
        c.server.apply(dict(apiVersion="v1", kind="Service", metadata=dict(name="web"), spec=dict(selector=dict(app="web"), ports=[dict(port=80, targetPort=8080)])))
        c.server.ready("web")
        address = c.server.json("get", "service", "web")["spec"]["clusterIP"]
        eventually("the service", lambda: c.server.out("exec", "one", "--", "wget", "-qO-", f"http://{address}/").strip() == "a page", 20)
        eventually("its name", lambda: f"Address: {address}" in c.server.out("exec", "one", "--", "nslookup", "web.default.svc.cluster.local"), 20)
        for path, isAllowed in (("/api/v1/nodes", True), ("/apis/discovery.k8s.io/v1/endpointslices", True), ("/api/v1/secrets", False), ("/api/v1/pods", False)):
            expect((c.api(path)[0] == 0) == isAllowed, f"{path} for a node: {c.api(path)}")

        # Without token and server: what it has is enough, and the token's end changes nothing.
        c.swiftlet("token", "delete", "--data-dir", c.server.data, id)
        expect(id not in c.swiftlet("token", "list", "--data-dir", c.server.data)[1], "the token is still there")
        expect(c.swiftlet("token", "delete", "--data-dir", c.server.data, id, check=False)[0] != 0, "a token that is not there was deleted")
        expect("not as other" in (c.agent.stop() or c.refused("--node-name", "other")), "another name")
        c.start_agent()
        c.server.apply(pod("two"))
        c.server.ready("two")
        expect(c.server.out("exec", "one", "--", "echo", "again").strip() == "again", "exec after the restart")
        expect(len(c.server.json("get", "csr")["items"]) == len(csrs), "the restart asked for certificates anew")
        c.server.out("delete", "pod", "--all", timeout=60)


@test
def a_token_ends(_):
    with joined() as c:
        token = c.token("--ttl", "2s")
        time.sleep(2.5)
        errors = c.refused("--server", c.url, "--token", token)
        expect(token[:6] in errors and "expired" in errors and "token create" in errors, errors)


@test
def certificates_are_renewed(_):
    with joined("--node-certificate-ttl", "12s") as c:
        c.start_agent("--server", c.url, "--token", c.token("--ttl", "10s"), "--node-name", "worker")
        c.agent.image()
        c.server.apply(pod("one", ["sh", "-c", "echo it runs; trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"]))
        c.server.ready("one")
        before = c.server.json("get", "pod", "one")["status"]["containerStatuses"]
        expect(seconds_of(c.certificate()) == 12, f"{seconds_of(c.certificate())} s")
        seen, begun, failures = {c.certificate()}, time.monotonic(), []
        servings = {c.certificate(f"{c.agent.data}/agent/serving.pem")}
        while time.monotonic() < begun + 42:
            seen.add(c.certificate())
            servings.add(c.certificate(f"{c.agent.data}/agent/serving.pem"))
            # Both directions at any time: the agent's requests, and the server's to the agent.
            code, _, errors = c.server.kubectl("exec", "one", "--", "true", check=False)
            failures += [f"{time.strftime('%T')} {errors}"] if code else []
            time.sleep(0.2)
        expect(len(seen) >= 4 and len(servings) >= 4, f"{len(seen)} certificates and {len(servings)} of the endpoint in 42 s")
        expect(not failures, f"calls failed meanwhile: {failures}")
        c.server.apply(pod("two"))
        c.server.ready("two")
        expect(c.server.json("get", "pod", "one")["status"]["containerStatuses"] == before, "the container was restarted")
        node = c.server.json("get", "node", "worker")
        ready = next(x for x in node["status"]["conditions"] if x["type"] == "Ready")
        expect(ready["status"] == "True", ready)
        expect("not renewed" not in c.said() and "no longer takes" not in c.said(), "the log tells of failures")

        # One that was off for too long: not without a token, and with one as if nothing had been.
        c.agent.kill()
        time.sleep(13)
        errors = c.refused()
        expect("ended on" in errors and "--token" in errors, errors)
        c.start_agent("--server", c.url, "--token", c.token())
        c.server.apply(pod("three"))
        c.server.ready("three")
        expect(c.server.json("get", "pod", "one")["status"]["containerStatuses"][0]["containerID"] == before[0]["containerID"], "another container")
        c.server.out("delete", "pod", "--all", timeout=60)


@test
def a_deleted_node_has_no_rights(_):
    with joined() as c:
        token = c.token()
        c.start_agent("--server", c.url, "--token", token, "--node-name", "worker")
        stolen = f"{c.agent.dir}/stolen"
        shutil.copy(c.credential, stolen)
        c.agent.image()
        c.server.apply(pod("one"))
        c.server.ready("one")
        expect(c.api("/api/v1/nodes/worker")[0] == 0, "the node cannot read itself")
        mine = "/api/v1/pods?fieldSelector=spec.nodeName%3Dworker"
        watch = subprocess.Popen(["kubectl", "--kubeconfig", stolen, "get", "--raw", mine + "&watch=true"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        expect(watch.stdout.readline().startswith(b"{"), "the watch")
        c.server.out("delete", "node", "worker")
        code, _, errors = c.api("/api/v1/nodes/worker", stolen)
        expect(code != 0 and ("nauthorized" in errors or "was deleted" in errors), errors)
        expect(watch.wait(10) is not None, "a watch of the deleted node goes on")
        eventually("the agent says so", lambda: "no longer takes the certificate of node worker" in c.said() and "swiftlet node reset" in c.said(), 40)
        expect(c.agent.process.poll() is None and "one" in c.agent.swiftlet("ps")[1], "the agent or its pod ended")
        expect(c.server.kubectl("get", "node", "worker", check=False)[0] != 0, "the node made itself again")
        # Nor with a request for another certificate, nor after a restart of either.
        code, _, errors = sh("kubectl", "--kubeconfig", stolen, "get", "csr", check=False)
        expect(code != 0, "it may still ask for certificates")
        c.server.stop()
        c.start_server()
        expect(c.api("/api/v1/nodes/worker", stolen)[0] != 0, "the restarted server has forgotten")
        c.agent.stop()
        errors = c.refused()
        expect("worker was deleted" in errors and "--token" in errors, errors)
        # A person who hands out a token lets it in again; the old certificate stays worthless.
        c.start_agent("--server", c.url, "--token", token)
        expect(c.api("/api/v1/nodes/worker")[0] == 0 and c.api("/api/v1/nodes/worker", stolen)[0] != 0, "old or new certificate")
        c.server.apply(pod("two"))
        c.server.ready("two", timeout=60)


@test
def a_node_leaves(_):
    before = Host.picture()
    with joined() as c:
        machine = lambda *command: sh("nsenter", f"--net=/run/netns/{c.namespace}", *command)[1]
        clean = (machine("ip", "-o", "link"), machine("nft", "list", "ruleset") if shutil.which("nft") else "")
        c.start_agent("--server", c.url, "--token", c.token(), "--node-name", "worker")
        c.agent.image()
        c.server.apply(pod("one"))
        c.server.ready("one")
        reset = ["nsenter", f"--net=/run/netns/{c.namespace}", f"{BIN}/swiftlet", "node", "reset"]
        expect(sh(*reset, *c.agent.options(), check=False)[0] != 0, "it was reset while the agent runs")
        c.agent.stop()
        code, _, errors = sh(*reset, "--data-dir", c.server.data, check=False)
        expect(code != 0 and "control plane" in errors, errors)
        expect("stopped 1 pod and removed all data" in sh(*reset, *c.agent.options(), timeout=60)[1], "reset")
        expect(not os.path.exists(c.agent.data) and not os.path.exists(c.agent.run), f"{sh('find', c.agent.dir)[1]}")
        after = (machine("ip", "-o", "link"), machine("nft", "list", "ruleset") if shutil.which("nft") else "")
        strip = lambda text: [l.split("@")[0].split(": ")[:2] for l in text.split("\n")]
        expect(strip(after[0]) == strip(clean[0]) and after[1] == clean[1], f"links or rules stay: {after}")
        expect(c.server.json("get", "node", "worker")["metadata"]["name"] == "worker", "the Node object is the server's")
        left = [x for x in Host.difference(before, Host.picture()) if x.split(":")[0] in ("cgroups", "mounts")]
        expect(not [x for x in left if c.agent.prefix in x and "cgroups" in x], left)
