import CEL

/// The object types that expressions of policies and webhooks know: the request, the namespace, patches, and those of a schema.
struct PolicyTypes: CELTypeProvider {
  static let request = CELType.object("kubernetes.AdmissionRequest")
  static let namespace = CELType.object("kubernetes.Namespace")
  static let variables = CELType.object("kubernetes.variables")

  /// Of the objects themselves, where those are typed.
  var schema: any CELTypeProvider = CELNoTypes()
  /// Whether `Object{...}` and `JSONPatch{...}` may be written: in mutations.
  var hasPatches = false
  /// The names under `variables`, with their types.
  var variables: [String: CELType] = [:]

  private static let patches = CELJSONPatchTypes()

  private static let fixed: [String: [String: CELField]] = {
    func fields(_ types: [String: CELType]) -> [String: CELField] {
      Dictionary(uniqueKeysWithValues: types.map { ($0.key, CELField(type: $0.value, key: $0.key)) })
    }
    let texts = CELType.map(.string, .string)
    return [
      "kubernetes.AdmissionRequest": fields([
        "kind": .object("kubernetes.GroupVersionKind"), "resource": .object("kubernetes.GroupVersionResource"), "subResource": .string,
        "requestKind": .object("kubernetes.GroupVersionKind"), "requestResource": .object("kubernetes.GroupVersionResource"),
        "requestSubResource": .string, "name": .string, "namespace": .string, "operation": .string,
        "userInfo": .object("kubernetes.UserInfo"), "dryRun": .bool, "options": .dyn,
      ]),
      "kubernetes.GroupVersionKind": fields(["group": .string, "version": .string, "kind": .string]),
      "kubernetes.GroupVersionResource": fields(["group": .string, "version": .string, "resource": .string]),
      "kubernetes.UserInfo": fields([
        "username": .string, "uid": .string, "groups": .list(.string), "extra": .map(.string, .list(.string)),
      ]),
      "kubernetes.Namespace": fields([
        "metadata": .object("kubernetes.NamespaceMetadata"), "spec": .object("kubernetes.NamespaceSpec"),
        "status": .object("kubernetes.NamespaceStatus"),
      ]),
      "kubernetes.NamespaceMetadata": fields([
        "name": .string, "generateName": .string, "namespace": .string, "labels": texts, "annotations": texts, "UID": .string,
        "creationTimestamp": .timestamp, "deletionGracePeriodSeconds": .int, "deletionTimestamp": .timestamp, "generation": .int,
        "resourceVersion": .string, "finalizers": .list(.string),
      ]),
      "kubernetes.NamespaceSpec": fields(["finalizers": .list(.string)]),
      "kubernetes.NamespaceStatus": fields(["phase": .string]),
    ]
  }()

  /// `Object`, `Object.spec`, ...: the objects of apply configurations, named by the path of the field that they fill.
  static func isApplied(_ name: String) -> Bool { name == "Object" || name.hasPrefix("Object.") }

  func knowsType(_ name: String) -> Bool {
    if hasPatches, Self.isApplied(name) || Self.patches.knowsType(name) { return true }
    return name == "kubernetes.variables" || Self.fixed[name] != nil || schema.knowsType(name)
  }

  func field(_ name: String, of type: String) -> CELField? {
    if hasPatches {
      if Self.isApplied(type) { return CELField(type: .dyn, key: CELFieldName.unescape(name)) }
      if let field = Self.patches.field(name, of: type) { return field }
    }
    if type == "kubernetes.variables" { return variables[name].map { CELField(type: $0, key: name) } }
    return Self.fixed[type]?[name] ?? schema.field(name, of: type)
  }
}
