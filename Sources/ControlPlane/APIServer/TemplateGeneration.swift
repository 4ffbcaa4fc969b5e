import JSONCodec

/// How often a DaemonSet's template has changed: a field of old versions that apps/v1 shows as an annotation.
enum TemplateGeneration {
  static let annotation = "deprecated.daemonset.template.generation"

  private static func value(_ object: JSON) -> Int { object["metadata"]["annotations"][annotation].string.flatMap { Int($0) } ?? 0 }
  private static func set(_ object: inout JSON, _ value: Int) {
    object["metadata"]["annotations"][annotation] = .string(String(value))
  }

  static func prepareForCreate(_ object: inout JSON) { set(&object, max(1, value(object))) }

  /// A writer cannot change it.
  static func keep(_ new: inout JSON, old: JSON) { if value(old) > 0 { set(&new, value(old)) } }

  static func count(_ new: inout JSON, old: JSON) {
    if new["spec"]["template"] != old["spec"]["template"] { set(&new, value(old) + 1) }
  }
}
