import JSONCodec
import KubernetesAPI

/// The rules for CustomResourceDefinition, on create and on update.
extension Findings {
  /// RFC 1035: like a DNS label, but it begins with a letter.
  static func label1035(_ text: String) -> [String] {
    var problems = text.utf8.count > 63 ? ["must be no more than 63 bytes"] : []
    let bytes = Array(text.utf8)
    let isGood = bytes.allSatisfy { $0 &- 0x30 < 10 || $0 &- 0x61 < 26 || $0 == 0x2D }
    if bytes.isEmpty || !isGood || bytes[0] &- 0x61 >= 26 || bytes.last == 0x2D {
      problems.append(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
          + "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
          + "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
      )
    }
    return problems
  }

  /// All problems of a text as one error.
  private mutating func label(_ json: JSON, _ path: FieldPath, prefix: String = "", isMixedCase: Bool = false) {
    let text = json.string ?? ""
    let problems = Self.label1035(isMixedCase ? text.lowercased() : text)
    if !problems.isEmpty { invalid(path, json, prefix + problems.joined(separator: ",")) }
  }

  private mutating func known(_ json: JSON, _ path: FieldPath, _ values: [String]) {
    if json.isEmpty { required(path) } else { oneOf(json, path, values) }
  }

  mutating func definition(_ definition: JSON, old: JSON?, hooks: CustomResourceHooks) {
    let spec = definition["spec"]
    let path = FieldPath("spec")
    let expected = "\(spec["names"]["plural"].string ?? "").\(spec["group"].string ?? "")"
    if definition["metadata"]["name"].string != expected {
      invalid(FieldPath("metadata.name"), definition["metadata"]["name"], "must be spec.names.plural+\".\"+spec.group")
    }
    group(spec["group"], path / "group")
    known(spec["scope"], path / "scope", ["Cluster", "Namespaced"])
    versions(spec, old: old?["spec"], path, hooks)
    requiredNames(spec["names"], path / "names")
    names(spec["names"], path / "names")
    conversion(spec["conversion"], path / "conversion")
    if let old { definitionUpdate(spec, old: old, path) }
    names(definition["status"]["acceptedNames"], FieldPath("status.acceptedNames"))
    storedVersions(definition, FieldPath("status.storedVersions"))
    approval(definition, old: old)
    if spec["preserveUnknownFields"] == true, old?["spec"]["preserveUnknownFields"] != true {
      invalid(
        path / "preserveUnknownFields", true,
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead")
    }
  }

  private mutating func group(_ group: JSON, _ path: FieldPath) {
    let text = group.string ?? ""
    if text.isEmpty { return required(path) }
    let problems = NameProblems.subdomain(text)
    if !problems.isEmpty {
      invalid(path, group, problems.joined(separator: ","))
    } else if !text.contains(".") {
      invalid(path, group, "should be a domain with at least one dot")
    }
  }

  private mutating func requiredNames(_ names: JSON, _ path: FieldPath) {
    for name in ["plural", "singular", "kind", "listKind"] where names[name].isEmpty { required(path / name) }
  }

  private mutating func names(_ names: JSON, _ path: FieldPath) {
    for name in ["plural", "singular"] where !names[name].isEmpty { label(names[name], path / name) }
    for name in ["kind", "listKind"] where !names[name].isEmpty {
      label(names[name], path / name, prefix: "may have mixed case, but should otherwise match: ", isMixedCase: true)
    }
    for (i, name) in names["shortNames"].items.enumerated() { label(name, (path / "shortNames")[i]) }
    if !names["kind"].isEmpty, names["kind"] == names["listKind"] {
      invalid(path / "listKind", names["listKind"], "kind and listKind may not be the same")
    }
    for (i, name) in names["categories"].items.enumerated() { label(name, (path / "categories")[i]) }
  }

  // MARK: versions

  private mutating func versions(_ spec: JSON, old: JSON?, _ path: FieldPath, _ hooks: CustomResourceHooks) {
    let versions = spec["versions"].items
    for (i, version) in versions.enumerated() where version["schema"]["openAPIV3Schema"].isNull {
      required((path / "versions")[i] / "schema" / "openAPIV3Schema")
    }
    var seen: Set<String> = []
    var isUnique = true
    for (i, version) in versions.enumerated() {
      let at = (path / "versions")[i]
      if !seen.insert(version["name"].string ?? "").inserted { isUnique = false }
      label(version["name"], at / "name")
      let before = old?["versions"].items.first { $0["name"] == version["name"] }
      self.version(version, old: before, at, hooks)
    }
    if !isUnique { invalid(path / "versions", spec["versions"], "must contain unique version names") }
    if versions.filter({ $0["storage"] == true }).count != 1 {
      invalid(path / "versions", spec["versions"], "must have exactly one version marked as storage version")
    }
  }

  private mutating func version(_ version: JSON, old: JSON?, _ path: FieldPath, _ hooks: CustomResourceHooks) {
    deprecation(version, path / "deprecationWarning")
    let schema = version["schema"]["openAPIV3Schema"]
    if !schema.isNull {
      let check = DefinitionSchemaCheck(hooks: hooks, hasStatus: !version["subresources"]["status"].isNull)
      let before = old?["schema"]["openAPIV3Schema"] ?? .null
      for error in check.errors(schema, old: before.isNull ? nil : before, path: (path / "schema" / "openAPIV3Schema").description) {
        add(error)
      }
    }
    scale(version["subresources"]["scale"], path / "subresources")
    for (i, column) in version["additionalPrinterColumns"].items.enumerated() {
      printerColumn(column, (path / "additionalPrinterColumns")[i])
    }
    if !version["selectableFields"].isEmpty { selectableFields(version, path / "selectableFields") }
  }

  private mutating func deprecation(_ version: JSON, _ path: FieldPath) {
    guard let text = version["deprecationWarning"].string else { return }
    if version["deprecated"] != true { return invalid(path, .string(text), "can only be set for deprecated versions") }
    if text.utf8.count > 256 { invalid(path, .string(text), "must be <= 256 characters long") }
    if text.isEmpty { invalid(path, .string(text), "must not be an empty string") }
    if let at = text.unicodeScalars.firstIndex(where: { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) }) {
      let index = text.utf8.distance(from: text.startIndex, to: at)
      invalid(path, .string(text), "must only contain printable UTF-8 characters; non-printable character found at index \(index)")
    }
  }

  private mutating func scale(_ scale: JSON, _ path: FieldPath) {
    guard !scale.isNull else { return }
    func problem(_ text: String, _ roots: [String], _ where: String) -> String? {
      if !text.hasPrefix(".") { return "must be a simple json path starting with ." }
      return roots.contains { text.hasPrefix($0) } ? nil : "should be a json path under \(`where`)"
    }
    for (field, root) in [("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")] {
      let at = path / "scale.\(field)"
      if scale[field].isEmpty {
        required(at)
      } else if let problem = problem(scale[field].string ?? "", [root + "."], root) {
        invalid(at, scale[field], problem)
      }
    }
    if !scale["labelSelectorPath"].isEmpty,
      let problem = problem(scale["labelSelectorPath"].string ?? "", [".spec.", ".status."], "either .spec or .status")
    {
      invalid(path / "scale.labelSelectorPath", scale["labelSelectorPath"], problem)
    }
  }

  private mutating func printerColumn(_ column: JSON, _ path: FieldPath) {
    let types = "boolean,date,integer,number,string"
    let formats = ["binary", "byte", "date", "date-time", "double", "float", "int32", "int64", "password"]
    if column["name"].isEmpty { required(path / "name") }
    if column["type"].isEmpty {
      required(path / "type", "must be one of \(types)")
    } else if !types.split(separator: ",").contains(where: { $0 == column["type"].string ?? "" }) {
      invalid(path / "type", column["type"], "must be one of \(types)")
    }
    if !column["format"].isEmpty, !formats.contains(column["format"].string ?? "") {
      invalid(path / "format", column["format"], "must be one of \(formats.joined(separator: ","))")
    }
    if column["jsonPath"].isEmpty {
      required(path / "JSONPath")
    } else if column["jsonPath"].string?.hasPrefix(".") != true {
      invalid(path / "JSONPath", column["jsonPath"], "must be a simple json path starting with .")
    }
  }

  /// At most so many fields may be selectable.
  static let selectableFieldsMax = 8

  private mutating func selectableFields(_ version: JSON, _ path: FieldPath) {
    let schema = StructuralSchema(version["schema"]["openAPIV3Schema"])
    var seen: Set<String> = []
    for (i, field) in version["selectableFields"].items.enumerated() {
      let at = path[i] / "jsonPath"
      guard let text = field["jsonPath"].string, !text.isEmpty else {
        required(at)
        continue
      }
      let steps = text.dropFirst().split(separator: ".", omittingEmptySubsequences: false).map(String.init)
      guard text.hasPrefix("."), !steps.contains(where: { $0.isEmpty || $0.contains("[") }) else {
        invalid(at, field["jsonPath"], "is an invalid path: expected a path of field names, each after a dot")
        continue
      }
      var inner: StructuralSchema? = schema
      for step in steps { inner = inner?.properties[step] }
      if steps[0] == "metadata" {
        invalid(at, field["jsonPath"], "must not point to fields in metadata")
      } else if inner == nil {
        invalid(at, field["jsonPath"], "is an invalid path: does not refer to a valid field")
        continue
      }
      if !["string", "boolean", "integer"].contains(inner?.type ?? "") {
        invalid(
          at, field["jsonPath"],
          "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.")
      }
      if !seen.insert(text).inserted { duplicate(at, field["jsonPath"]) }
    }
    if seen.count > Self.selectableFieldsMax { tooMany(path, seen.count, max: Self.selectableFieldsMax) }
  }

  // MARK: conversion

  private mutating func conversion(_ conversion: JSON, _ path: FieldPath) {
    guard !conversion.isNull else { return }
    known(conversion["strategy"], path / "strategy", ["None", "Webhook"])
    let webhook = conversion["webhook"]
    let client = webhook["clientConfig"]
    guard conversion["strategy"] == "Webhook" else {
      if !client.isNull { forbidden(path / "webhookClientConfig", "should not be set when strategy is not set to Webhook") }
      if !webhook["conversionReviewVersions"].isEmpty {
        forbidden(path / "conversionReviewVersions", "should not be set when strategy is not set to Webhook")
      }
      return
    }
    let at = path / "webhookClientConfig"
    if client.isNull {
      required(at, "required when strategy is set to Webhook")
    } else if client["url"].isNull == client["service"].isNull {
      required(at, "exactly one of url or service is required")
    } else if let url = client["url"].string {
      webhookURL(url, at / "url")
    } else {
      webhookService(client["service"], at / "service")
    }
    reviewVersions(webhook["conversionReviewVersions"], path / "conversionReviewVersions")
  }

  mutating func webhookURL(_ url: String, _ path: FieldPath) {
    guard url.hasPrefix("https://") else {
      return invalid(path, .string(url), "'https' is the only allowed URL scheme; desired format: https://host[/path]")
    }
    let rest = url.dropFirst("https://".count)
    if rest.isEmpty || rest.hasPrefix("/") { invalid(path, "", "host must be specified; desired format: https://host[/path]") }
    if rest.split(separator: "/").first?.contains("@") == true {
      invalid(path, .string(url), "user information is not permitted in the URL; desired format: https://host[/path]")
    }
    if rest.contains("#") { invalid(path, .string(url), "fragments are not permitted in the URL; desired format: https://host[/path]") }
    if rest.contains("?") {
      invalid(path, .string(url), "query parameters are not permitted in the URL; desired format: https://host[/path]")
    }
  }

  mutating func webhookService(_ service: JSON, _ path: FieldPath) {
    if service["name"].isEmpty { required(path / "name", "service name is required") }
    if service["namespace"].isEmpty { required(path / "namespace", "service namespace is required") }
    if let port = service["port"].int, !(1...65_535).contains(port) {
      invalid(path / "port", service["port"], "port is not valid: must be between 1 and 65535, inclusive")
    }
    if let text = service["path"].string, !text.hasPrefix("/") { invalid(path / "path", .string(text), "must start with a '/'") }
  }

  private mutating func reviewVersions(_ versions: JSON, _ path: FieldPath) {
    if versions.isEmpty { return required(path) }
    var seen: Set<String> = []
    for (i, version) in versions.items.enumerated() {
      if !seen.insert(version.string ?? "").inserted {
        invalid(path[i], version, "duplicate version")
        continue
      }
      check(version, path[i], Self.label1035)
    }
    if seen.isDisjoint(with: ["v1", "v1beta1"]) { invalid(path, versions, "must include at least one of v1, v1beta1") }
  }

  // MARK: update and status

  private mutating func definitionUpdate(_ spec: JSON, old: JSON, _ path: FieldPath) {
    let before = old["spec"]
    if isConditionTrue(old, "Established") {
      immutable(spec["scope"], before["scope"], path / "scope")
      immutable(spec["names"]["kind"], before["names"]["kind"], path / "names" / "kind")
    }
    immutable(spec["group"], before["group"], path / "group")
    immutable(spec["names"]["plural"], before["names"]["plural"], path / "names" / "plural")
  }

  private mutating func storedVersions(_ definition: JSON, _ path: FieldPath) {
    let stored = definition["status"]["storedVersions"]
    if stored.isEmpty { return }  // the server itself fills them in
    let versions = definition["spec"]["versions"].items
    for version in versions where version["storage"] == true && !stored.items.contains(version["name"]) {
      invalid(path, stored, "must have the storage version \(version["name"].string ?? "")")
    }
    for (i, name) in stored.items.enumerated() where !versions.contains(where: { $0["name"] == name }) {
      let text = name.string ?? ""
      invalid(
        path[i], name,
        "missing from spec.versions; \(text) was previously a storage version, and must remain in spec.versions "
          + "until a storage migration ensures no data remains persisted in \(text) and removes \(text) from status.storedVersions"
      )
    }
  }

  private mutating func approval(_ definition: JSON, old: JSON?) {
    let path = FieldPath("metadata.annotations")[key: APIApproval.annotation]
    // What was so before may stay so.
    if let old, APIApproval(old) == APIApproval(definition) { return }
    switch APIApproval(definition) {
    case .missing(let reason): required(path, reason)
    case .invalid(let value, let reason): invalid(path, .string(value), reason)
    case .notNeeded, .approved, .unapproved: break
    }
  }

  mutating func add(_ error: FieldError) { add(FieldPath(error.path), error.reason, error.message) }

  // MARK: APIService

  mutating func apiService(_ object: JSON) {
    let spec = object["spec"]
    let path = FieldPath("spec")
    let version = spec["version"].string ?? ""
    let group = spec["group"].string ?? ""
    if object["metadata"]["name"].string != "\(version).\(group)" {
      invalid(
        FieldPath("metadata.name"), object["metadata"]["name"],
        "must be `spec.version+\".\"+spec.group`: \"\(version).\(group)\"")
    }
    if !group.isEmpty { for problem in NameProblems.subdomain(group) { invalid(path / "group", spec["group"], problem) } }
    for problem in Self.label1035(version) { invalid(path / "version", spec["version"], problem) }
    let groupPriority = spec["groupPriorityMinimum"].int ?? 0
    if groupPriority <= 0 || groupPriority > 20_000 {
      invalid(path / "groupPriorityMinimum", JSON(groupPriority), "must be positive and less than 20000")
    }
    let versionPriority = spec["versionPriority"].int ?? 0
    if versionPriority <= 0 || versionPriority > 1_000 {
      invalid(path / "versionPriority", JSON(versionPriority), "must be positive and less than 1000")
    }
    let service = spec["service"]
    let isInsecure = spec["insecureSkipTLSVerify"] == true
    if service.isNull {
      if !spec["caBundle"].isEmpty {
        invalid(
          path / "caBundle", .string("\(Base64.decode(spec["caBundle"].string ?? "")?.count ?? 0) bytes"),
          "local APIServices may not have a caBundle")
      }
      if isInsecure { invalid(path / "insecureSkipTLSVerify", true, "local APIServices may not have insecureSkipTLSVerify") }
      return
    }
    if service["namespace"].isEmpty { required(path / "service" / "namespace") }
    if service["name"].isEmpty { required(path / "service" / "name") }
    if let port = service["port"].int, !(1...65_535).contains(port) {
      invalid(path / "service" / "port", service["port"], "port is not valid: must be between 1 and 65535, inclusive")
    }
    if isInsecure, !spec["caBundle"].isEmpty {
      invalid(path / "insecureSkipTLSVerify", true, "may not be true if caBundle is present")
    }
  }
}
