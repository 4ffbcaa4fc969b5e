import HTTPServing
import JSONCodec
import NIOCore

/// `/healthz`, `/livez` and `/readyz`, whole or one check of theirs (kubernetes: "Kubernetes API health endpoints").
struct HealthChecks: Sendable {
  enum Check: String, CaseIterable, Sendable {
    /// Whoever answers is there.
    case ping
    /// The store, under the name that probes know it by.
    case etcd
    /// The copy of the roles that decisions are made by.
    case informers = "informer-sync"
  }

  enum Kind: String, CaseIterable, Sendable {
    case healthz, livez, readyz

    var path: String { "/" + rawValue }
    var checks: [Check] { self == .readyz ? Check.allCases : [.ping, .etcd] }
  }

  let server: APIServer

  /// Nil where the path is none of these.
  func answer(_ request: ServedRequest) async -> ServedResponse? {
    let parts = request.path.split(separator: "/", maxSplits: 1).map(String.init)
    guard let kind = parts.first.flatMap(Kind.init) else { return nil }
    guard parts.count > 1 else { return await whole(kind, request) }
    guard let check = Check(rawValue: parts[1]), kind.checks.contains(check) else { return nil }
    if await passes(check) { return .text(.ok, "ok") }
    return .text(.internalServerError, "internal server error: \(check.rawValue) failed\n")
  }

  private func whole(_ kind: Kind, _ request: ServedRequest) async -> ServedResponse {
    var excluded = Set(request.queryValues("exclude").flatMap { $0.split(separator: ",").map(String.init) })
    var text = ""
    var hasFailed = false
    for check in kind.checks {
      if excluded.remove(check.rawValue) != nil {
        text += "[+]\(check.rawValue) excluded: ok\n"
      } else if await passes(check) {
        text += "[+]\(check.rawValue) ok\n"
      } else {
        hasFailed = true
        text += "[-]\(check.rawValue) failed: reason withheld\n"
      }
    }
    if !excluded.isEmpty {
      let names = excluded.sorted().map { JSON.string($0).text() }.joined(separator: ", ")
      text += "warn: some health checks cannot be excluded: no matches for \(names)\n"
    }
    // A failure is always told in full.
    if hasFailed { return .text(.internalServerError, "\(text)\(kind.rawValue) check failed\n") }
    return .text(.ok, request.queryValue("verbose") == nil ? "ok" : "\(text)\(kind.rawValue) check passed\n")
  }

  private func passes(_ check: Check) async -> Bool {
    switch check {
    case .ping: return true
    case .etcd:
      do {
        // Whether it is there does not matter: it has to be looked for.
        _ = try await server.resources.store.get("/registry/namespaces/default", at: nil)
        return true
      } catch {
        return false
      }
    case .informers: return await server.access.index.isSynced()
    }
  }

  /// The state of each check as a gauge (`/metrics/slis`).
  func measures() async -> String {
    var text = "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.\n"
    text += "# TYPE kubernetes_healthcheck gauge\n"
    for kind in Kind.allCases {
      for check in kind.checks {
        text += "kubernetes_healthcheck{name=\"\(check.rawValue)\",type=\"\(kind.rawValue)\"} \(await passes(check) ? 1 : 0)\n"
      }
    }
    return text
  }
}
