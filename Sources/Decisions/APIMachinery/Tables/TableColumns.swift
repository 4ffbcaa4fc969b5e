import JSONCodec
import KubernetesAPI

/// An object that is to become a row, at a moment.
struct TableSubject {
  let object: JSON
  let now: Timestamp

  subscript(_ field: String) -> JSON { object[field] }
  var metadata: JSON { object["metadata"] }
  var spec: JSON { object["spec"] }
  var status: JSON { object["status"] }
  var name: String { metadata["name"].string ?? "" }
  var isBeingDeleted: Bool { !metadata["deletionTimestamp"].isNull }

  func age(_ time: JSON) -> String { APIMachinery.age(time, now: now) }

  /// The status of a condition; nil where it is absent.
  func condition(_ type: String) -> JSON? { status["conditions"].array?.first { $0["type"].string == type } }
  func isTrue(_ type: String) -> Bool { condition(type)?["status"].string == "True" }
}

/// One column of `kubectl get` and how its cells are made.
struct TableColumn: Sendable {
  enum Kind: String { case string, integer, number, boolean, date }

  let title: String
  let kind: Kind
  /// `name` for the column that identifies the row.
  let format: String
  /// 1: only with `-o wide`.
  let priority: Int
  /// What the column says about itself; nil: the usual words for its title.
  let summary: String?
  let cell: @Sendable (TableSubject) -> JSON

  init(
    _ title: String, _ kind: Kind = .string, format: String = "", wide: Bool = false,
    _ cell: @escaping @Sendable (TableSubject) -> JSON
  ) {
    self.title = title
    self.kind = kind
    self.format = format
    priority = wide ? 1 : 0
    summary = nil
    self.cell = cell
  }

  init(
    _ title: String, _ kind: Kind, format: String, priority: Int, summary: String, _ cell: @escaping @Sendable (TableSubject) -> JSON
  ) {
    self.title = title
    self.kind = kind
    self.format = format
    self.priority = priority
    self.summary = summary
    self.cell = cell
  }

  var definition: JSON {
    [
      "name": .string(title), "type": .string(kind.rawValue), "format": .string(format), "description": .string(summary ?? usualSummary),
      "priority": JSON(priority),
    ]
  }

  private var usualSummary: String {
    switch title {
    case "Name": "Name of the object, unique within its namespace."
    case "Age", "Created At": "When the object was created, by the server's clock."
    default: title
    }
  }
}

extension TableColumn {
  static let name = TableColumn("Name", format: "name") { .string($0.name) }
  static let age = TableColumn("Age") { .string($0.age($0.metadata["creationTimestamp"])) }
  static let createdAt = TableColumn("Created At", .date) { .string($0.metadata["creationTimestamp"].string ?? "") }

  /// A text at a path; `missing` where it is absent or empty.
  static func text(_ title: String, _ path: String..., missing: String = "", wide: Bool = false) -> TableColumn {
    TableColumn(title, wide: wide) { .string($0.object.text(path, missing: missing)) }
  }

  /// A number at a path, 0 where it is absent. Some columns declare such cells as strings.
  static func number(_ title: String, _ path: String..., declared: Kind = .integer) -> TableColumn {
    TableColumn(title, declared) { subject in JSON(path.reduce(subject.object) { $0[$1] }.int ?? 0) }
  }

  static func flag(_ title: String, _ path: String..., missing: Bool = false) -> TableColumn {
    TableColumn(title, .boolean) { subject in JSON(path.reduce(subject.object) { $0[$1] }.bool ?? missing) }
  }

  /// The length of a list.
  static func count(_ title: String, _ path: String...) -> TableColumn {
    TableColumn(title, .integer) { subject in JSON(path.reduce(subject.object) { $0[$1] }.array?.count ?? 0) }
  }

  /// Containers and images of a pod template.
  static func containers(at path: String..., wide: Bool = true) -> [TableColumn] {
    ["name", "image"].map { field in
      TableColumn(field == "name" ? "Containers" : "Images", wide: wide) { subject in
        let containers = path.reduce(subject.object) { $0[$1] }["containers"].array ?? []
        return .string(containers.map { $0[field].string ?? "" }.joined(separator: ","))
      }
    }
  }

  static func labelSelector(_ title: String, _ path: String..., wide: Bool = true) -> TableColumn {
    TableColumn(title, wide: wide) { subject in .string(selectorText(path.reduce(subject.object) { $0[$1] })) }
  }

  static func map(_ title: String, _ path: String..., wide: Bool = true) -> TableColumn {
    TableColumn(title, wide: wide) { subject in .string(mapText(path.reduce(subject.object) { $0[$1] })) }
  }
}

extension JSON {
  func text(_ path: [String], missing: String = "") -> String {
    let value = path.reduce(self) { $0[$1] }
    switch value {
    case .null, .string(""): return missing
    case .string(let text): return text
    default: return value.text()
    }
  }

  var strings: [String] { (array ?? []).compactMap(\.string) }
}

/// `k=v,l=w`, sorted; `<none>` for an empty map.
func mapText(_ map: JSON) -> String {
  let fields = (map.object ?? JSONObject()).sorted { $0.0 < $1.0 }
  return fields.isEmpty ? "<none>" : fields.map { "\($0.0)=\($0.1.string ?? "")" }.joined(separator: ",")
}

/// A metav1.LabelSelector as text: `app=web,tier in (a,b),!old`. Empty: `<none>`; with an unknown operator: `<error>`.
func selectorText(_ selector: JSON) -> String {
  var requirements = (selector["matchLabels"].object ?? JSONObject()).map { (key: $0.0, text: "\($0.0)=\($0.1.string ?? "")") }
  for expression in selector["matchExpressions"].array ?? [] {
    let key = expression["key"].string ?? ""
    let values = expression["values"].strings.sorted().joined(separator: ",")
    switch expression["operator"].string {
    case "In": requirements.append((key, "\(key) in (\(values))"))
    case "NotIn": requirements.append((key, "\(key) notin (\(values))"))
    case "Exists": requirements.append((key, key))
    case "DoesNotExist": requirements.append((key, "!\(key)"))
    default: return "<error>"
    }
  }
  return requirements.isEmpty ? "<none>" : requirements.sorted { $0.key < $1.key }.map(\.text).joined(separator: ",")
}

/// The first `limit` of some texts, and how many more there are.
func shortened(_ texts: [String], limit: Int = 3, separator: String = ",", none: String) -> String {
  if texts.isEmpty { return none }
  let text = texts.prefix(limit).joined(separator: separator)
  return texts.count > limit ? "\(text) + \(texts.count - limit) more..." : text
}

func joined(_ texts: [String], none: String = "<none>", separator: String = ",") -> String {
  texts.isEmpty ? none : texts.joined(separator: separator)
}
