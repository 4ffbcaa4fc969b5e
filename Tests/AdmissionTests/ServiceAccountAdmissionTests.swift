import JSONCodec
import Testing

@testable import Admission

@Suite struct ServiceAccountAdmissionTests {
  private static func account(_ name: String = "default", _ more: JSON = .null) -> GatheredFacts {
    var account: JSON = ["metadata": ["name": .string(name)]]
    for (key, value) in more.object ?? JSONObject() { account[key] = value }
    return facts([.serviceAccount(namespace: "team", name: name): [account]])
  }

  @Test func theTokenIsMounted() throws {
    let spec: JSON = [
      "containers": [
        ["name": "c"], ["name": "own", "volumeMounts": [["name": "x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"]]],
      ],
      "initContainers": [["name": "i"]],
    ]
    let result = try mutated(pod("web", spec), attributes(), Self.account("default", ["imagePullSecrets": [["name": "pull"]]]))["spec"]
    let mount: JSON = ["name": "kube-api-access-abcde", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"]
    #expect(result["serviceAccountName"] == "default" && result["serviceAccount"] == "default")
    #expect(result["containers"][0]["volumeMounts"] == [mount])
    #expect(result["initContainers"][0]["volumeMounts"] == [mount])
    #expect(result["containers"][1] == spec["containers"][1])
    #expect(result["volumes"][0]["name"] == "kube-api-access-abcde" && result["volumes"].array?.count == 1)
    #expect(result["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"] == ["expirationSeconds": 3607, "path": "token"])
    #expect(result["imagePullSecrets"] == [["name": "pull"]])
  }

  @Test func podOrAccountMayRefuseTheToken() throws {
    #expect(try mutated(pod(), attributes(), Self.account("default", ["automountServiceAccountToken": false]))["spec"]["volumes"].isNull)
    let wants = pod("web", ["automountServiceAccountToken": true, "containers": [["name": "c"]]])
    #expect(
      try mutated(wants, attributes(), Self.account("default", ["automountServiceAccountToken": false]))["spec"]["volumes"].array?.count
        == 1)
    let declines = pod("web", ["automountServiceAccountToken": false, "containers": [["name": "c"]]])
    #expect(try mutated(declines)["spec"]["volumes"].isNull)
  }

  @Test func theAccountMustExist() {
    #expect(
      refusal(pod("web", ["serviceAccountName": "robot"]))
        == "pods \"web\" is forbidden: error looking up service account team/robot: serviceaccount \"robot\" not found")
  }

  @Test func mirrorPodsReferToNothing() {
    func mirror(_ spec: JSON) -> String? {
      var object = pod("web", spec)
      object["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "hash"
      return refusal(object, attributes(), facts())
    }
    let head = "pods \"web\" is forbidden: a mirror pod may not"
    #expect(mirror(["containers": [["name": "c"]]]) == nil)
    #expect(mirror(["serviceAccountName": "default"]) == "\(head) reference service accounts")
    #expect(mirror(["containers": [["name": "c", "envFrom": [["secretRef": ["name": "s"]]]]]]) == "\(head) reference secrets")
    #expect(mirror(["volumes": [["name": "v", "iscsi": ["secretRef": ["name": "s"]]]]]) == "\(head) reference secrets")
    #expect(
      mirror(["volumes": [["name": "v", "projected": ["sources": [["serviceAccountToken": ["path": "t"]]]]]]])
        == "\(head) use ServiceAccountToken volume projections")
  }

  @Test func mountableSecretsCanBeEnforced() {
    let cluster = Self.account(
      "default",
      [
        "metadata": ["name": "default", "annotations": ["kubernetes.io/enforce-mountable-secrets": "true"]], "secrets": [["name": "mine"]],
        "imagePullSecrets": [["name": "pull"]],
      ])
    func message(_ spec: JSON) -> String? { refusal(pod("web", spec), attributes(), cluster) }
    let tail = "is not allowed because service account default does not reference that"
    func environment(_ secret: String) -> JSON { [["name": "A", "valueFrom": ["secretKeyRef": ["name": .string(secret), "key": "k"]]]] }
    #expect(message(["volumes": [["name": "v", "secret": ["secretName": "mine"]]]]) == nil)
    #expect(
      message(["volumes": [["name": "v", "secret": ["secretName": "theirs"]]]])
        == "pods \"web\" is forbidden: volume with secret.secretName=\"theirs\" \(tail) secret")
    #expect(
      message(["initContainers": [["name": "i", "env": environment("theirs")]]])
        == "pods \"web\" is forbidden: init container i with envVar A referencing secret.secretName=\"theirs\" \(tail) secret")
    #expect(message(["containers": [["name": "c", "env": environment("mine")]]]) == nil)
    #expect(
      message(["imagePullSecrets": [["name": "other"]]])
        == "pods \"web\" is forbidden: imagePullSecrets[0].name=\"other\" \(tail) imagePullSecret")
    let debug = pod("web", ["ephemeralContainers": [["name": "d", "envFrom": [["secretRef": ["name": "theirs"]]]]]])
    #expect(
      refusal(debug, attributes(.update, subresource: "ephemeralcontainers", old: pod()), cluster)
        == "pods \"web\" is forbidden: ephemeral container d with envFrom referencing secret.secretName=\"theirs\" \(tail) secret")
  }
}
