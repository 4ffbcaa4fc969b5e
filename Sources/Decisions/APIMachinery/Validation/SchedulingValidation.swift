import JSONCodec

extension Findings {
  mutating func tolerations(_ tolerations: [JSON], _ path: FieldPath) {
    for (i, toleration) in tolerations.enumerated() {
      let at = path[i]
      let isExists = toleration["operator"] == "Exists"
      if !toleration["key"].isEmpty {
        check(toleration["key"], at / "key", NameProblems.qualified)
      } else if !isExists {
        invalid(
          at / "operator", toleration["operator"].isNull ? "" : toleration["operator"],
          "operator must be Exists when `key` is empty, which means \"match all values and all keys\"")
      }
      if !toleration["tolerationSeconds"].isNull, toleration["effect"] != "NoExecute" {
        invalid(
          at / "effect", toleration["effect"].isNull ? "" : toleration["effect"],
          "effect must be 'NoExecute' when `tolerationSeconds` is set")
      }
      switch toleration["operator"].string ?? "" {
      case "", "Equal":
        if let problem = NameProblems.labelValue(toleration["value"].string ?? "").first {
          invalid(at / "operator", toleration["value"], problem)
        }
      case "Exists":
        if !toleration["value"].isEmpty { invalid(at / "operator", toleration["value"], "value must be empty when `operator` is 'Exists'") }
      default: notSupported(at / "operator", toleration["operator"], ["Equal", "Exists"])
      }
      oneOf(toleration["effect"], at / "effect", ["NoSchedule", "PreferNoSchedule", "NoExecute"])
    }
  }

  mutating func affinity(_ affinity: JSON, _ path: FieldPath) {
    let required = "requiredDuringSchedulingIgnoredDuringExecution"
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    let node = affinity["nodeAffinity"]
    if !node[required].isNull { nodeSelector(node[required], path / "nodeAffinity" / required) }
    for (i, term) in node[preferred].items.enumerated() {
      let at = (path / "nodeAffinity" / preferred)[i]
      range(.int(Int64(term["weight"].int ?? 0)), at / "weight", 1...100)
      nodeTerm(term["preference"], at / "preference")
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
      for (i, term) in affinity[kind][required].items.enumerated() { podTerm(term, (path / kind / required)[i]) }
      for (i, term) in affinity[kind][preferred].items.enumerated() {
        let at = (path / kind / preferred)[i]
        range(.int(Int64(term["weight"].int ?? 0)), at / "weight", 1...100)
        podTerm(term["podAffinityTerm"], at / "podAffinityTerm")
      }
    }
  }

  mutating func nodeSelector(_ selector: JSON, _ path: FieldPath) {
    let terms = selector["nodeSelectorTerms"].items
    if terms.isEmpty { required(path / "nodeSelectorTerms", "must have at least one node selector term") }
    for (i, term) in terms.enumerated() { nodeTerm(term, (path / "nodeSelectorTerms")[i]) }
  }

  private mutating func nodeTerm(_ term: JSON, _ path: FieldPath) {
    for (i, expression) in term["matchExpressions"].items.enumerated() {
      let at = (path / "matchExpressions")[i]
      selectorExpression(expression, at, operators: ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])
      check(expression["key"], at / "key", NameProblems.qualified)
    }
    for (i, expression) in term["matchFields"].items.enumerated() {
      let at = (path / "matchFields")[i]
      let values = expression["values"].items
      if !["In", "NotIn"].contains(expression["operator"].string ?? "") {
        invalid(at / "operator", expression["operator"], "not a valid selector operator")
      } else if values.count != 1 {
        required(at / "values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector")
      }
      if expression["key"] == "metadata.name" {
        for (j, value) in values.enumerated() { check(value, (at / "values")[j], NameProblems.subdomain) }
      } else {
        invalid(at / "key", expression["key"], "not a valid field selector key")
      }
    }
  }

  private mutating func podTerm(_ term: JSON, _ path: FieldPath) {
    labelSelector(term["labelSelector"], path / "labelSelector")
    labelSelector(term["namespaceSelector"], path / "namespaceSelector")
    for (i, namespace) in term["namespaces"].items.enumerated() { check(namespace, (path / "namespaces")[i], NameProblems.dnsLabel) }
    if term["topologyKey"].isEmpty {
      required(path / "topologyKey", "can not be empty")
    } else {
      check(term["topologyKey"], path / "topologyKey", NameProblems.qualified)
    }
  }

  mutating func topologySpread(_ constraints: [JSON], _ path: FieldPath) {
    var seen: Set<String> = []
    for (i, constraint) in constraints.enumerated() {
      let at = path[i]
      if (constraint["maxSkew"].int ?? 0) <= 0 {
        invalid(at / "maxSkew", .int(Int64(constraint["maxSkew"].int ?? 0)), "must be greater than zero")
      }
      if constraint["topologyKey"].isEmpty {
        required(at / "topologyKey", "can not be empty")
      } else {
        check(constraint["topologyKey"], at / "topologyKey", NameProblems.qualified)
      }
      let action = constraint["whenUnsatisfiable"].string ?? ""
      if !["DoNotSchedule", "ScheduleAnyway"].contains(action) {
        notSupported(at / "whenUnsatisfiable", .string(action), ["DoNotSchedule", "ScheduleAnyway"])
      }
      let pair = "{\(constraint["topologyKey"].string ?? ""), \(action)}"
      if !seen.insert(pair).inserted { duplicate(at / "{topologyKey, whenUnsatisfiable}", .string(pair)) }
      if let domains = constraint["minDomains"].int {
        if domains <= 0 { invalid(at / "minDomains", .int(Int64(domains)), "must be greater than zero") }
        if action != "DoNotSchedule" {
          invalid(at / "minDomains", .int(Int64(domains)), "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not \(action)")
        }
      }
      labelSelector(constraint["labelSelector"], at / "labelSelector")
    }
  }

  mutating func taints(_ taints: [JSON], _ path: FieldPath) {
    var seen: Set<String> = []
    for (i, taint) in taints.enumerated() {
      let at = path[i]
      check(taint["key"], at / "key", NameProblems.qualified)
      if let problem = NameProblems.labelValue(taint["value"].string ?? "").first { invalid(at / "value", taint["value"], problem) }
      if taint["effect"].isEmpty {
        required(at / "effect")
      } else {
        oneOf(taint["effect"], at / "effect", ["NoSchedule", "PreferNoSchedule", "NoExecute"])
      }
      if !seen.insert("\(taint["key"].string ?? ""):\(taint["effect"].string ?? "")").inserted {
        add(at, .duplicate, "Duplicate value: \(taint.text()): taints must be unique by key and effect pair")
      }
    }
  }
}
