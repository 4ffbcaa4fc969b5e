import JSONCodec
import KubernetesAPI

extension Findings {
  private static let conditionMessageBytesMax = 32 * 1024
  private static let conditionReasonBytesMax = 1_024

  // MARK: conditions

  /// A list of metav1.Condition.
  mutating func conditions(_ list: JSON, _ path: FieldPath) {
    var seen: Set<String> = []
    for (i, condition) in list.items.enumerated() {
      let at = path[i]
      requiredText(condition["type"], at / "type", NameProblems.qualified)
      if !condition["type"].isEmpty, !seen.insert(condition["type"].string ?? "").inserted { duplicate(at / "type", condition["type"]) }
      if condition["status"].isEmpty {
        required(at / "status")
      } else {
        oneOf(condition["status"], at / "status", ["True", "False", "Unknown"])
      }
      if let generation = condition["observedGeneration"].int, generation < 0 {
        invalid(at / "observedGeneration", condition["observedGeneration"], "must be greater than or equal to zero")
      }
      if condition["lastTransitionTime"].isEmpty { required(at / "lastTransitionTime", "must be set") }
      let reason = condition["reason"].string ?? ""
      if reason.isEmpty {
        required(at / "reason")
      } else {
        if reason.utf8.count > Self.conditionReasonBytesMax { tooLong(at / "reason", bytesMax: Self.conditionReasonBytesMax) }
        if !Self.isReason(reason) {
          invalid(
            at / "reason", condition["reason"],
            "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
          )
        }
      }
      if (condition["message"].string ?? "").utf8.count > Self.conditionMessageBytesMax {
        tooLong(at / "message", bytesMax: Self.conditionMessageBytesMax)
      }
    }
  }

  private static func isReason(_ text: String) -> Bool {
    func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 }
    func isWord(_ byte: UInt8) -> Bool { isLetter(byte) || byte &- 0x30 < 10 || byte == UInt8(ascii: "_") }
    guard let first = text.utf8.first, let last = text.utf8.last, isLetter(first), isWord(last) else { return false }
    return text.utf8.allSatisfy { isWord($0) || $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: ":") }
  }

  // MARK: storage version migrations

  mutating func storageMigration(_ migration: JSON, old: JSON?) {
    let resource = migration["spec"]["resource"]
    let path = FieldPath("spec.resource")
    if resource["resource"].isEmpty {
      required(path / "resource", "resource is required")
    } else {
      check(resource["resource"], path / "resource", NameProblems.subdomain)
    }
    if !resource["group"].isEmpty { check(resource["group"], path / "group", NameProblems.subdomain) }
    if let old { immutable(migration["spec"], old["spec"], FieldPath("spec")) }
  }

  /// A migration ends once, and its version of the resource is told once.
  mutating func storageMigrationStatus(_ migration: JSON, old: JSON) {
    let path = FieldPath("status")
    let (status, before) = (migration["status"], old["status"])
    let text = status["resourceVersion"].string ?? ""
    if !text.isEmpty, Int64(text).map({ $0 < 0 || String($0) != text }) ?? true {
      invalid(path / "resourceVersion", status["resourceVersion"], "must be a decimal number without leading zeros")
    }
    conditions(status["conditions"], path / "conditions")
    if !before["resourceVersion"].isEmpty, status["resourceVersion"] != before["resourceVersion"] {
      invalid(path / "resourceVersion", status["resourceVersion"], "field is immutable")
    }
    func refuse(_ detail: String) { invalid(path / "conditions", status["conditions"], detail) }
    let holds = { (status: JSON, type: String) in
      status["conditions"].items.contains { $0["type"].string == type && $0["status"] == "True" }
    }
    let (succeeded, failed, running) = (holds(status, "Succeeded"), holds(status, "Failed"), holds(status, "Running"))
    if succeeded, failed { refuse("Both success and failed conditions cannot be true at the same time") }
    if succeeded, running { refuse("Running condition cannot be true when success condition is true") }
    if failed, running { refuse("Running condition cannot be true when failed condition is true") }
    if holds(before, "Succeeded"), !succeeded { refuse("Success condition cannot be set to false once it is true") }
    if holds(before, "Failed"), !failed { refuse("Failed condition cannot be set to false once it is true") }
  }
}
