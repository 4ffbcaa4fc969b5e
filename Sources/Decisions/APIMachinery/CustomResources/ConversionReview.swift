import JSONCodec

/// Why a conversion webhook's answer cannot be used; the text is upstream's and goes into a 500.
package struct ConversionError: Error, Equatable, CustomStringConvertible {
  package let description: String
}

/// Converting objects between versions by a webhook: what to send, and what to make of the answer.
///
/// Source: "Webhook conversion" in the Kubernetes documentation.
package struct ConversionReview: Sendable {
  /// Upstream sends at most so many objects of a list in one request; here a caller may split by it.
  package static let objectsMax = 5_000

  package let uid: String
  /// `stable.example.com/v2`.
  package let desiredAPIVersion: String
  /// The objects that are to be converted, in the order of the answer.
  package let objects: [JSON]
  /// `v1` or `v1beta1`: the first of `conversionReviewVersions` that the server knows.
  package let reviewVersion: String

  /// Nil where the webhook speaks no version that is known. `objects` may hold objects that have the desired version already: they
  /// are not sent.
  package init?(_ objects: [JSON], to apiVersion: String, conversion: JSON, uid: String) {
    let versions = conversion["webhook"]["conversionReviewVersions"].strings
    guard let version = versions.first(where: { $0 == "v1" || $0 == "v1beta1" }) else { return nil }
    reviewVersion = version
    self.uid = uid
    desiredAPIVersion = apiVersion
    self.objects = objects.filter { $0["apiVersion"].string != apiVersion }
  }

  /// The body of the request; nil where there is nothing to convert.
  package var body: JSON? {
    objects.isEmpty
      ? nil
      : [
        "kind": "ConversionReview", "apiVersion": .string("apiextensions.k8s.io/\(reviewVersion)"),
        "request": ["uid": .string(uid), "desiredAPIVersion": .string(desiredAPIVersion), "objects": .array(objects)],
      ]
  }

  /// The converted objects of an answer, in the order of `objects`. A webhook may change labels and annotations, and nothing else
  /// of the metadata.
  package func converted(by answer: JSON) throws(ConversionError) -> [JSON] {
    let kind = objects.first.map { "\($0["apiVersion"].string ?? ""), Kind=\($0["kind"].string ?? "")" } ?? ""
    func fail(_ text: String) -> ConversionError { ConversionError(description: "conversion webhook for \(kind) failed: \(text)") }
    func invalid(_ text: String) -> ConversionError {
      ConversionError(description: "conversion webhook for \(kind) returned invalid \(text)")
    }
    let expected = "apiextensions.k8s.io/\(reviewVersion)"
    guard answer["apiVersion"].string == expected, answer["kind"] == "ConversionReview" else {
      throw fail(
        "expected webhook response of \(expected), Kind=ConversionReview, got \(answer["apiVersion"].string ?? ""), Kind=\(answer["kind"].string ?? "")"
      )
    }
    let response = answer["response"]
    if response.isNull { throw fail("no response provided") }
    guard response["uid"].string == uid else { throw fail("expected response.uid=\"\(uid)\", got \(response["uid"].text())") }
    guard response["result"]["status"] == "Success" else {
      let message = response["result"]["message"].string ?? ""
      throw fail(message.isEmpty ? "conversion request failed without explicit reason" : message)
    }
    let results = response["convertedObjects"].items
    guard results.count == objects.count else {
      throw ConversionError(
        description: "conversion webhook for \(kind) returned \(results.count) objects, expected \(objects.count)")
    }
    var converted: [JSON] = []
    for (i, (object, result)) in zip(objects, results).enumerated() {
      guard result["apiVersion"].string == desiredAPIVersion else {
        throw invalid(
          "converted object at index \(i): invalid groupVersion (expected \(desiredAPIVersion), received \(result["apiVersion"].string ?? ""))"
        )
      }
      guard result["kind"] == object["kind"] else {
        throw invalid(
          "converted object at index \(i): invalid kind (expected \(object["kind"].string ?? ""), received \(result["kind"].string ?? ""))")
      }
      for field in ["name", "namespace", "uid"] where result["metadata"][field] != object["metadata"][field] {
        throw invalid("metadata of object at index \(i): metadata.\(field) must not be changed")
      }
      converted.append(Self.restoringMetadata(of: object, in: result))
    }
    return converted
  }

  private static func restoringMetadata(of original: JSON, in result: JSON) -> JSON {
    var object = result
    var metadata = original["metadata"]
    for field in ["labels", "annotations"] { metadata[field] = result["metadata"][field] }
    object["metadata"] = metadata
    return object
  }
}
