"""A control plane and a node in two processes: `swiftlet server`, and `swiftlet agent` with a kubeconfig that was made for it."""
import contextlib, json, os, shutil, signal, subprocess, time
from harness import *
from failures import refused


class Split:
    """Both on this machine, in folders, on ports and with names of their own; kubectl is the administrator's."""

    def __init__(self, index):
        self.server, self.agent = Node(index), Node(index + 1)
        self.ranges = ["--pod-cidr", f"10.{200 + index}.0.0/16", "--service-cidr", f"10.{220 + index}.0.0/16"]
        self.agent.kubeconfig = f"{self.agent.dir}/kubeconfig"
        self.agent.env = self.server.env

    def launch(self, node, *command):
        with open(node.log, "a") as log:
            node.process = subprocess.Popen([f"{BIN}/swiftlet", *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def start_server(self):
        s = self.server
        self.launch(s, "server", *s.options()[:4], "--listen", f"127.0.0.1:{s.port}", "--advertise-address", "127.0.0.1", "--kubeconfig", s.kubeconfig,
                    *self.ranges)
        eventually("the server is ready", lambda: s.process.poll() is None and s.kubectl("get", "--raw", "/readyz", check=False)[0] == 0, timeout=20)

    def agent_command(self, *extra):
        a = self.agent
        return ["agent", *a.options(), "--log-dir", a.logs, "--kubeconfig", a.kubeconfig, "--node-ip", "127.0.0.1", "--kubelet-port", str(a.kubelet_port),
                "--interface-prefix", a.prefix, *self.ranges, "--allow-missing-controllers", *extra]

    def start_agent(self):
        self.launch(self.agent, *self.agent_command())
        eventually("the node is Ready", lambda: self.agent.process.poll() is None and " Ready " in self.server.kubectl(
            "get", "nodes", "--no-headers", check=False)[1], timeout=40)

    def join(self, name):
        text = sh(f"{BIN}/swiftlet", "kubeconfig", "--data-dir", self.server.data, "--node", name, "--node-ip", "127.0.0.1")[1]
        with open(os.open(self.agent.kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    def end(self):
        for node in (self.agent, self.server):
            node.stop()
            if os.path.exists(node.data):
                sh(f"{BIN}/swiftlet", "down", "--purge", "--data-dir", node.data, timeout=120)
            shutil.rmtree(node.dir, ignore_errors=True)


def container(node, name):
    return node.json("get", "pod", name)["status"]["containerStatuses"][0]


@test
def server_and_agent(_):
    split = Split(4)
    server, agent = split.server, split.agent
    try:
        split.start_server()
        split.join("worker")
        split.start_agent()
        expect(server.out("get", "nodes", "-o", "name").strip() == "node/worker", server.out("get", "nodes"))
        agent.image()
        server.apply(pod("one", ["sh", "-c", "echo it runs; trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"]))
        server.ready("one")
        eventually("its log", lambda: server.out("logs", "one") == "it runs\n")
        expect(server.out("exec", "one", "--", "sh", "-c", "echo $((6 * 7))").strip() == "42", "exec")
        expect(server.kubectl("exec", "-i", "one", "--", "sh", "-c", "read x; echo got $x; exit 3", input="this\n", check=False)[0] == 3, "exit code of exec")
        expect("one" in agent.swiftlet("ps")[1], "ps")

        before = container(server, "one")
        agent.kill()
        server.apply(pod("two"))
        split.start_agent()
        server.ready("two")
        expect(container(server, "one") == before, f"the container changed: {before} {container(server, 'one')}")
        expect(server.out("exec", "one", "--", "echo", "again").strip() == "again", "exec after a restart of the agent")

        for end in (server.stop, server.kill):
            end()
            time.sleep(1)
            expect(agent.process.poll() is None, "the agent ended with its server: " + open(agent.log).read()[-500:])
            expect("one" in agent.swiftlet("ps")[1] and agent.swiftlet("exec", "one", "--", "echo", "alone")[1] == "alone\n", "the node does not go on alone")
            split.start_server()
            name = "after-" + end.__name__
            server.apply(pod(name))
            server.ready(name, timeout=60)
            expect(container(server, "one") == before, f"the container changed: {before} {container(server, 'one')}")
            expect(server.out("exec", "one", "--", "echo", "again").strip() == "again", "exec after a restart of the server")
        server.out("delete", "pod", "--all", timeout=60)
        expect(split.agent.process.poll() is None, "the agent ended")
    finally:
        split.end()


@test
def a_nodes_kubeconfig(_):
    """It is the node's own: good for what its kubelet needs and for nothing else, and for no other node."""
    split = Split(4)
    try:
        refused(split.agent, "authority", "--data-dir", command=[f"{BIN}/swiftlet", "kubeconfig", "--data-dir", f"{split.server.dir}/none", "--node", "x"])
        split.start_server()
        split.join("worker")
        split.start_agent()
        node = ["--kubeconfig", split.agent.kubeconfig]
        server = split.server
        server.out(*node, "get", "pods", "-A", "--field-selector", "spec.nodeName=worker")
        for command in (["create", "namespace", "x"], ["create", "serviceaccount", "x"], ["delete", "node", "other"], ["label", "namespace", "default", "a=b"]):
            code, _, errors = server.kubectl(*node, *command, check=False)
            expect(code != 0 and "orbidden" in errors and "system:node:worker" in errors, f"{command}: {errors}")
        refused(split.agent, "worker", "other", "--node-name", command=[f"{BIN}/swiftlet", *split.agent_command("--node-name", "other")])
        text = sh(f"{BIN}/swiftlet", "kubeconfig", "--data-dir", server.data, "--user", "jane", "--group", "people")[1]
        open(f"{server.dir}/jane", "w").write(text)
        errors = server.kubectl("--kubeconfig", f"{server.dir}/jane", "get", "pods", check=False)[2]
        expect('"jane"' in errors and "orbidden" in errors, errors)
    finally:
        split.end()
