import JSONCodec

/// The values of the fields that a selector of this resource may name, beside the labels. A missing field is "".
package func fieldSelectorValues(resource: ResourceInfo, object: JSON) -> [String: String] {
  var values = ["metadata.name": object["metadata"]["name"].string ?? ""]
  if resource.isNamespaced { values["metadata.namespace"] = object["metadata"]["namespace"].string ?? "" }
  for field in resource.fieldSelectors { values[field] = resource.custom == nil ? selectorValue(field, object) : plainValue(field, object) }
  return values
}

/// Whether a field selector may name a field of this resource; others are a 400.
package func isSelectable(_ field: String, resource: ResourceInfo) -> Bool {
  field == "metadata.name" || field == "metadata.namespace" || resource.fieldSelectors.contains(field)
}

private func selectorValue(_ field: String, _ object: JSON) -> String {
  switch field {
  case "status.podIPs": return (object["status"]["podIPs"].array ?? []).compactMap { $0["ip"].string }.joined(separator: ",")
  case "reportingComponent", "reportingController":
    // Old events have only a source.
    let controller = object["reportingController"].string ?? object["reportingComponent"].string ?? ""
    return controller.isEmpty ? object["source"]["component"].string ?? "" : controller
  case "source":
    let component = object["source"]["component"].string ?? ""
    return component.isEmpty ? object["reportingComponent"].string ?? "" : component
  case let regarding where regarding.hasPrefix("regarding."):
    let name = String(regarding.dropFirst("regarding.".count))
    let reference = object["regarding"].isNull ? object["involvedObject"] : object["regarding"]
    return reference[name].string ?? ""
  default: break
  }
  let value = plainValue(field, object)
  if !value.isEmpty { return value }
  // Flags and counts that are left out are false and 0.
  switch field {
  case "spec.unschedulable", "spec.hostNetwork": return "false"
  case "status.replicas", "status.successful": return field == "status.successful" ? String(object["status"]["succeeded"].int ?? 0) : "0"
  default: return ""
  }
}

/// A scalar at a path as text; "" where there is none.
private func plainValue(_ field: String, _ object: JSON) -> String {
  var value = object
  for step in field.split(separator: ".") { value = value[String(step)] }
  switch value {
  case .string(let text): return text
  case .bool(let flag): return flag ? "true" : "false"
  case .int, .double: return value.text()
  default: return ""
  }
}
