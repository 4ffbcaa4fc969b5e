import JSONCodec
import NFTables
import Testing

@testable import ClusterDNS

/// A cluster with one service of each kind.
func exampleZone() -> ClusterZone {
  var zone = ClusterZone(
    domain: DNSName("cluster.local")!, serverAddress: IPAddress("10.96.0.10")!, podRanges: [IPPrefix("10.244.0.0/16")!],
    serviceRanges: [IPPrefix("10.96.0.0/16")!])
  func service(_ name: String, _ spec: JSON) {
    zone.put(service: ["metadata": ["namespace": "shop", "name": .string(name)], "spec": spec])
  }
  service(
    "web",
    ["clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20", "fd00:96::20"], "ports": [["name": "http", "port": 80, "protocol": "TCP"]]])
  service("db", ["clusterIP": "None", "ports": [["name": "pg", "port": 5432]]])
  service("out", ["type": "ExternalName", "externalName": "www.example.com"])
  service("alias", ["type": "ExternalName", "externalName": "web.shop.svc.cluster.local"])
  zone.put(slice: [
    "metadata": ["namespace": "shop", "name": "db-1", "labels": ["kubernetes.io/service-name": "db"]], "addressType": "IPv4",
    "ports": [["name": "pg", "port": 5432, "protocol": "TCP"]],
    "endpoints": [
      ["addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": ["ready": true]],
      ["addresses": ["10.244.0.6"], "conditions": ["ready": true]],
      ["addresses": ["10.244.0.7"], "conditions": ["ready": false]],
    ],
  ])
  return zone
}

@Suite struct ZoneTests {
  /// Records as text, sorted; for negative answers the code.
  private func ask(_ name: String, _ type: UInt16, zone: ClusterZone = exampleZone()) -> [String] {
    switch zone.answer(DNSQuestion(DNSName(name)!, type)) {
    case .foreign: return ["foreign"]
    case .alias(_, let target): return ["alias \(target)"]
    case .answer(let answer):
      if answer.code != .noError { return ["\(answer.code) \(answer.authority.map(\.name.description))"] }
      if answer.answers.isEmpty { return ["nothing \(answer.authority.map(\.name.description))"] }
      return answer.answers.map { record in
        switch record.data {
        case .address(let bytes): IPAddress(bytes: bytes)!.description
        case .name(let name): name.description
        case .service(_, _, let port, let target): "\(port) \(target)"
        case .text(let text): String(decoding: text, as: UTF8.self)
        case .authority: "SOA"
        }
      }.sorted()
    }
  }

  static let missing = ["nameError [\"cluster.local.\"]"]
  static let empty = ["nothing [\"cluster.local.\"]"]

  @Test(
    arguments: [
      ("web.shop.svc.cluster.local", RecordType.a, ["10.96.0.20"]),
      ("WEB.Shop.svc.CLUSTER.local.", RecordType.a, ["10.96.0.20"]),
      ("web.shop.svc.cluster.local", RecordType.aaaa, ["fd00:96::20"]),
      ("web.shop.svc.cluster.local", RecordType.txt, empty),
      ("_http._tcp.web.shop.svc.cluster.local", RecordType.srv, ["80 web.shop.svc.cluster.local."]),
      ("_http._tcp.web.shop.svc.cluster.local", RecordType.a, empty),
      ("_http._udp.web.shop.svc.cluster.local", RecordType.srv, missing),
      ("_tcp.web.shop.svc.cluster.local", RecordType.srv, empty),
      ("x.web.shop.svc.cluster.local", RecordType.a, missing),
      ("db.shop.svc.cluster.local", RecordType.a, ["10.244.0.5", "10.244.0.6"]),
      ("db-0.db.shop.svc.cluster.local", RecordType.a, ["10.244.0.5"]),
      ("10-244-0-6.db.shop.svc.cluster.local", RecordType.a, ["10.244.0.6"]),
      ("10-244-0-7.db.shop.svc.cluster.local", RecordType.a, missing),
      (
        "_pg._tcp.db.shop.svc.cluster.local", RecordType.srv,
        ["5432 10-244-0-6.db.shop.svc.cluster.local.", "5432 db-0.db.shop.svc.cluster.local."]
      ),
      ("out.shop.svc.cluster.local", RecordType.a, ["alias www.example.com."]),
      ("out.shop.svc.cluster.local", RecordType.cname, ["www.example.com."]),
      ("none.shop.svc.cluster.local", RecordType.a, missing),
      ("web.other.svc.cluster.local", RecordType.a, missing),
      ("shop.svc.cluster.local", RecordType.a, empty),
      ("other.svc.cluster.local", RecordType.a, missing),
      ("svc.cluster.local", RecordType.a, empty),
      ("cluster.local", RecordType.soa, ["SOA"]),
      ("cluster.local", RecordType.ns, ["ns.dns.cluster.local."]),
      ("ns.dns.cluster.local", RecordType.a, ["10.96.0.10"]),
      ("dns-version.cluster.local", RecordType.txt, ["1.1.0"]),
      ("10-244-0-9.shop.pod.cluster.local", RecordType.a, ["10.244.0.9"]),
      ("8-8-8-8.shop.pod.cluster.local", RecordType.a, missing),
      ("20.0.96.10.in-addr.arpa", RecordType.ptr, ["web.shop.svc.cluster.local."]),
      ("5.0.244.10.in-addr.arpa", RecordType.ptr, ["db-0.db.shop.svc.cluster.local."]),
      ("99.0.96.10.in-addr.arpa", RecordType.ptr, missing),
      ("8.8.8.8.in-addr.arpa", RecordType.ptr, ["foreign"]),
      ("0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.0.0.0.0.d.f.ip6.arpa", RecordType.ptr, ["foreign"]),
      ("www.example.com", RecordType.a, ["foreign"]),
      ("xcluster.local", RecordType.a, ["foreign"]),
      ("cluster.local", RecordType.axfr, ["refused []"]),
    ] as [(String, UInt16, [String])])
  func answers(name: String, type: UInt16, expected: [String]) { #expect(ask(name, type) == expected) }

  @Test func followsChanges() {
    var zone = exampleZone()
    zone.put(service: ["metadata": ["namespace": "shop", "name": "web"], "spec": ["clusterIP": "10.96.0.21"]])
    #expect(ask("web.shop.svc.cluster.local", RecordType.a, zone: zone) == ["10.96.0.21"])
    #expect(ask("20.0.96.10.in-addr.arpa", RecordType.ptr, zone: zone) == Self.missing)
    #expect(ask("21.0.96.10.in-addr.arpa", RecordType.ptr, zone: zone) == ["web.shop.svc.cluster.local."])
    zone.replace(services: [])
    #expect(ask("web.shop.svc.cluster.local", RecordType.a, zone: zone) == Self.missing)
    #expect(ask("shop.svc.cluster.local", RecordType.a, zone: zone) == Self.missing)
    #expect(ask("5.0.244.10.in-addr.arpa", RecordType.ptr, zone: zone) == Self.missing)
  }
}
