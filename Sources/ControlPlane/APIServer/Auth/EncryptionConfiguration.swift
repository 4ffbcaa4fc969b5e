import APIMachinery
import FoundationEssentials
import JSONCodec
import SystemPackage

/// Reads the file that upstream's API server takes too: `EncryptionConfiguration` of apiserver.config.k8s.io/v1.
///
/// What it cannot do is refused at start, by its path in the file: kms, and secretbox, whose cipher (XSalsa20) no library here has.
// Unlike upstream: kms and secretbox are refused in an EncryptionConfiguration, and the file is read at the start only.
package enum EncryptionConfiguration {
  static let apiVersion = "apiserver.config.k8s.io/v1"
  private static let keyBytes: Set<Int> = [16, 24, 32]

  package static func rules(file path: FilePath) throws -> EncryptionRules {
    guard let data = FileManager.default.contents(atPath: path.string) else {
      throw IdentityError(
        path: path.string, problem: "cannot be read; --encryption-provider-config needs a file with an EncryptionConfiguration")
    }
    return try rules(text: String(decoding: data, as: UTF8.self), path: path.string)
  }

  static func rules(text: String, path: String) throws -> EncryptionRules {
    var repeated: [String] = []
    let document: JSON
    do {
      document = try YAMLDocument.parse(text, repeated: &repeated)
    } catch {
      throw IdentityError(path: path, problem: "is no YAML: \(error)")
    }
    if let first = repeated.first { throw IdentityError(path: path, problem: first) }
    do {
      return EncryptionRules(try rules(document), path: path)
    } catch let finding as Finding {
      throw IdentityError(path: path, problem: "\(finding.place): \(finding.problem)")
    }
  }

  /// What is wrong, at which path of the document, and what to write instead.
  private struct Finding: Error {
    let place: Place
    let problem: String
  }

  /// A path within the document: `resources[0].providers[1].aesgcm`.
  private struct Place: CustomStringConvertible {
    let description: String
    init(_ text: String) { description = text }
    static func / (path: Place, name: String) -> Place { Place(path.description + "." + name) }
    subscript(index: Int) -> Place { Place("\(description)[\(index)]") }
  }

  private static func rules(_ document: JSON) throws -> [EncryptionRules.Rule] {
    guard document["apiVersion"].string == apiVersion else {
      throw Finding(place: Place("apiVersion"), problem: "is \(document["apiVersion"].text()); write \(apiVersion)")
    }
    guard document["kind"].string == "EncryptionConfiguration" else {
      throw Finding(place: Place("kind"), problem: "is \(document["kind"].text()); write EncryptionConfiguration")
    }
    let root = Place("resources")
    try onlyKnown(document, ["apiVersion", "kind", "resources", "metadata"], nil)
    guard let entries = document["resources"].array, !entries.isEmpty else {
      throw Finding(place: root, problem: "is missing; write a list of entries with `resources` and `providers`")
    }
    return try entries.enumerated().map { i, entry in try rule(entry, root[i]) }
  }

  private static func rule(_ entry: JSON, _ path: Place) throws -> EncryptionRules.Rule {
    try onlyKnown(entry, ["resources", "providers"], path)
    let resources = path / "resources"
    guard let names = entry["resources"].array, !names.isEmpty else {
      throw Finding(place: resources, problem: "is missing; write a list such as [secrets, configmaps, '*.apps']")
    }
    var patterns: [ResourcePattern] = []
    for (i, name) in names.enumerated() {
      let pattern = try pattern(name, resources[i])
      if let j = patterns.firstIndex(where: { $0.covers(pattern) || pattern.covers($0) }) {
        throw Finding(place: resources[i], problem: "\(name.text()) and \(names[j].text()) overlap; leave one of them out")
      }
      patterns.append(pattern)
    }
    let providers = path / "providers"
    guard let list = entry["providers"].array, !list.isEmpty else {
      throw Finding(place: providers, problem: "is missing; write a list of aesgcm, aescbc and identity, the one that writes first")
    }
    return EncryptionRules.Rule(resources: patterns, providers: try list.enumerated().map { i, one in try provider(one, providers[i]) })
  }

  private static func pattern(_ value: JSON, _ path: Place) throws -> ResourcePattern {
    guard let text = value.string, !text.isEmpty else {
      throw Finding(place: path, problem: "\(value.text()) is no name of a resource")
    }
    func refuse(_ problem: String) -> Finding { Finding(place: path, problem: "\"\(text)\" \(problem)") }
    guard text == text.lowercased() else { throw refuse("has capital letters; write the plural as in paths: \"\(text.lowercased())\"") }
    guard text != "*" else { throw refuse("is not clear; write \"*.\" for the core group or \"*.*\" for everything") }
    guard !text.contains("/") else { throw refuse("has a slash; subresources lie in their object, name the resource alone") }
    if text == "*.*" { return ResourcePattern(plural: nil, group: nil) }
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let group = parts.count == 2 ? String(parts[1]) : ""
    guard !group.contains("*") else { throw refuse("has a star in the group; only \"*.*\" means all groups") }
    guard !parts[0].isEmpty, parts[0] == "*" || !parts[0].contains("*") else { throw refuse("is no `plural.group` nor `*.group`") }
    guard group != "events.k8s.io" else { throw refuse("is stored with the core group's events; write \"events\"") }
    return ResourcePattern(plural: parts[0] == "*" ? nil : String(parts[0]), group: group)
  }

  private static func provider(_ value: JSON, _ path: Place) throws -> EncryptionRules.Provider {
    let names = ["aesgcm", "aescbc", "secretbox", "identity", "kms"]
    try onlyKnown(value, names, path)
    let given = names.filter { value.object?.contains($0) == true }
    guard given.count == 1, let name = given.first else {
      let problem = given.isEmpty ? "names no provider" : "names \(given.joined(separator: " and "))"
      throw Finding(place: path, problem: "\(problem); each item of the list is one of aesgcm, aescbc and identity")
    }
    switch name {
    case "identity": return .identity
    case "aesgcm": return .keys(SecretKeys(try keys(value[name], path / name), cipher: .gcm))
    case "aescbc": return .keys(SecretKeys(try keys(value[name], path / name), cipher: .cbc))
    case "kms":
      throw Finding(place: path / name, problem: "key management services are not supported; use aesgcm with a key of its own")
    default:
      throw Finding(place: path / name, problem: "XSalsa20-Poly1305 is not supported; use aesgcm, which takes the same 32 bytes")
    }
  }

  private static func keys(_ provider: JSON, _ path: Place) throws -> [(name: String, bytes: [UInt8])] {
    try onlyKnown(provider, ["keys"], path)
    let list = path / "keys"
    guard let items = provider["keys"].array, !items.isEmpty else {
      throw Finding(place: list, problem: "is missing; write a list of keys with `name` and `secret`")
    }
    var keys: [(name: String, bytes: [UInt8])] = []
    for (i, item) in items.enumerated() {
      try onlyKnown(item, ["name", "secret"], list[i])
      guard let name = item["name"].string, !name.isEmpty, name.utf8.count <= SecretKeys.nameBytesMax else {
        throw Finding(place: list[i] / "name", problem: "is missing or longer than \(SecretKeys.nameBytesMax) bytes; values carry it")
      }
      guard !keys.contains(where: { $0.name == name }) else {
        throw Finding(place: list[i] / "name", problem: "\"\(name)\" is there for a second time; each key needs a name of its own")
      }
      let remedy = "write the output of `head -c 32 /dev/urandom | base64`"
      guard let text = item["secret"].string, let bytes = Base64.decode(text) else {
        throw Finding(place: list[i] / "secret", problem: "is not base64; \(remedy)")
      }
      guard keyBytes.contains(bytes.count) else {
        throw Finding(place: list[i] / "secret", problem: "has \(bytes.count) bytes instead of 16, 24 or 32; \(remedy)")
      }
      keys.append((name, bytes))
    }
    return keys
  }

  private static func onlyKnown(_ value: JSON, _ known: [String], _ path: Place?) throws {
    guard let fields = value.object else {
      throw Finding(place: path ?? Place("<root>"), problem: "is no mapping; write \(known.map { "`\($0):`" }.joined(separator: " or "))")
    }
    for (name, _) in fields where !known.contains(name) {
      throw Finding(place: path.map { $0 / name } ?? Place(name), problem: "is not known here; known are \(known.joined(separator: ", "))")
    }
  }
}
