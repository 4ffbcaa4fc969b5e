import JSONCodec

/// What admission looks up in the cluster. Lookups are synchronous: the server fetches what `AdmissionChain.facts`
/// names before it asks, so that a decision stays a pure function of what was fetched.
package protocol ClusterFacts: Sendable {
  /// The objects that answer a question: none or one where it names an object, all of a kind where it does not.
  func objects(_ fact: AdmissionFact) -> [JSON]
}

/// A question that admission asks about the cluster.
package enum AdmissionFact: Hashable, Sendable {
  case namespace(String)
  case limitRanges(namespace: String)
  /// For the warnings that a stricter level of a namespace gives.
  case pods(namespace: String)
  case serviceAccount(namespace: String, name: String)
  case priorityClass(String)
  case priorityClasses
  case runtimeClass(String)
  case storageClass(String)
  case storageClasses
  case ingressClasses
}

extension ClusterFacts {
  func object(_ fact: AdmissionFact) -> JSON? { objects(fact).first }
}

/// Facts that were fetched before the decision.
package struct GatheredFacts: ClusterFacts {
  package var answers: [AdmissionFact: [JSON]]

  package init(_ answers: [AdmissionFact: [JSON]] = [:]) { self.answers = answers }

  package func objects(_ fact: AdmissionFact) -> [JSON] { answers[fact] ?? [] }
}
