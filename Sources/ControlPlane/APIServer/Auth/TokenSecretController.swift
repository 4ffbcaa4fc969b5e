import APIMachinery
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging

/// Fills Secrets of type kubernetes.io/service-account-token with a token that lasts as long as the Secret, for programs
/// outside that cannot renew one; removes those whose account is gone.
struct TokenSecretController: Sendable {
  static let secretType = "kubernetes.io/service-account-token"
  static let nameAnnotation = "kubernetes.io/service-account.name"
  static let uidAnnotation = "kubernetes.io/service-account.uid"

  let client: KubernetesClient
  let tokens: ServiceAccountTokens
  let authorityPEM: String
  let log: Logger

  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await event in client.reflect(ResourcePath("secrets"), fieldSelector: "type=\(Self.secretType)", log: log) {
          switch event {
          case .synced(let all): for secret in all { await handle(secret) }
          case .changed(let secret): await handle(secret)
          case .deleted: break
          }
        }
      }
      group.addTask {
        for await event in client.reflect(ResourcePath("serviceaccounts"), log: log) {
          guard case .deleted(let account) = event else { continue }
          await removeSecrets(of: account["metadata"]["name"].string ?? "", account["metadata"]["namespace"].string ?? "")
        }
      }
    }
  }

  private func handle(_ secret: JSON) async {
    let metadata = secret["metadata"]
    let (namespace, name) = (metadata["namespace"].string ?? "", metadata["name"].string ?? "")
    guard metadata["deletionTimestamp"].isNull, let account = metadata["annotations"][Self.nameAnnotation].string else { return }
    do {
      let found: JSON
      do {
        found = try await client.get(.serviceAccounts(namespace), name: account)
      } catch let error as APIStatusError where error.isNotFound {
        _ = try await client.delete(.secrets(namespace), name: name, uid: metadata["uid"].string)
        return
      }
      let uid = found["metadata"]["uid"].string ?? ""
      if let filled = try filled(secret, namespace, name, account, uid: uid) {
        try await client.update(.secrets(namespace), name: name, filled)
      }
    } catch let error as APIStatusError where error.isNotFound || error.code == 409 {
      // It changed or went away meanwhile: that is an event of its own.
    } catch {
      log.warning("token secret \(namespace)/\(name): \(error)")
    }
  }

  /// The Secret with what it lacks; nil where it lacks nothing. A token of an account of the same name that is gone is
  /// made anew.
  func filled(_ secret: JSON, _ namespace: String, _ name: String, _ account: String, uid: String) throws -> JSON? {
    var result = secret
    let isOwn = secret["metadata"]["annotations"][Self.uidAnnotation].string == uid
    if !isOwn || secret["data"]["token"].isEmpty {
      let claims = ServiceAccountTokens.Claims(
        namespace: namespace, account: account, accountUID: uid, audiences: [], expires: .max, issued: 0, id: "", legacySecret: name)
      result["data"]["token"] = .string(Base64.encode(Array(try tokens.token(claims).utf8)))
    }
    result["metadata"]["annotations"][Self.uidAnnotation] = .string(uid)
    result["data"]["ca.crt"] = .string(Base64.encode(Array(authorityPEM.utf8)))
    result["data"]["namespace"] = .string(Base64.encode(Array(namespace.utf8)))
    return result == secret ? nil : result
  }

  private func removeSecrets(of account: String, _ namespace: String) async {
    do {
      let secrets = try await client.list(.secrets(namespace), fieldSelector: "type=\(Self.secretType)").items
      for secret in secrets where secret["metadata"]["annotations"][Self.nameAnnotation].string == account {
        _ = try await client.delete(
          .secrets(namespace), name: secret["metadata"]["name"].string ?? "", uid: secret["metadata"]["uid"].string)
      }
    } catch let error as APIStatusError where error.isNotFound {
    } catch {
      log.warning("token secrets of \(namespace)/\(account) stay: \(error)")
    }
  }
}

extension APIServer {
  /// Tells aggregated API servers whose word to take: our client authority and our front proxy (kubernetes: "Configure the
  /// Aggregation Layer").
  func publishAuthentication() async throws {
    var data: JSON = ["client-ca-file": .string(configuration.authorityPEM)]
    if let frontProxy {
      data["requestheader-client-ca-file"] = .string(frontProxy.authorityPEM)
      let lists = [
        "allowed-names": FrontProxy.allowedNames, "username-headers": [FrontProxy.userHeader], "uid-headers": [FrontProxy.uidHeader],
        "group-headers": [FrontProxy.groupHeader], "extra-headers-prefix": [FrontProxy.extraPrefix],
      ]
      for (key, values) in lists { data["requestheader-" + key] = .string(JSON(values).text()) }
    }
    let client = KubernetesClient(transport: LocalTransport(server: self, user: .controlPlane))
    let (path, name) = (ResourcePath.configMaps("kube-system"), "extension-apiserver-authentication")
    do {
      var present = try await client.get(path, name: name)
      for (key, value) in data.object ?? JSONObject() { present["data"][key] = value }
      try await client.update(path, name: name, present)
    } catch let error as APIStatusError where error.isNotFound {
      try await client.create(
        path, ["kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": .string(name), "namespace": "kube-system"], "data": data])
    }
  }
}
