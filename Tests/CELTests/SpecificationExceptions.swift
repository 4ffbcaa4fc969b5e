/// Cases of the specification that need protocol-buffer messages or enums, which Kubernetes' objects are not.
enum SpecificationExceptions {
  /// Why the case cannot pass; nil where it must.
  static func reason(_ name: String, _ test: TextProto) -> String? {
    for (prefix, reason) in prefixes where name.hasPrefix(prefix) { return reason }
    return names[name]
  }

  private static let prefixes: [(String, String)] = []
  private static let names: [String: String] = [:]
}
