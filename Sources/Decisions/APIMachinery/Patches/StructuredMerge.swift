import JSONCodec

/// Merges a configuration into an object as server-side apply does, without anything being owned: what a mutating policy asks for.
///
/// A configuration may not touch what is owned as a whole (atomic lists, maps and structs): what it leaves out would be lost.
/// - `type`: nil for objects without a schema.
package func structuredMerge(_ object: JSON, applied: JSON, type: SchemaType?) throws(ApplyError) -> JSON {
  let shape = FieldShape(type)
  let configuration = ApplyMerge.withoutNulls(applied)
  if let problem = ApplyMerge.mismatches(configuration, shape, path: "").first { throw .badRequest(problem) }
  let atomic = atomicPaths(configuration, shape, path: "")
  guard atomic.isEmpty else {
    throw .badRequest("may not mutate atomic arrays, maps or structs: \(atomic.joined(separator: ", "))")
  }
  return ApplyMerge.merge(object, configuration, shape) ?? object
}

/// The paths of lists and objects that are leaves.
private func atomicPaths(_ value: JSON, _ shape: FieldShape, path: String) -> [String] {
  let shape = shape.resolved(value)
  switch (shape, value) {
  case (.leaf, .object), (.leaf, .array): return [path]
  case (_, .object(let fields)):
    return fields.flatMap { name, child in atomicPaths(child, shape.child(name) ?? .deduced, path: "\(path).\(name)") }
  case (_, .array(let items)):
    return items.flatMap { item in atomicPaths(item, shape.itemShape, path: path + (shape.element(of: item)?.pathText ?? "[]")) }
  default: return []
  }
}
