import JSONCodec

extension Findings {
  /// Probes and hooks of a container.
  mutating func probes(_ container: JSON, _ path: FieldPath, gracePeriod: Int) {
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] where !container[field].isNull {
      let probe = container[field]
      let at = path / field
      handler(probe, at, ["exec", "httpGet", "tcpSocket", "grpc"])
      for number in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        notNegative(probe[number], at / number)
      }
      if field != "readinessProbe", let threshold = probe["successThreshold"].int, threshold != 1 {
        invalid(at / "successThreshold", probe["successThreshold"], "must be 1")
      }
      guard !probe["terminationGracePeriodSeconds"].isNull else { continue }
      if field == "readinessProbe" {
        invalid(at / "terminationGracePeriodSeconds", probe["terminationGracePeriodSeconds"], "must not be set for readinessProbes")
      } else {
        positive(probe["terminationGracePeriodSeconds"], at / "terminationGracePeriodSeconds")
      }
    }
    for hook in ["postStart", "preStop"] where !container["lifecycle"][hook].isNull {
      let at = path / "lifecycle" / hook
      handler(container["lifecycle"][hook], at, ["exec", "httpGet", "tcpSocket", "sleep"])
      if let seconds = container["lifecycle"][hook]["sleep"]["seconds"].int, !(0...max(gracePeriod, 0)).contains(seconds) {
        invalid(at / "sleep", .int(Int64(seconds)), "must be non-negative and less than terminationGracePeriodSeconds (\(gracePeriod))")
      }
    }
  }

  private mutating func handler(_ handler: JSON, _ path: FieldPath, _ kinds: [String]) {
    let given = kinds.filter { !handler[$0].isNull }
    if given.isEmpty { return required(path, "must specify a handler type") }
    for kind in given.dropFirst() { forbidden(path / kind, "may not specify more than 1 handler type") }
    let at = path / given[0]
    let action = handler[given[0]]
    switch given[0] {
    case "exec":
      if action["command"].isEmpty { required(at / "command") }
    case "httpGet":
      requiredText(action["path"], at / "path")
      portOrName(action["port"], at / "port")
      oneOf(action["scheme"], at / "scheme", ["HTTP", "HTTPS"])
      for (i, header) in action["httpHeaders"].items.enumerated() {
        let name = header["name"].string ?? ""
        let isHeader =
          !name.isEmpty && name.utf8.allSatisfy { $0 &- 0x30 < 10 || $0 &- 0x61 < 26 || $0 &- 0x41 < 26 || $0 == UInt8(ascii: "-") }
        if !isHeader {
          invalid(
            (at / "httpHeaders")[i] / "name", header["name"],
            "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
          )
        }
      }
    case "tcpSocket": portOrName(action["port"], at / "port")
    case "grpc": range(.int(Int64(action["port"].int ?? 0)), at / "port", 1...65_535)
    default: break
    }
  }
}
