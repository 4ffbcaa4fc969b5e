import JSONCodec
import Testing

@testable import APIMachinery

@Suite struct OtherKindsTests {
  /// Objects as they are filled in, and what is wrong with them.
  private func errors(_ plural: String, _ group: String, _ text: String, version: String = "v1", old: String? = nil) throws -> [String] {
    let resource = registered(plural, group, version)
    func object(_ text: String) throws -> JSON {
      var object = try JSON.parse(text)
      object["metadata"].fill("name", "a")
      if resource.isNamespaced { object["metadata"]["namespace"] = "n" }
      applyDefaults(&object, resource: resource)
      return object
    }
    return try validate(try object(text), old: try old.map(object), resource: resource).map(\.description)
  }

  @Test func autoscalers() throws {
    let good = #"{"spec":{"scaleTargetRef":{"kind":"Deployment","name":"d"},"maxReplicas":3,"behavior":{"scaleUp":{}}}}"#
    #expect(try errors("horizontalpodautoscalers", "autoscaling", good, version: "v2").isEmpty)
    let bad =
      #"""
      {"spec":{"scaleTargetRef":{"kind":"Deployment"},"minReplicas":5,"maxReplicas":3,"metrics":[{"type":"Resource",
      "resource":{"name":"cpu","target":{"type":"Utilization"}},"pods":{}}],"behavior":{"scaleDown":{"stabilizationWindowSeconds":4000,
      "policies":[{"type":"Pods","value":0,"periodSeconds":1}]}}}}
      """#
    let found = try errors("horizontalpodautoscalers", "autoscaling", bad, version: "v2")
    #expect(
      found == [
        "spec.scaleTargetRef.name: Required value",
        "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
        "spec.metrics[0].pods: Forbidden: must populate the given metric source only",
        "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
        "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600",
        "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
        "spec.metrics[0].pods.metric.name: Required value", "spec.metrics[0].pods.target.type: Required value",
      ])
  }

  @Test func webhookConfigurations() throws {
    let good =
      #"""
      {"webhooks":[{"name":"a.b.c","clientConfig":{"service":{"namespace":"n","name":"s"}},"sideEffects":"None",
      "admissionReviewVersions":["v1"],"rules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],
      "resources":["pods"]}]}]}
      """#
    #expect(try errors("validatingwebhookconfigurations", "admissionregistration.k8s.io", good).isEmpty)
    #expect(try errors("mutatingwebhookconfigurations", "admissionregistration.k8s.io", good).isEmpty)
    let bad =
      #"""
      {"webhooks":[{"name":"ab","clientConfig":{"url":"http://x"},"sideEffects":"Some","admissionReviewVersions":["v9"],
      "timeoutSeconds":31,"rules":[{"operations":["*","CREATE"],"apiGroups":[""],"apiVersions":["v1"],
      "resources":["*","pods"]}]}]}
      """#
    #expect(
      try errors("validatingwebhookconfigurations", "admissionregistration.k8s.io", bad) == [
        #"webhooks[0].name: Invalid value: "ab": should be a domain with at least three segments separated by dots"#,
        #"webhooks[0].admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1"#,
        #"webhooks[0].rules[0].operations: Invalid value: ["*","CREATE"]: if '*' is present, must not specify other operations"#,
        #"webhooks[0].rules[0].resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources"#,
        #"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#,
        "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        #"webhooks[0].clientConfig.url: Invalid value: "http://x": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#,
      ])
  }

  @Test func admissionPolicies() throws {
    let good =
      #"""
      {"spec":{"matchConstraints":{"resourceRules":[{"operations":["CREATE"],"apiGroups":["apps"],
      "apiVersions":["v1"],"resources":["deployments"]}]},"validations":[{"expression":"true"}]}}
      """#
    #expect(try errors("validatingadmissionpolicies", "admissionregistration.k8s.io", good).isEmpty)
    #expect(
      try errors("validatingadmissionpolicies", "admissionregistration.k8s.io", #"{"spec":{}}"#) == [
        "spec.matchConstraints: Required value", "spec.validations: Required value: validations or auditAnnotations must be specified",
        "spec.auditAnnotations: Required value: validations or auditAnnotations must be specified",
      ])
    #expect(
      try errors(
        "validatingadmissionpolicybindings", "admissionregistration.k8s.io",
        #"{"spec":{"policyName":"p","validationActions":["Deny","Warn"]}}"#
      ).count == 1)
    #expect(
      try errors(
        "mutatingadmissionpolicybindings", "admissionregistration.k8s.io",
        #"{"spec":{"policyName":"p","paramRef":{"name":"x","parameterNotFoundAction":"Deny"}}}"#
      ).isEmpty)
  }

  @Test func certificateRequests() throws {
    let request = Base64.encode("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----".utf8)
    let good = #"{"spec":{"request":"\#(request)","signerName":"example.com/x","usages":["client auth"]}}"#
    #expect(try errors("certificatesigningrequests", "certificates.k8s.io", good).isEmpty)
    let bad = #"{"spec":{"request":"YQ==","signerName":"x","expirationSeconds":5}}"#
    #expect(
      try errors("certificatesigningrequests", "certificates.k8s.io", bad) == [
        #"spec.request: Invalid value: "YQ==": PEM block type must be CERTIFICATE REQUEST"#,
        "spec.usages: Required value: usages is required for certificates.k8s.io/v1 certificate requests",
        #"spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form 'example.com/signer-name'"#,
        "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
      ])
    let resource = registered("certificatesigningrequests", "certificates.k8s.io")
    let approved: JSON = ["metadata": ["name": "a"], "status": ["conditions": [["type": "Approved", "status": "True"]]]]
    var both = approved
    both["status"]["conditions"] = [["type": "Approved", "status": "True"], ["type": "Denied", "status": "True"]]
    #expect(validate(both, old: approved, resource: resource, subresource: "approval").count == 1)
    #expect(
      validate(["metadata": ["name": "a"]], old: approved, resource: resource, subresource: "approval").map(\.description)
        == [#"status.conditions: Forbidden: updates may not remove a condition of type "Approved""#])
  }

  @Test func whatCannotChange() throws {
    func changed(_ plural: String, _ group: String, _ old: String, _ new: String) throws -> [String] {
      try errors(plural, group, new, old: old)
    }
    #expect(
      try changed("ingressclasses", "networking.k8s.io", #"{"spec":{"controller":"a.b/c"}}"#, #"{"spec":{"controller":"a.b/d"}}"#)
        == [#"spec.controller: Invalid value: "a.b/d": field is immutable"#])
    #expect(
      try changed("runtimeclasses", "node.k8s.io", #"{"handler":"a"}"#, #"{"handler":"b"}"#) == [
        #"handler: Invalid value: "b": field is immutable"#
      ])
    #expect(try changed("controllerrevisions", "apps", #"{"data":{"a":1},"revision":1}"#, #"{"data":{"a":2},"revision":2}"#).count == 1)
    #expect(
      try changed(
        "volumeattachments", "storage.k8s.io", #"{"spec":{"attacher":"a","nodeName":"n","source":{"persistentVolumeName":"p"}}}"#,
        #"{"spec":{"attacher":"a","nodeName":"m","source":{"persistentVolumeName":"p"}}}"#
      ).count == 1)
  }

  @Test func fairnessObjects() throws {
    let level = #"{"spec":{"type":"Limited","limited":{"limitResponse":{"type":"Queue","queuing":{"queues":4,"handSize":8}}}}}"#
    #expect(
      try errors("prioritylevelconfigurations", "flowcontrol.apiserver.k8s.io", level)
        == ["spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"])
    #expect(
      try errors(
        "flowschemas", "flowcontrol.apiserver.k8s.io", #"{"spec":{"priorityLevelConfiguration":{"name":"x"},"matchingPrecedence":20000}}"#)
        == ["spec.matchingPrecedence: Invalid value: 20000: must not be greater than 10000"])
  }

  @Test func autoscalersChangeTheirVersionAndComeBack() throws {
    let v2 = registered("horizontalpodautoscalers", "autoscaling", "v2")
    let text =
      #"""
      {"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"a"},"spec":{"maxReplicas":3,
      "metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}},
      {"type":"Object","object":{"describedObject":{"kind":"Ingress","name":"i"},"metric":{"name":"hits"},
      "target":{"type":"Value","value":"10"}}},{"type":"External","external":{"metric":{"name":"q",
      "selector":{"matchLabels":{"a":"b"}}},"target":{"type":"AverageValue","averageValue":"5"}}}],
      "behavior":{"scaleUp":{"selectPolicy":"Max"}}},"status":{"currentReplicas":1,"desiredReplicas":1,
      "conditions":[{"type":"AbleToScale","status":"True"}],"currentMetrics":[{"type":"Resource",
      "resource":{"name":"cpu","current":{"averageUtilization":7,"averageValue":"1m"}}}]}}
      """#
    let object = try JSON.parse(text)
    let old = converted(object, toVersion: "v1", of: v2)
    #expect(old["apiVersion"] == "autoscaling/v1" && old["spec"] == ["maxReplicas": 3, "targetCPUUtilizationPercentage": 50])
    #expect(old["status"]["currentCPUUtilizationPercentage"] == 7)
    var pruned = old
    #expect(try prune(&pruned, type: registered("horizontalpodautoscalers", "autoscaling", "v1").type).isEmpty)
    let metrics = try JSON.parse(old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"].string ?? "")
    #expect(metrics[0]["object"] == ["target": ["kind": "Ingress", "name": "i"], "metricName": "hits", "targetValue": "10"])
    #expect(converted(old, toVersion: "v2", of: v2) == object)
    #expect(v2.storageVersion == "v2" && registered("horizontalpodautoscalers", "autoscaling", "v1").storageVersion == "v2")
  }

  @Test func addressesAndRanges() throws {
    #expect(
      try errors(
        "ipaddresses", "networking.k8s.io", #"{"metadata":{"name":"10.0.0.1"},"spec":{"parentRef":{"resource":"services","name":"s"}}}"#
      ).isEmpty)
    #expect(try errors("ipaddresses", "networking.k8s.io", #"{"metadata":{"name":"ten"},"spec":{}}"#).count == 2)
    let range = #"{"spec":{"cidrs":["10.0.0.0/24"]}}"#
    #expect(try errors("servicecidrs", "networking.k8s.io", range).isEmpty)
    #expect(try errors("servicecidrs", "networking.k8s.io", #"{"spec":{"cidrs":["10.0.0.0/24","fd00::/108"]}}"#, old: range).isEmpty)
    #expect(try errors("servicecidrs", "networking.k8s.io", #"{"spec":{"cidrs":["10.1.0.0/24"]}}"#, old: range).count == 1)
  }

  /// Every resource of upstream's stable groups is offered.
  @Test func everyStableGroupIsServed() {
    let groups = Set(SchemaRegistry.shared.servedGroupVersions.map { "\($0.group)/\($0.version)" })
    #expect(
      groups == [
        "/v1", "admissionregistration.k8s.io/v1", "apiextensions.k8s.io/v1", "apiregistration.k8s.io/v1", "apps/v1",
        "authentication.k8s.io/v1",
        "authorization.k8s.io/v1", "autoscaling/v1", "autoscaling/v2", "batch/v1", "certificates.k8s.io/v1", "certificates.k8s.io/v1beta1",
        "coordination.k8s.io/v1",
        "discovery.k8s.io/v1", "events.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1", "metrics.k8s.io/v1beta1",
        "networking.k8s.io/v1", "node.k8s.io/v1", "policy/v1",
        "rbac.authorization.k8s.io/v1", "resource.k8s.io/v1", "scheduling.k8s.io/v1", "storage.k8s.io/v1",
        "storagemigration.k8s.io/v1beta1",
      ])
    #expect(SchemaRegistry.shared.resources.allSatisfy { $0.isServed })
  }
}
