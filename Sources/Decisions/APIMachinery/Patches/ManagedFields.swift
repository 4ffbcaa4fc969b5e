import JSONCodec
import KubernetesAPI

/// Whose fields an entry of managedFields lists.
struct FieldManager: Hashable {
  enum Operation: String { case apply = "Apply", update = "Update" }

  let name: String
  let operation: Operation
  /// "" for the main resource.
  let subresource: String
  /// Part of the identity of updates only: an applier has one entry, whatever version it applies.
  let apiVersion: String

  init(name: String, operation: Operation, subresource: String?, apiVersion: String) {
    self.name = name
    self.operation = operation
    self.subresource = subresource ?? ""
    self.apiVersion = operation == .apply ? "" : apiVersion
  }

  /// As conflict messages name it.
  var description: String {
    var text = JSON.string(name).text()
    if !subresource.isEmpty { text += " with subresource \"\(subresource)\"" }
    return operation == .update ? "\(text) using \(apiVersion)" : text
  }
}

/// `metadata.managedFields`: which manager set which fields, and when.
///
/// Source: apimachinery's managedfields package.
struct ManagedFields: Equatable {
  struct Entry: Equatable {
    var fields: FieldSet
    var apiVersion: String
    /// RFC 3339; nil where the entry came without.
    var time: String?
  }

  /// More updaters than this are put together, oldest first, under the name `ancient-changes`.
  static let updatersMax = 10

  var entries: [FieldManager: Entry] = [:]

  /// Reads the list; nil where an entry is malformed. A missing list is an empty one.
  init?(_ list: JSON) {
    for item in list.array ?? [] {
      guard let operation = item["operation"].string.flatMap(FieldManager.Operation.init),
        let apiVersion = item["apiVersion"].string, !apiVersion.isEmpty, item["fieldsType"].string == "FieldsV1"
      else { return nil }
      let manager = FieldManager(
        name: item["manager"].string ?? "", operation: operation, subresource: item["subresource"].string, apiVersion: apiVersion)
      guard let fields = item["fieldsV1"].isNull ? FieldSet() : FieldSet(fieldsV1: item["fieldsV1"]) else { return nil }
      entries[manager] = Entry(fields: fields, apiVersion: apiVersion, time: item["time"].string)
    }
  }

  init() {}

  /// What an update starts from: the new object's list, so that clients can change it; the live one where the new one is
  /// missing or malformed or the request is for a subresource; nothing where the client asks for a reset with `[{}]`.
  init(live: JSON, new: JSON, isSubresource: Bool) {
    if isSubresource {
      self = ManagedFields(live) ?? ManagedFields()
    } else if new.array?.count == 1, new[0].object?.isEmpty == true {
      self = ManagedFields()
    } else if let given = ManagedFields(new), !given.entries.isEmpty {
      self = given
    } else {
      self = ManagedFields(live) ?? ManagedFields()
    }
  }

  /// The list as it is stored: appliers first, then by time, manager, version and subresource. Null where there is none.
  var json: JSON {
    if entries.isEmpty { return .null }
    typealias Item = (manager: FieldManager, entry: Entry)
    let items: [Item] = entries.map { ($0.key, $0.value) }
    func precedes(_ a: Item, _ b: Item) -> Bool {
      if a.manager.operation != b.manager.operation { return a.manager.operation == .apply }
      let left = a.entry.seconds
      let right = b.entry.seconds
      if left != right { return left < right }
      let x = [a.manager.name, a.entry.apiVersion, a.manager.subresource]
      return x.lexicographicallyPrecedes([b.manager.name, b.entry.apiVersion, b.manager.subresource])
    }
    return .array(items.sorted(by: precedes).map { Self.json($0.manager, $0.entry) })
  }

  private static func json(_ manager: FieldManager, _ entry: Entry) -> JSON {
    [
      "manager": manager.name.isEmpty ? .null : .string(manager.name),
      "operation": .string(manager.operation.rawValue),
      "apiVersion": .string(entry.apiVersion),
      "time": JSON(entry.time),
      "fieldsType": "FieldsV1",
      "fieldsV1": entry.fields.fieldsV1,
      "subresource": manager.subresource.isEmpty ? .null : .string(manager.subresource),
    ]
  }

  /// Takes fields that changed away from all managers but one, and drops entries that own nothing any more.
  mutating func release(_ comparison: FieldComparison, except manager: FieldManager?) {
    let changed = comparison.modified.union(comparison.added).union(comparison.removed)
    for key in entries.keys where key != manager {
      entries[key]!.fields = entries[key]!.fields.subtracting(changed)
    }
    dropEmpty()
  }

  mutating func dropEmpty() {
    entries = entries.filter { !$0.value.fields.isEmpty }
  }

  /// Paths that belong to nobody.
  static let neverTracked: FieldSet = {
    var set = FieldSet(field: "apiVersion")
    set.formUnion(FieldSet(field: "kind"))
    set.formUnion(FieldSet(field: "metadata"))
    for name in [
      "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion",
    ] { set.formUnion(FieldSet(field: "metadata", name)) }
    return set
  }()

  mutating func dropUntracked() {
    for key in entries.keys { entries[key]!.fields = entries[key]!.fields.subtracting(Self.neverTracked) }
    dropEmpty()
  }

  /// Puts the oldest updates together while there are more than `updatersMax`.
  mutating func capUpdaters() {
    let updaters = entries.filter { $0.key.operation == .update }.sorted { a, b in
      a.value.seconds == b.value.seconds ? a.key.name < b.key.name : a.value.seconds < b.value.seconds
    }
    var count = updaters.count
    var firstOfVersion: [String: FieldManager] = [:]
    for (manager, entry) in updaters where count > Self.updatersMax {
      guard let first = firstOfVersion[entry.apiVersion] else {
        firstOfVersion[entry.apiVersion] = manager
        continue
      }
      let bucket = FieldManager(name: "ancient-changes", operation: .update, subresource: nil, apiVersion: entry.apiVersion)
      var merged = entries[bucket] ?? entries[first] ?? entry
      if entries[bucket] == nil { entries[first] = nil }
      merged.fields.formUnion(entry.fields)
      merged.time = entry.time  // of the youngest in it
      if manager != bucket { entries[manager] = nil }
      entries[bucket] = merged
      count -= 1
    }
  }
}

extension ManagedFields.Entry {
  fileprivate var seconds: Int64 { time.flatMap { Timestamp(rfc3339: $0) }?.secondsSinceEpoch ?? 0 }
}

/// The manager of a request: its `fieldManager`, or else the name of the program in `User-Agent` (`kubectl` of
/// `kubectl/v1.36.0 (linux/amd64)`), at most 128 printable characters of it.
package func fieldManager(parameter: String?, userAgent: String?) -> String {
  if let parameter, !parameter.isEmpty { return parameter }
  let name = (userAgent ?? "").prefix { $0 != "/" }
  let printable = name.filter { !$0.unicodeScalars.contains { $0.value < 32 || $0.value == 127 } }
  return String(printable.prefix(128))
}
