import JSONCodec
import KubernetesAPI

/// What a row of a table carries beside its cells.
package enum TableObject: String, Sendable {
  /// The object's metadata: the default.
  case metadata = "Metadata"
  case object = "Object"
  case none = "None"
}

/// The version of meta.k8s.io that a client asked for.
package enum TableVersion: String, Sendable {
  case v1, v1beta1
  var apiVersion: String { "meta.k8s.io/\(rawValue)" }
}

/// Objects of a resource as `kubectl get` shows them.
///
/// - `listMetadata`: resourceVersion, continue and remainingItemCount of the list, or the resourceVersion of the object.
/// - `includesColumns`: false for all but the first event of a watch.
package func table(
  resource: ResourceInfo, objects: [JSON], now: Timestamp, includeObject: TableObject = .metadata,
  listMetadata: JSON = .object(JSONObject()), version: TableVersion = .v1, includesColumns: Bool = true
) -> JSON {
  table(
    columns: resource.custom?.columns ?? tableColumns(group: resource.group, resource: resource.plural), objects: objects, now: now,
    includeObject: includeObject, listMetadata: listMetadata, version: version, includesColumns: includesColumns)
}

/// The Table of a Status, for clients that ask for a Table and get an error or an acknowledgement.
package func statusTable(_ status: JSON, version: TableVersion = .v1) -> JSON {
  let columns: [TableColumn] = [.text("Status", "status"), .text("Reason", "reason"), .text("Message", "message")]
  return table(
    columns: columns, objects: [status], now: Timestamp(nanosecondsSinceEpoch: 0), includeObject: .object,
    listMetadata: .object(JSONObject()), version: version, includesColumns: true)
}

/// The Table of `scale` subresources.
package func scaleTable(_ scale: JSON, now: Timestamp, includeObject: TableObject = .metadata, version: TableVersion = .v1) -> JSON {
  let columns: [TableColumn] = [
    TableColumn("Name") { .string($0.name) }, .number("Desired", "spec", "replicas"), .number("Available", "status", "replicas"), .age,
  ]
  return table(
    columns: columns, objects: [scale], now: now, includeObject: includeObject,
    listMetadata: ["resourceVersion": scale["metadata"]["resourceVersion"]], version: version, includesColumns: true)
}

private func table(
  columns: [TableColumn], objects: [JSON], now: Timestamp, includeObject: TableObject, listMetadata: JSON, version: TableVersion,
  includesColumns: Bool
) -> JSON {
  var result = JSONObject()
  result.append("kind", "Table")
  result.append("apiVersion", .string(version.apiVersion))
  result.append("metadata", listMetadata)
  result.append("columnDefinitions", includesColumns ? .array(columns.map(\.definition)) : .array([]))
  result.append(
    "rows",
    .array(
      objects.map { object in
        let subject = TableSubject(object: object, now: now)
        var row = JSONObject()
        row.append("cells", .array(columns.map { $0.cell(subject) } + extraCells(subject)))
        let conditions = rowConditions(object)
        if !conditions.isEmpty { row.append("conditions", .array(conditions)) }
        switch includeObject {
        case .metadata: row.append("object", partialObjectMetadata(object, version: version))
        case .object: row.append("object", object)
        case .none: row.append("object", .null)
        }
        return .object(row)
      }))
  return .object(result)
}

/// Clients fade out pods that have ended.
private func rowConditions(_ object: JSON) -> [JSON] {
  guard object["kind"].string == "Pod", let phase = object["status"]["phase"].string else { return [] }
  switch phase {
  case "Succeeded":
    return [["type": "Completed", "status": "True", "reason": "Succeeded", "message": "The pod has completed successfully."]]
  case "Failed": return [["type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."]]
  default: return []
  }
}

/// Rows of IPAddress carry their age in a cell that has no column, as upstream's do.
private func extraCells(_ subject: TableSubject) -> [JSON] {
  subject["kind"].string == "IPAddress" ? [.string(subject.age(subject.metadata["creationTimestamp"]))] : []
}

/// An object's metadata alone, for `as=PartialObjectMetadata`.
package func partialObjectMetadata(_ object: JSON, version: TableVersion = .v1) -> JSON {
  var result = JSONObject()
  result.append("kind", "PartialObjectMetadata")
  result.append("apiVersion", .string(version.apiVersion))
  result.append("metadata", object["metadata"].object.map { .object($0) } ?? .object(JSONObject()))
  return .object(result)
}

/// The metadata of a list's objects, for `as=PartialObjectMetadataList`.
package func partialObjectMetadataList(
  _ objects: [JSON], listMetadata: JSON = .object(JSONObject()), version: TableVersion = .v1
) -> JSON {
  var result = JSONObject()
  result.append("kind", "PartialObjectMetadataList")
  result.append("apiVersion", .string(version.apiVersion))
  result.append("metadata", listMetadata)
  result.append("items", .array(objects.map { partialObjectMetadata($0, version: version) }))
  return .object(result)
}

/// The columns of a resource; name and creation time for one that has no layout of its own.
func tableColumns(group: String, resource: String) -> [TableColumn] {
  TableLayouts.all["\(group)/\(resource)"] ?? [.name, .createdAt]
}

enum TableLayouts {
  typealias Layouts = [String: [TableColumn]]

  /// By group and plural.
  static let all: Layouts = [core, workloads, network, storage, access, control].reduce(into: [:]) { all, layouts in
    all.merge(layouts) { _, _ in preconditionFailure("two layouts for one resource") }
  }
}
