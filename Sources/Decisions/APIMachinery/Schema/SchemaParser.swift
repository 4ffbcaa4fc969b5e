import JSONCodec

/// The schema texts, one per group and version: see Schemas/.
///
/// A text begins with a line `package <name> group=<group> openapi=<prefix>`. Blocks follow, with an empty line between them:
///
///     resource pods Pod namespaced verbs=* short=po categories=all hash=xPOwRZ+Yhw8= served
///       selectable spec.nodeName,status.phase        (field selectors beside metadata.name and metadata.namespace)
///       subresource eviction policy/v1.Eviction create
///
///     type Container atomic kind      (atomic: owned as a whole in server-side apply; kind: has apiVersion and kind)
///     type JSONSchemaPropsOrBool alternatives   (in JSON the bare value of one of its fields, on the wire a message)
///       typemeta                      (apiVersion and kind, which protobuf keeps in the envelope)
///       2 inline VolumeSource         (an embedded struct: protobuf number 2)
///       1 name string required always (protobuf number, JSON name, type; `?` marks a pointer)
///       6 ports []ContainerPort list=map(containerPort,protocol) merge=containerPort
///
/// Words after a field's type: `required`, `always` (written even where empty), `default=<JSON>` or `default=none` (where it is
/// not the zero value of a field that is always written; only OpenAPI shows it), `fill=<JSON>` (what defaulting sets),
/// `list=set|map(<keys>)` (atomic otherwise), `merge[=<key>]`, `retainKeys`, `replace` (strategic merge), `atomic` or `granular`
/// (maps), `wrapped` (a list that is a message of its own on the wire), `enum=<a>|<b>` (a blank is written `_`; a long list
/// stands on `enum` lines below).
enum SchemaTexts {
  /// In the order of discovery; kinds of meta/v1 belong to every group.
  static let all: [StaticString] = [
    coreV1, metaV1, apiRegistrationV1, appsV1, eventsV1, authenticationV1, authorizationV1, autoscalingV2, autoscalingV1, batchV1,
    certificatesV1, certificatesV1Beta1, networkingV1, policyV1, rbacV1, storageV1, admissionRegistrationV1, apiExtensionsV1, schedulingV1,
    coordinationV1,
    nodeV1, discoveryV1, resourceV1, flowControlV1, storageMigrationV1Beta1, metricsV1Beta1, admissionV1, apiDiscoveryV2,
  ]
}

/// A part of a schema text. The bytes are a constant of the program, so any thread may read them at any time.
struct SchemaSource: @unchecked Sendable {
  let bytes: UnsafeBufferPointer<UInt8>

  /// The words of each line. Bytes are split, not characters: that is what keeps the start quick.
  func forEachLine(_ body: ([String]) -> Void) {
    var start = 0
    while start < bytes.count {
      var end = start
      while end < bytes.count, bytes[end] != 10 { end += 1 }
      let words = Self.words(bytes[start..<end])
      if !words.isEmpty { body(words) }
      start = end + 1
    }
  }

  static func words(_ line: Slice<UnsafeBufferPointer<UInt8>>) -> [String] {
    var result: [String] = []
    var at = line.startIndex
    while at < line.endIndex {
      let start = at
      while at < line.endIndex, line[at] != 0x20 { at += 1 }
      if at > start { result.append(String(decoding: UnsafeBufferPointer(rebasing: line[start..<at]), as: UTF8.self)) }
      at += 1
    }
    return result
  }
}

/// The head of a schema text and where its resources stand.
struct SchemaPackage {
  let name: String
  let group: String
  let version: String
  let resources: [SchemaSource]
  let source: SchemaSource

  /// Notes where each block stands; only the first line of a type is read.
  init(indexing text: StaticString, into table: TypeTable) {
    let bytes = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    source = SchemaSource(bytes: bytes)
    var blocks = SchemaPackage.blocks(bytes)
    let head = SchemaSource.words(blocks.removeFirst()[...])
    let name = head[1]
    group = head[2] == "group=\"\"" ? "" : String(head[2].dropFirst("group=".count))
    version = String(name[name.index(after: name.firstIndex(of: "/")!)...])
    let prefix = String(head[3].dropFirst("openapi=".count))
    self.name = name
    var resources: [SchemaSource] = []
    for block in blocks {
      if block[0] == UInt8(ascii: "r") {
        resources.append(SchemaSource(bytes: block))
        continue
      }
      let end = block.firstIndex(of: 10) ?? block.count
      let words = SchemaSource.words(block[..<end])
      table.add(
        SchemaType(
          name: name + "." + words[1], openAPIName: prefix + "." + words[1], isMapAtomic: words.contains("atomic"),
          isAlternatives: words.contains("alternatives"), groupVersion: words.contains("kind") ? (group, version) : nil,
          source: SchemaSource(bytes: UnsafeBufferPointer(rebasing: block[end...])), table: table))
    }
    self.resources = resources
  }

  /// What stands between empty lines.
  private static func blocks(_ bytes: UnsafeBufferPointer<UInt8>) -> [UnsafeBufferPointer<UInt8>] {
    var result: [UnsafeBufferPointer<UInt8>] = []
    var start = 0
    for i in bytes.indices.dropFirst() where bytes[i] == 10 && bytes[i - 1] == 10 {
      if i - 1 > start { result.append(UnsafeBufferPointer(rebasing: bytes[start..<i - 1])) }
      start = i + 1
    }
    if start < bytes.count { result.append(UnsafeBufferPointer(rebasing: bytes[start...])) }
    return result
  }
}

extension ResourceInfo {
  private static let usualVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]

  init(parsing source: SchemaSource, of package: SchemaPackage, _ table: TypeTable) {
    var head: [String] = []
    var selectable: [String] = []
    var subresources: [SubresourceInfo] = []
    source.forEachLine { words in
      switch words[0] {
      case "resource": head = words
      case "selectable": selectable += words[1].split(separator: ",").map(String.init)
      default:
        subresources.append(
          SubresourceInfo(
            name: words[1], type: table.resolve(words[2], in: package.name),
            verbs: words[3].split(separator: ",").map(String.init)))
      }
    }
    func list(_ key: String) -> [String] {
      let word = head.first { $0.hasPrefix(key + "=") }
      return word?.dropFirst(key.count + 1).split(separator: ",").map(String.init) ?? []
    }
    let verbs = list("verbs")
    self.init(
      group: package.group, version: package.version, plural: head[1],
      singular: list("singular").first ?? head[2].lowercased(), kind: head[2], isNamespaced: head.contains("namespaced"),
      verbs: verbs == ["*"] ? Self.usualVerbs : verbs, shortNames: list("short"), categories: list("categories"),
      subresources: subresources, fieldSelectors: selectable, storageVersionHash: list("hash").first ?? "",
      isServed: head.contains("served"), type: table.resolve(head[2], in: package.name))
  }
}

extension TypeShape {
  convenience init(parsing source: SchemaSource, of type: SchemaType, _ table: TypeTable) {
    let package = type.packageName
    var fields: [SchemaField] = []
    var members: [(Int, WireMember)] = []
    source.forEachLine { words in
      switch words[0] {
      case "typemeta":
        fields.append(SchemaField(name: "kind", number: 0, value: .string))
        fields.append(SchemaField(name: "apiVersion", number: 0, value: .string))
      case "enum":
        fields[fields.count - 1].enumValues += Self.enumValues(words[1])
      default:
        guard let number = Int(words[0]) else { preconditionFailure("schema text of \(type.name): \(words.joined(separator: " "))") }
        if words[1] == "inline" {
          let embedded = table.resolve(words[2], in: package)
          members.append((number, .embedded(embedded, at: fields.count)))
          fields += embedded.fields
        } else {
          fields.append(SchemaField(parsing: words, number: number, package: package, table))
          if number > 0 { members.append((number, .field(fields.count - 1))) }
        }
      }
    }
    self.init(fields: fields, members: members)
  }

  fileprivate static func enumValues(_ text: some StringProtocol) -> [String] {
    text.split(separator: "|").map { String($0.map { $0 == "_" ? " " : $0 }) }
  }
}

extension SchemaField {
  fileprivate init(parsing words: [String], number: Int, package: String, _ table: TypeTable) {
    var text = words[2]
    let isOptional = text.first == "?"
    if isOptional { text.removeFirst() }
    self.init(name: words[1], number: number, value: FieldValue(parsing: text[...], package: package, table))
    self.isOptional = isOptional
    var hasDefault = false
    for word in words[3...] {
      let parts = word.split(separator: "=", maxSplits: 1)
      let argument = parts.count > 1 ? parts[1] : ""
      switch parts[0] {
      case "required": isRequired = true
      case "always": omitsEmpty = false
      case "wrapped": isWrapped = true
      case "merge":
        patch.merges = true
        patch.mergeKey = argument.isEmpty ? nil : String(argument)
      case "retainKeys": patch.retainsKeys = true
      case "replace": patch.replaces = true
      case "atomic": isMapAtomic = true
      case "granular": isMapAtomic = false
      case "enum": enumValues = TypeShape.enumValues(argument)
      case "list":
        listType = argument == "set" ? .set : .map(keys: argument.dropFirst(4).dropLast().split(separator: ",").map(String.init))
      case "fill": fill = try? JSON.parse(String(argument))
      case "default":
        hasDefault = true
        if argument != "none" { defaultValue = try? JSON.parse(String(argument)) }
      default: preconditionFailure("schema text of \(package): field \(words[1]) has the unknown word \(word)")
      }
    }
    if !hasDefault { defaultValue = impliedDefault }
    if case .object(let type) = value, type.isMapAtomic, !words.contains("granular") { isMapAtomic = true }
  }

  /// A value that upstream writes even where it is zero has that zero as its default.
  private var impliedDefault: JSON? {
    guard !isOptional else { return nil }
    switch value {
    case .object: return .object(JSONObject())
    case .string where !omitsEmpty: return ""
    case .int32 where !omitsEmpty, .int64 where !omitsEmpty, .double where !omitsEmpty: return 0
    case .bool where !omitsEmpty: return false
    default: return nil
    }
  }
}

extension FieldValue {
  fileprivate init(parsing text: Substring, package: String, _ table: TypeTable) {
    if text.hasPrefix("[]") {
      self = .list(FieldValue(parsing: text.dropFirst(2), package: package, table))
      return
    }
    if text.hasPrefix("map[string]") {
      self = .map(FieldValue(parsing: text.dropFirst(11), package: package, table))
      return
    }
    switch text {
    case "string": self = .string
    case "int32": self = .int32
    case "int64": self = .int64
    case "bool": self = .bool
    case "double": self = .double
    case "bytes": self = .bytes
    case "any": self = .any
    case "Quantity": self = .quantity
    case "IntOrString": self = .intOrString
    case "Time": self = .time
    case "MicroTime": self = .microTime
    case "RawExtension": self = .rawExtension
    case "FieldsV1": self = .fieldsV1
    default:
      let type = table.resolve(String(text), in: package)
      self = type.isAlternatives ? .alternatives(type) : .object(type)
    }
  }
}
