import JSONCodec

/// What governs admission: webhooks and policies.
extension Findings {
  static let matchConditionsMax = 64

  mutating func webhooks(_ configuration: JSON) {
    var names: Set<String> = []
    for (i, webhook) in configuration["webhooks"].items.enumerated() {
      let path = FieldPath("webhooks")[i]
      let name = webhook["name"].string ?? ""
      if name.isEmpty {
        required(path / "name")
      } else if !NameProblems.subdomain(name).isEmpty {
        check(webhook["name"], path / "name", NameProblems.subdomain)
      } else if name.split(separator: ".").count < 3 {
        invalid(path / "name", webhook["name"], "should be a domain with at least three segments separated by dots")
      }
      if !names.insert(name).inserted { duplicate(path / "name", webhook["name"]) }
      reviewVersionsOfWebhook(webhook["admissionReviewVersions"], path / "admissionReviewVersions")
      for (j, rule) in webhook["rules"].items.enumerated() { admissionRule(rule, (path / "rules")[j]) }
      oneOf(webhook["failurePolicy"], path / "failurePolicy", ["Fail", "Ignore"])
      oneOf(webhook["matchPolicy"], path / "matchPolicy", ["Equivalent", "Exact"])
      let effects = ["None", "NoneOnDryRun"]
      if webhook["sideEffects"].isEmpty {
        required(path / "sideEffects", "must specify one of \(effects.joined(separator: ", "))")
      } else {
        oneOf(webhook["sideEffects"], path / "sideEffects", effects)
      }
      if let seconds = webhook["timeoutSeconds"].int, !(1...30).contains(seconds) {
        invalid(path / "timeoutSeconds", webhook["timeoutSeconds"], "the timeout value must be between 1 and 30 seconds")
      }
      labelSelector(webhook["namespaceSelector"], path / "namespaceSelector")
      labelSelector(webhook["objectSelector"], path / "objectSelector")
      webhookClient(webhook["clientConfig"], path / "clientConfig")
      oneOf(webhook["reinvocationPolicy"], path / "reinvocationPolicy", ["IfNeeded", "Never"])
      matchConditions(webhook["matchConditions"], path / "matchConditions")
    }
  }

  private mutating func webhookClient(_ client: JSON, _ path: FieldPath) {
    if client["url"].isNull == client["service"].isNull {
      required(path, "exactly one of url or service is required")
    } else if let url = client["url"].string {
      webhookURL(url, path / "url")
    } else {
      webhookService(client["service"], path / "service")
    }
  }

  private mutating func reviewVersionsOfWebhook(_ versions: JSON, _ path: FieldPath) {
    if versions.isEmpty { return required(path, "must specify one of v1, v1beta1") }
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

  /// A rule with operations, of webhooks and of policies.
  private mutating func admissionRule(_ rule: JSON, _ path: FieldPath) {
    let known = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]
    if rule["operations"].isEmpty { required(path / "operations") }
    for (i, operation) in rule["operations"].items.enumerated() where !known.contains(operation.string ?? "") {
      notSupported((path / "operations")[i], operation, known)
    }
    for (field, what) in [
      ("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions"), ("resources", "resources"),
    ] {
      let values = rule[field].items
      if values.isEmpty, field != "operations" { required(path / field) }
      if field != "resources", values.count > 1, values.contains("*") {
        invalid(path / field, rule[field], "if '*' is present, must not specify other \(what)")
      }
      for (i, value) in values.enumerated() where value == "" && field != "apiGroups" { required((path / field)[i]) }
    }
    let resources = rule["resources"].items.compactMap(\.string)
    if resources.count > 1, resources.contains("*/*") {
      invalid(path / "resources", rule["resources"], "if '*/*' is present, must not specify other resources")
    } else if resources.contains("*"), resources.contains(where: { $0 != "*" && !$0.contains("/") }) {
      invalid(path / "resources", rule["resources"], "if '*' is present, must not specify other resources without subresources")
    }
    oneOf(rule["scope"], path / "scope", ["*", "Cluster", "Namespaced"])
  }

  private mutating func matchConditions(_ conditions: JSON, _ path: FieldPath) {
    if conditions.items.count > Self.matchConditionsMax { tooMany(path, conditions.items.count, max: Self.matchConditionsMax) }
    var names: Set<String> = []
    for (i, condition) in conditions.items.enumerated() {
      if condition["expression"].isEmpty { required(path[i] / "expression") }
      if condition["name"].isEmpty {
        required(path[i] / "name")
      } else {
        check(condition["name"], path[i] / "name", NameProblems.qualified)
        if !names.insert(condition["name"].string ?? "").inserted { duplicate(path[i] / "name", condition["name"]) }
      }
    }
  }

  // MARK: policies

  mutating func admissionPolicy(_ policy: JSON, isMutating: Bool) {
    let spec = policy["spec"]
    let path = FieldPath("spec")
    if !spec["paramKind"].isNull {
      let at = path / "paramKind"
      if spec["paramKind"]["apiVersion"].isEmpty { required(at / "apiVersion") }
      if spec["paramKind"]["kind"].isEmpty { required(at / "kind") }
    }
    oneOf(spec["failurePolicy"], path / "failurePolicy", ["Fail", "Ignore"])
    if spec["matchConstraints"].isNull {
      required(path / "matchConstraints")
    } else {
      if spec["matchConstraints"]["resourceRules"].isEmpty { required(path / "matchConstraints" / "resourceRules") }
      matchResources(spec["matchConstraints"], path / "matchConstraints")
    }
    matchConditions(spec["matchConditions"], path / "matchConditions")
    for (i, variable) in spec["variables"].items.enumerated() {
      let at = (path / "variables")[i]
      if variable["name"].isEmpty { required(at / "name", "name is not specified") }
      if variable["expression"].isEmpty { required(at / "expression", "expression is not specified") }
    }
    if isMutating { mutations(spec, path) } else { validations(spec, path) }
  }

  private mutating func validations(_ spec: JSON, _ path: FieldPath) {
    if spec["validations"].isEmpty, spec["auditAnnotations"].isEmpty {
      required(path / "validations", "validations or auditAnnotations must be specified")
      required(path / "auditAnnotations", "validations or auditAnnotations must be specified")
    }
    let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"]
    for (i, validation) in spec["validations"].items.enumerated() {
      let at = (path / "validations")[i]
      if (validation["expression"].string ?? "").allSatisfy(\.isWhitespace) { required(at / "expression", "expression is not specified") }
      if let message = validation["message"].string {
        if message.allSatisfy(\.isWhitespace) { invalid(at / "message", validation["message"], "message must be non-empty if specified") }
        if message.contains(where: \.isNewline) { invalid(at / "message", validation["message"], "message must not contain line breaks") }
      }
      oneOf(validation["reason"], at / "reason", reasons)
    }
    var keys: Set<String> = []
    for (i, annotation) in spec["auditAnnotations"].items.enumerated() {
      let at = (path / "auditAnnotations")[i]
      if annotation["key"].isEmpty { required(at / "key") }
      if annotation["valueExpression"].isEmpty { required(at / "valueExpression", "valueExpression is not specified") }
      if !keys.insert(annotation["key"].string ?? "").inserted { duplicate(at / "key", annotation["key"]) }
    }
  }

  private mutating func mutations(_ spec: JSON, _ path: FieldPath) {
    if spec["mutations"].isEmpty { required(path / "mutations", "mutations must contain at least one item") }
    for (i, mutation) in spec["mutations"].items.enumerated() {
      let at = (path / "mutations")[i]
      switch mutation["patchType"].string ?? "" {
      case "": required(at / "patchType")
      case "ApplyConfiguration":
        if mutation["applyConfiguration"]["expression"].isEmpty {
          required(at / "applyConfiguration" / "expression", "expression is not specified")
        }
      case "JSONPatch":
        if mutation["jsonPatch"]["expression"].isEmpty { required(at / "jsonPatch" / "expression", "expression is not specified") }
      default: notSupported(at / "patchType", mutation["patchType"], ["ApplyConfiguration", "JSONPatch"])
      }
    }
    if spec["reinvocationPolicy"].isEmpty { required(path / "reinvocationPolicy") }
    oneOf(spec["reinvocationPolicy"], path / "reinvocationPolicy", ["IfNeeded", "Never"])
  }

  private mutating func matchResources(_ match: JSON, _ path: FieldPath) {
    for selector in ["namespaceSelector", "objectSelector"] { labelSelector(match[selector], path / selector) }
    oneOf(match["matchPolicy"], path / "matchPolicy", ["Equivalent", "Exact"])
    for field in ["resourceRules", "excludeResourceRules"] {
      for (i, rule) in match[field].items.enumerated() {
        admissionRule(rule, (path / field)[i])
        var names: Set<String> = []
        for (j, name) in rule["resourceNames"].items.enumerated() where !names.insert(name.string ?? "").inserted {
          duplicate((path / field)[i] / "resourceNames" / String(j), name)
        }
      }
    }
  }

  mutating func admissionPolicyBinding(_ binding: JSON, isMutating: Bool) {
    let spec = binding["spec"]
    let path = FieldPath("spec")
    requiredText(spec["policyName"], path / "policyName", NameProblems.subdomain)
    let parameters = spec["paramRef"]
    if !parameters.isNull {
      let at = path / "paramRef"
      if parameters["name"].isEmpty == parameters["selector"].isNull {
        if parameters["selector"].isNull {
          required(at, "one of name or selector must be specified")
        } else {
          forbidden(at / "name", "name and selector are mutually exclusive")
        }
      }
      if parameters["parameterNotFoundAction"].isEmpty { required(at / "parameterNotFoundAction") }
      oneOf(parameters["parameterNotFoundAction"], at / "parameterNotFoundAction", ["Allow", "Deny"])
    }
    if !spec["matchResources"].isNull { matchResources(spec["matchResources"], path / "matchResources") }
    if isMutating { return }
    let actions = spec["validationActions"]
    if actions.isEmpty { required(path / "validationActions", "at least one validation action is required") }
    var seen: Set<String> = []
    for (i, action) in actions.items.enumerated() {
      oneOf(action, (path / "validationActions")[i], ["Audit", "Deny", "Warn"])
      if !seen.insert(action.string ?? "").inserted { duplicate((path / "validationActions")[i], action) }
    }
    if seen.isSuperset(of: ["Deny", "Warn"]) {
      invalid(
        path / "validationActions", actions,
        "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"
      )
    }
  }
}
