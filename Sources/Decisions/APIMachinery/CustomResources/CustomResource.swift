import JSONCodec
import Synchronization

/// What the rules of `x-kubernetes-validations` say about an object, once they are compiled.
package protocol ValidationRules: Sendable {
  /// `old`: the stored object on an update, for transition rules.
  func errors(object: JSON, old: JSON?) -> [FieldError]
}

/// What custom resources need from other rooms.
package struct CustomResourceHooks: Sendable {
  /// For `pattern`.
  package var patterns: PatternCompiler = linearPatterns
  /// Compiles the rules of a version's schema, on first use.
  package var compileRules: @Sendable (StructuralSchema) -> (any ValidationRules)? = { _ in nil }
  /// What is wrong with the rules of a schema in a CustomResourceDefinition. `old`: the schema that the stored definition has for
  /// the version; `path`: where the schema stands.
  package var ruleProblems: @Sendable (_ schema: StructuralSchema, _ old: StructuralSchema?, _ path: String) -> [FieldError] = { _, _, _ in
    []
  }

  package init() {}
  package static let standard = CustomResourceHooks()
}

/// A version's schema and rules, made from the definition when they are first needed and kept over changes of the registry.
final class CustomSchema: Sendable {
  private final class Rules: Sendable {
    let value: (any ValidationRules)?
    init(_ value: (any ValidationRules)?) { self.value = value }
  }

  private let document: JSON
  private let hooks: CustomResourceHooks
  private let parsed = AtomicLazyReference<StructuralSchema>()
  private let compiled = AtomicLazyReference<Rules>()

  /// `document`: openAPIV3Schema; null where the version has none.
  init(_ document: JSON, _ hooks: CustomResourceHooks) {
    self.document = document
    self.hooks = hooks
  }

  var schema: StructuralSchema {
    if document.isNull { return .untyped }
    if let schema = parsed.load() { return schema }
    return parsed.storeIfNil(StructuralSchema(document, patterns: hooks.patterns))
  }

  var isMissing: Bool { document.isNull }

  var rules: (any ValidationRules)? {
    guard schema.hasRules else { return nil }
    if let rules = compiled.load() { return rules.value }
    return compiled.storeIfNil(Rules(hooks.compileRules(schema))).value
  }
}

/// Where a custom resource keeps what its scale subresource shows.
package struct ScalePaths: Sendable, Equatable {
  /// Field names from the root: `["spec", "replicas"]`.
  package let specReplicas: [String]
  package let statusReplicas: [String]
  package let labelSelector: [String]?
}

/// One served version of a CustomResourceDefinition.
package final class CustomResource: Sendable {
  package let group: String
  package let version: String
  package let kind: String
  package let listKind: String
  package let storageVersion: String
  /// `spec.conversion`.
  package let conversion: JSON
  /// The text of a warning with every answer; nil for a version that is not deprecated.
  package let deprecationWarning: String?
  package let hasStatus: Bool
  package let scale: ScalePaths?
  /// The definition is being deleted: nothing may be created any more (405).
  package let isTerminating: Bool
  /// `spec.preserveUnknownFields`, which only old definitions have.
  package let preservesUnknownFields: Bool
  /// The definition is as it was created.
  let isOriginal: Bool
  /// The kind of lists.
  package let listType: SchemaType
  let columns: [TableColumn]
  let content: CustomSchema

  init(definition: JSON, version: JSON, names: JSON, content: CustomSchema) {
    let spec = definition["spec"]
    group = spec["group"].string ?? ""
    let versionName = version["name"].string ?? ""
    self.version = versionName
    kind = names["kind"].string ?? ""
    listKind = names["listKind"].string ?? kind + "List"
    storageVersion = spec["versions"].items.first { $0["storage"] == true }?["name"].string ?? versionName
    conversion = spec["conversion"].isNull ? ["strategy": "None"] : spec["conversion"]
    deprecationWarning = Self.deprecationWarning(spec, version, kind: kind)
    hasStatus = !version["subresources"]["status"].isNull
    scale = ScalePaths(version["subresources"]["scale"])
    isTerminating = isConditionTrue(definition, "Terminating") || !definition["metadata"]["deletionTimestamp"].isNull
    isOriginal = definition["metadata"]["generation"].int == 1
    preservesUnknownFields = spec["preserveUnknownFields"] == true
    columns = TableColumn.custom(version["additionalPrinterColumns"].items)
    self.content = content
    listType = SchemaType(
      name: "\(group)/\(versionName).\(listKind)", openAPIName: Self.openAPIName(group, versionName, listKind),
      groupVersion: (group, versionName), shape: TypeShape(fields: Self.listFields, members: []), custom: .list(kind: kind))
  }

  package var schema: StructuralSchema { content.schema }
  /// The compiled rules of the schema; nil where it has none.
  package var rules: (any ValidationRules)? { content.rules }
  package var isStorageVersion: Bool { version == storageVersion }
  package var apiVersion: String { "\(group)/\(version)" }
  /// Unknown fields are kept everywhere.
  var keepsEverything: Bool { preservesUnknownFields || content.isMissing }

  /// `com.example.stable.v1.CronTab` of `stable.example.com/v1`.
  static func openAPIName(_ group: String, _ version: String, _ kind: String) -> String {
    (group.split(separator: ".").reversed().map(String.init) + [version, kind]).joined(separator: ".")
  }

  static func objectShape(hasStatus: Bool) -> TypeShape {
    var fields = [SchemaField(name: "apiVersion", number: 0, value: .string), SchemaField(name: "kind", number: 0, value: .string)]
    if let metadata = SchemaRegistry.shared.type("meta/v1.ObjectMeta") {
      fields.append(SchemaField(name: "metadata", number: 0, value: .object(metadata)))
    }
    if hasStatus { fields.append(SchemaField(name: "status", number: 0, value: .any)) }
    return TypeShape(fields: fields, members: [])
  }

  private static let listFields: [SchemaField] = {
    var fields = [SchemaField(name: "apiVersion", number: 0, value: .string), SchemaField(name: "kind", number: 0, value: .string)]
    if let metadata = SchemaRegistry.shared.type("meta/v1.ListMeta") {
      fields.append(SchemaField(name: "metadata", number: 0, value: .object(metadata)))
    }
    return fields + [SchemaField(name: "items", number: 0, value: .list(.any))]
  }()

  private static func deprecationWarning(_ spec: JSON, _ version: JSON, kind: String) -> String? {
    guard version["deprecated"] == true else { return nil }
    if let text = version["deprecationWarning"].string { return text }
    let group = spec["group"].string ?? ""
    let name = version["name"].string ?? ""
    let better = spec["versions"].items.filter { $0["served"] == true && $0["deprecated"] != true }.compactMap { $0["name"].string }
      .filter { KubeVersion.precedes($0, name) }.sorted(by: KubeVersion.precedes)
    return "\(group)/\(name) \(kind) is deprecated" + (better.first.map { "; use \(group)/\($0) \(kind)" } ?? "")
  }
}

extension ScalePaths {
  init?(_ scale: JSON) {
    guard !scale.isNull else { return nil }
    func steps(_ path: JSON) -> [String] { (path.string ?? "").split(separator: ".").map(String.init) }
    specReplicas = steps(scale["specReplicasPath"])
    statusReplicas = steps(scale["statusReplicasPath"])
    let selector = steps(scale["labelSelectorPath"])
    labelSelector = selector.isEmpty ? nil : selector
  }
}

/// What a type of a custom group is.
enum CustomType: Sendable {
  case object(CustomResource)
  case list(kind: String)
}

/// The order of versions: v2, v1, v2beta1, v1beta2, v1alpha1, and then other names by the alphabet.
enum KubeVersion {
  static func precedes(_ a: String, _ b: String) -> Bool {
    switch (rank(a), rank(b)) {
    case (let x?, let y?): x.stability != y.stability ? x.stability > y.stability : (x.major, x.minor) > (y.major, y.minor)
    case (.some, nil): true
    case (nil, .some): false
    case (nil, nil): a < b
    }
  }

  private static func rank(_ text: String) -> (stability: Int, major: Int, minor: Int)? {
    guard text.first == "v" else { return nil }
    var rest = text.dropFirst()
    func number() -> Int? {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      rest = rest.dropFirst(digits.count)
      return digits.first == "0" ? nil : Int(digits)
    }
    guard let major = number() else { return nil }
    if rest.isEmpty { return (3, major, 0) }
    for (word, stability) in [("beta", 2), ("alpha", 1)] where rest.hasPrefix(word) {
      rest = rest.dropFirst(word.count)
      guard let minor = number(), rest.isEmpty else { return nil }
      return (stability, major, minor)
    }
    return nil
  }
}

func isConditionTrue(_ object: JSON, _ type: String) -> Bool {
  object["status"]["conditions"].items.contains { $0["type"].string == type && $0["status"] == "True" }
}
