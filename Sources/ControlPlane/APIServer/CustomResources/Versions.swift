import APIMachinery
import JSONCodec
import KubernetesAPI
import RevisionStore

/// Objects are stored in one version of their kind and shown in the one that was asked for.
extension Resources {
  /// Seconds that a conversion webhook has.
  static let conversionSeconds = 30

  /// Whether what is stored can be sent as it is.
  func isStoredForm(_ resource: ResourceInfo) -> Bool {
    if let custom = resource.custom { return !custom.readsNeedWork }
    return resource.group == resource.storageGroup && resource.version == resource.storageVersion
  }

  /// Stored objects in the version that was asked for.
  func presented(_ objects: [JSON], as resource: ResourceInfo) async throws -> [JSON] {
    guard !isStoredForm(resource) else { return objects }
    if resource.group != resource.storageGroup { return objects.map(EventConversion.toEventsV1) }
    guard let custom = resource.custom else {
      return objects.map { APIMachinery.converted($0, toVersion: resource.version, of: resource) }
    }
    var result = try await webhookConverted(objects, to: custom.apiVersion, custom.conversion)
    for i in result.indices { custom.present(&result[i]) }
    return result
  }

  func presented(_ object: JSON, as resource: ResourceInfo) async throws -> JSON {
    isStoredForm(resource) ? object : try await presented([object], as: resource)[0]
  }

  /// The form in which an object of a request goes into the store.
  func storable(_ object: JSON, _ resource: ResourceInfo) async throws -> JSON {
    if resource.group != resource.storageGroup { return EventConversion.toCore(object) }
    return try await converted(object, to: resource.storageVersion, resource)
  }

  /// An object of a resource in another version of its kind.
  func converted(_ object: JSON, to version: String, _ resource: ResourceInfo) async throws -> JSON {
    guard version != resource.version || object["apiVersion"].string != resource.apiVersion else { return object }
    guard let custom = resource.custom else {
      return version == resource.version ? object : APIMachinery.converted(object, toVersion: version, of: resource)
    }
    let apiVersion = "\(custom.group)/\(version)"
    var result = try await webhookConverted([object], to: apiVersion, custom.conversion)[0]
    result["apiVersion"] = .string(apiVersion)
    return result
  }

  /// Asks the definition's webhook about those that have another version; without one, nothing changes here.
  private func webhookConverted(_ objects: [JSON], to apiVersion: String, _ conversion: JSON) async throws -> [JSON] {
    guard conversion["strategy"].string == "Webhook" else { return objects }
    guard let review = ConversionReview(objects, to: apiVersion, conversion: conversion, uid: UUIDs.random()) else {
      throw APIFailure.internalError("the conversion webhook knows none of the versions of ConversionReview that this server speaks")
    }
    guard let body = review.body else { return objects }
    let kind = review.objects.first.map { "\($0["apiVersion"].string ?? ""), Kind=\($0["kind"].string ?? "")" } ?? ""
    let converted: [JSON]
    do {
      let answer = try await webhooks.caller.post(
        body, to: conversion["webhook"]["clientConfig"], timeoutSeconds: Self.conversionSeconds, self)
      converted = try review.converted(by: answer)
    } catch let error as ConversionError {
      throw APIFailure.internalError("\(error)")
    } catch let error as WebhookCaller.Failure {
      let text = error.description
      let head = "failed to call webhook: "
      throw APIFailure.internalError(
        "conversion webhook for \(kind) failed: \(text.hasPrefix(head) ? String(text.dropFirst(head.count)) : text)")
    }
    var answers = converted.makeIterator()
    return objects.map { $0["apiVersion"].string == apiVersion ? $0 : answers.next() ?? $0 }
  }
}
