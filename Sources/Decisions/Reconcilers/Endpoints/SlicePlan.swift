import JSONCodec
import KubernetesAPI

/// Endpoints that share their ports, and so may stand in one slice.
struct EndpointGroup {
  let ports: JSON
  var endpoints: [JSON]
}

/// The fewest writes after which slices hold what they must: an endpoint stays in the slice that has it.
struct SlicePlan {
  let kind: Kind
  let owner: JSON
  /// IPv4 or IPv6.
  let family: String
  let labels: JSON
  let annotations: JSON
  let endpointsMax: Int
  let now: Timestamp

  func writes(_ groups: [EndpointGroup], present: [JSON]) -> [Write] {
    var left = present.sorted { ($0["metadata"]["name"].string ?? "") < ($1["metadata"]["name"].string ?? "") }
    var creations: [Write] = []
    var updates: [Write] = []
    // A service without endpoints has one empty slice.
    for group in groups.isEmpty ? [EndpointGroup(ports: .array([]), endpoints: [])] : groups {
      let (same, others) = left.partitioned { Self.canonical($0["ports"]) == Self.canonical(group.ports) }
      left = others
      fill(same, group, &creations, &updates)
    }
    // New slices come first: no endpoint is without one in between.
    return creations + updates + left.map { .delete(.endpointSlice, $0.objectName, uid: $0.uid) }
  }

  private static func canonical(_ ports: JSON) -> [String] { (ports.array ?? []).map { $0.sorted().text() }.sorted() }

  private static func identity(_ endpoint: JSON) -> String {
    (endpoint["targetRef"]["uid"].string ?? "") + "|" + (endpoint["addresses"][0].string ?? "")
  }

  private func fill(_ slices: [JSON], _ group: EndpointGroup, _ creations: inout [Write], _ updates: inout [Write]) {
    var wanted = Dictionary(group.endpoints.map { (Self.identity($0), $0) }) { $1 }
    var contents: [[JSON]] = slices.map { slice in
      (slice["endpoints"].array ?? []).compactMap { wanted.removeValue(forKey: Self.identity($0)) }
    }
    var rest = group.endpoints.filter { wanted[Self.identity($0)] != nil }
    for i in contents.indices where !rest.isEmpty && contents[i].count < endpointsMax {
      let room = endpointsMax - contents[i].count
      contents[i] += rest.prefix(room)
      rest = Array(rest.dropFirst(room))
    }
    let isNeeded = slices.isEmpty && rest.isEmpty
    while !rest.isEmpty || (isNeeded && creations.isEmpty) {
      creations.append(.create(.endpointSlice, slice(group.ports, Array(rest.prefix(endpointsMax)))))
      rest = Array(rest.dropFirst(endpointsMax))
      if rest.isEmpty { break }
    }
    var hasOne = !group.endpoints.isEmpty
    for (slice, content) in zip(slices, contents) {
      // Only a service without any endpoint keeps an empty slice, and only one.
      if content.isEmpty, hasOne {
        updates.append(.delete(.endpointSlice, slice.objectName, uid: slice.uid))
        continue
      }
      hasOne = true
      if let changed = changed(slice, content) { updates.append(.update(.endpointSlice, changed)) }
    }
  }

  private func changed(_ slice: JSON, _ endpoints: [JSON]) -> JSON? {
    var changed = slice
    changed["metadata"]["labels"] = labels
    if (slice["endpoints"].array ?? []) != endpoints { changed["endpoints"] = .array(endpoints) }
    for (key, value) in annotations.object ?? JSONObject() { changed["metadata"]["annotations"][key] = value }
    guard changed != slice else { return nil }
    changed["metadata"]["annotations"][EndpointSliceReconciler.changeTime] = .string(now.rfc3339)
    return changed
  }

  private func slice(_ ports: JSON, _ endpoints: [JSON]) -> JSON {
    var annotations = annotations
    annotations[EndpointSliceReconciler.changeTime] = .string(now.rfc3339)
    return [
      "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
      "metadata": [
        "generateName": .string("\(owner["metadata"]["name"].string ?? "")-"), "namespace": owner["metadata"]["namespace"],
        "labels": labels,
        "annotations": annotations, "ownerReferences": [controllerReference(owner, kind)],
      ],
      "addressType": .string(family), "endpoints": .array(endpoints), "ports": ports,
    ]
  }
}
