import JSONCodec
import KubernetesAPI
import Testing

@testable import Kubelet

@Suite struct EnvironmentTests {
  private func run(
    _ container: JSON, _ objects: FakeObjects, image: [String] = [], spec: JSON = ["nodeName": "node-a"]
  ) async throws -> [String] {
    let environment = ContainerEnvironment(objects: objects, services: objects) { ["cpu": Quantity(4), "memory": Quantity("1Gi")!] }
    var pod = makePod(volumes: [], spec: spec)
    var own = container
    own["name"] = "app"
    pod.json["spec"]["containers"] = [own]
    return try await environment.environment(
      of: Container(own), in: pod, podIPs: ["10.0.0.9", "fd00::9"], hostIPs: ["192.0.2.7"], image: image)
  }

  @Test func expansionSeesWhatCameBefore() async throws {
    let list = try await run(
      [
        "env": [
          ["name": "A", "value": "a"], ["name": "B", "value": "$(A)-$(C)"], ["name": "C", "value": "$$(A) $(B"],
          ["name": "A", "value": "$(A)$(A)"], ["name": "EMPTY"],
        ]
      ], FakeObjects(), image: ["PATH=/bin", "A=image"])
    #expect(list == ["PATH=/bin", "A=aa", "B=a-$(C)", "C=$(A) $(B", "EMPTY="])
  }

  @Test func valuesFromEverywhere() async throws {
    let objects = FakeObjects()
    objects.set(.configMap, "c", ["data": ["k": "v", "other": "w"], "binaryData": ["raw": "AA=="]])
    objects.set(.secret, "s", ["data": ["p": "cHc="]])
    func from(_ name: String, _ source: JSON) -> JSON { ["name": .string(name), "valueFrom": source] }
    let list = try await run(
      [
        "resources": ["limits": ["memory": "100Mi"], "requests": ["cpu": "250m"]],
        "envFrom": [
          ["prefix": "C_", "configMapRef": ["name": "c"]], ["secretRef": ["name": "s"]],
          ["configMapRef": ["name": "absent", "optional": true]],
        ],
        "env": [
          from("K", ["configMapKeyRef": ["name": "c", "key": "k"]]), from("P", ["secretKeyRef": ["name": "s", "key": "p"]]),
          from("NOT", ["secretKeyRef": ["name": "s", "key": "none", "optional": true]]),
          from("IP", ["fieldRef": ["fieldPath": "status.podIP"]]), from("IPS", ["fieldRef": ["fieldPath": "status.podIPs"]]),
          from("LABEL", ["fieldRef": ["fieldPath": "metadata.labels['b']"]]), from("NODE", ["fieldRef": ["fieldPath": "spec.nodeName"]]),
          from("MEM", ["resourceFieldRef": ["resource": "limits.memory", "divisor": "1Mi"]]),
          from("CPU", ["resourceFieldRef": ["resource": "requests.cpu"]]),
          from("CPULIMIT", ["resourceFieldRef": ["resource": "limits.cpu", "divisor": "1m"]]),
          ["name": "REF", "value": "$(K)$(C_other)"],
        ],
      ], objects)
    #expect(
      list == [
        "C_k=v", "C_other=w", "p=pw", "K=v", "P=pw", "IP=10.0.0.9", "IPS=10.0.0.9,fd00::9", "LABEL=2", "NODE=node-a", "MEM=100",
        "CPU=1", "CPULIMIT=4000", "REF=vw",
      ])
  }

  @Test func whatIsMissingIsToldAsKubeletTellsIt() async throws {
    let objects = FakeObjects()
    objects.set(.configMap, "c", ["data": [:]])
    objects.set(.secret, "s", ["data": [:]])
    let table: [(JSON, String)] = [
      (["envFrom": [["configMapRef": ["name": "x"]]]], "configmap \"x\" not found"),
      (["envFrom": [["secretRef": ["name": "x"]]]], "secret \"x\" not found"),
      (["env": [["name": "A", "valueFrom": ["configMapKeyRef": ["name": "x", "key": "k"]]]]], "configmap \"x\" not found"),
      (["env": [["name": "A", "valueFrom": ["configMapKeyRef": ["name": "c", "key": "k"]]]]], "couldn't find key k in ConfigMap ns/c"),
      (["env": [["name": "A", "valueFrom": ["secretKeyRef": ["name": "s", "key": "k"]]]]], "couldn't find key k in Secret ns/s"),
    ]
    for (container, expected) in table {
      #expect(await message { _ = try await run(container, objects) } == expected)
    }
  }

  @Test func servicesOfTheNamespaceAndTheAPIServer() async throws {
    let objects = FakeObjects()
    func service(_ name: String, _ namespace: String, _ ip: String, _ ports: JSON) -> JSON {
      [
        "metadata": ["name": .string(name), "namespace": .string(namespace)],
        "spec": ["clusterIP": .string(ip), "ports": ports],
      ]
    }
    objects.setServices([
      service("kubernetes", "default", "10.96.0.1", [["name": "https", "port": 443, "protocol": "TCP"]]),
      service("my-db", "ns", "10.96.0.5", [["port": 5432, "protocol": "TCP"], ["name": "ctl-x", "port": 53, "protocol": "UDP"]]),
      service("headless", "ns", "None", [["port": 1]]), service("else", "other", "10.96.0.6", [["port": 1]]),
    ])
    let list = try await run(
      ["env": [["name": "URL", "value": "$(MY_DB_SERVICE_HOST)"], ["name": "MY_DB_PORT", "value": "mine"]]], objects)
    #expect(
      list == [
        "URL=10.96.0.5", "MY_DB_PORT=mine",
        "KUBERNETES_SERVICE_HOST=10.96.0.1", "KUBERNETES_SERVICE_PORT=443", "KUBERNETES_SERVICE_PORT_HTTPS=443",
        "KUBERNETES_PORT=tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP_PROTO=tcp",
        "KUBERNETES_PORT_443_TCP_PORT=443", "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1",
        "MY_DB_SERVICE_HOST=10.96.0.5", "MY_DB_SERVICE_PORT=5432", "MY_DB_SERVICE_PORT_CTL_X=53",
        "MY_DB_PORT_5432_TCP=tcp://10.96.0.5:5432", "MY_DB_PORT_5432_TCP_PROTO=tcp", "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_ADDR=10.96.0.5", "MY_DB_PORT_53_UDP=udp://10.96.0.5:53", "MY_DB_PORT_53_UDP_PROTO=udp",
        "MY_DB_PORT_53_UDP_PORT=53", "MY_DB_PORT_53_UDP_ADDR=10.96.0.5",
      ])
    let unlinked = try await run([:], objects, spec: ["enableServiceLinks": false])
    #expect(unlinked.allSatisfy { $0.hasPrefix("KUBERNETES_") } && unlinked.count == 8)
  }
}

@Suite struct PodFileTests {
  @Test func hostsWithAliasesSubdomainAndHostNetwork() throws {
    var pod = makePod(volumes: [], spec: ["hostAliases": [["ip": "1.2.3.4", "hostnames": ["foo", "bar"]]]])
    let names = try PodNames(pod, clusterDomain: "cluster.local")
    let text = PodFiles.hosts(pod, names: names, podIPs: ["10.0.0.9", "fd00::9"], hostFile: "")
    #expect(text.hasPrefix("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost"))
    #expect(text.hasSuffix("10.0.0.9\tweb-0\nfd00::9\tweb-0\n\n# Entries added by HostAliases.\n1.2.3.4\tfoo\tbar\n"))
    pod.json["spec"]["subdomain"] = "sub"
    let qualified = try PodNames(pod, clusterDomain: "cluster.local")
    #expect(
      PodFiles.hosts(pod, names: qualified, podIPs: ["10.0.0.9"], hostFile: "")
        .contains("10.0.0.9\tweb-0.sub.ns.svc.cluster.local\tweb-0\n"))
    pod.json["spec"]["hostNetwork"] = true
    #expect(
      PodFiles.hosts(pod, names: qualified, podIPs: ["192.0.2.7"], hostFile: "own\n")
        == "# Kubernetes-managed hosts file (host network).\nown\n\n# Entries added by HostAliases.\n1.2.3.4\tfoo\tbar\n")
  }

  @Test func hostnames() throws {
    func names(_ spec: JSON, name: String = "web-0") throws -> PodNames {
      var pod = makePod(volumes: [], spec: spec)
      pod.json["metadata"]["name"] = .string(name)
      return try PodNames(pod, clusterDomain: "cluster.local")
    }
    #expect(try names([:]).hostname == "web-0")
    #expect(try names(["hostname": "h"]).hostname == "h")
    let long = String(repeating: "a", count: 62) + ".b"
    #expect(try names([:], name: long).hostname == String(repeating: "a", count: 62))
    #expect(try names(["hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true]).hostname == "h.s.ns.svc.cluster.local")
    #expect(try names(["setHostnameAsFQDN": true]).hostname == "web-0")
    #expect(throws: ContainerConfigError.self) {
      try names(["hostname": .string(String(repeating: "h", count: 60)), "subdomain": "s", "setHostnameAsFQDN": true])
    }
  }

  @Test func resolverByPolicy() {
    let host = ResolverConfiguration(parsing: "# c\nnameserver 192.0.2.53\nsearch old\nsearch example.com. .\noptions rotate ndots:1\n")
    #expect(host.searches == ["example.com"])
    func text(_ spec: JSON, dns: [String] = ["10.96.0.10"]) -> String {
      ResolverConfiguration(makePod(volumes: [], spec: spec), host: host, clusterDNS: dns, clusterDomain: "cluster.local").text
    }
    let first = "search ns.svc.cluster.local svc.cluster.local cluster.local example.com\nnameserver 10.96.0.10\noptions ndots:5 rotate\n"
    #expect(text([:]) == first)
    #expect(text(["dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true]) == first)
    let own = "search example.com\nnameserver 192.0.2.53\noptions rotate ndots:1\n"
    #expect(text(["hostNetwork": true]) == own)
    #expect(text(["dnsPolicy": "Default"]) == own)
    #expect(text([:], dns: []) == own)
    #expect(
      text([
        "dnsPolicy": "None",
        "dnsConfig": ["nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [["name": "ndots", "value": "2"], ["name": "edns0"]]],
      ]) == "search a.b\nnameserver 1.1.1.1\noptions ndots:2 edns0\n")
    #expect(text(["dnsPolicy": "None"]) == "")
  }

  @Test func resolverLimitsAreToldOf() {
    let many = (0..<40).map { "d\($0).example" }
    let pod = makePod(
      volumes: [],
      spec: [
        "dnsPolicy": "None",
        "dnsConfig": [
          "nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.1"], "searches": JSON(many),
        ],
      ])
    let result = ResolverConfiguration(pod, host: ResolverConfiguration(), clusterDNS: [], clusterDomain: "")
    #expect(result.nameservers == ["1.1.1.1", "1.1.1.2", "1.1.1.3"])
    #expect(result.searches == Array(many.prefix(32)))
    #expect(result.warnings.count == 2)
    #expect(result.warnings[0].hasSuffix("the applied nameserver line is: 1.1.1.1 1.1.1.2 1.1.1.3"))
  }

  @Test func theFilesAreMountedUnlessThePodHasItsOwn() async throws {
    let node = VolumeNode()
    let pod = makePod(
      volumes: [["name": "h", "hostPath": ["path": .string(node.path + "/host-hosts"), "type": "File"]]],
      mounts: [["name": "h", "mountPath": "/etc/hosts", "readOnly": true]])
    try await node.manager.prepare(pod)
    let mounts = try await node.manager.mounts(of: pod.spec.containers[0], in: pod, podIPs: ["10.0.0.9"], environment: [], images: [:])
    #expect(mounts.map(\.target) == ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"])
    #expect(mounts.allSatisfy { !$0.isDirectory })
    guard case .bind(let source, true, .private) = mounts[0].source else { return #expect(Bool(false)) }
    #expect(source.string == node.path + "/host-hosts")
    #expect(HostFiles.read(node.path + "/pods/uid-1/etc-hostname") == "web-0\n")
  }
}
