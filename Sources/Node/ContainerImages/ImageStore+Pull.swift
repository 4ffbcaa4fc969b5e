import AsyncHTTPClient
import Glibc
import NIOCore
import NIOPosix
import OCISpec

extension ImageStore {
  /// Brings an image from its registry, or finds that the registry has nothing newer. `credentials` are the logins of the image
  /// pull secrets; those that match are tried one after the other. Everybody who asks for the same image with the same logins
  /// at the same time waits for one pull.
  package func pull(_ name: String, credentials: [RegistryCredential] = []) async throws -> ImageRecord {
    let reference: ImageReference
    do throws(ImageReferenceError) { reference = try ImageReference(parsing: name) } catch { throw ImageError.wrap(error) }
    do {
      let outcome = try await pullFlights.run(PullKey(name: reference.canonical, credentials: credentials)) {
        try await self.pullNow(reference, credentials)
      }
      return try outcome.result.get()
    } catch {
      throw ImageError.wrap(error).about("pulling image \"\(name)\"")
    }
  }

  private func pullNow(_ reference: ImageReference, _ credentials: [RegistryCredential]) async throws -> ImageRecord {
    // One client for each pull: an idle store holds no connections.
    var options = HTTPClient.Configuration(
      redirectConfiguration: .disallow,
      timeout: .init(connect: .seconds(Int64(configuration.connectSeconds)), read: .seconds(Int64(configuration.silenceSeconds))))
    options.httpVersion = .http1Only
    options.connectionPool.retryConnectionEstablishment = false
    let client = HTTPClient(eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton), configuration: options)
    let result: Result<ImageRecord, any Error>
    do { result = .success(try await pullFromAnywhere(reference, credentials, client)) } catch { result = .failure(error) }
    try? await client.shutdown()
    return try result.get()
  }

  /// Mirrors first; whatever goes wrong there, the registry itself has the last word.
  private func pullFromAnywhere(
    _ reference: ImageReference, _ credentials: [RegistryCredential], _ client: HTTPClient
  ) async throws -> ImageRecord {
    for mirror in configuration.mirrors[reference.registry] ?? [] {
      do {
        return try await pull(reference, from: mirror, credentials, client)
      } catch {
        try Task.checkCancellation()
        logger.info("mirror \(mirror) cannot serve \(reference): \(error)")
      }
    }
    return try await pull(reference, from: reference.registry, credentials, client)
  }

  private func pull(
    _ reference: ImageReference, from host: String, _ credentials: [RegistryCredential], _ client: HTTPClient
  ) async throws -> ImageRecord {
    let logins = matchingCredentials(credentials, registry: host, repository: reference.repository)
    var refusal: ImageError?
    for login in logins.isEmpty ? [nil] : logins.map(Optional.some) {
      let session = try RegistrySession(
        host: host, repository: reference.repository, credential: login, client: client, configuration: configuration)
      do {
        return try await pull(reference, session)
      } catch let error as ImageError where error.code == .unauthorized {
        refusal = refusal ?? error
      }
    }
    throw refusal ?? ImageError(.unauthorized, "\(host) refused every login")
  }

  private func pull(_ reference: ImageReference, _ session: RegistrySession) async throws -> ImageRecord {
    let (manifest, digests) = try await resolve(reference, session)
    let config = try await retrying {
      try await session.document(manifest.config, bytesMax: OCIImageConfig.bytesMax, what: "image config")
    }
    let parsed = try OCIImageConfig.parse(config)
    try checkFits(manifest, parsed, configuration.platform)
    let incoming = IncomingImage(
      config: config, configDigest: manifest.config.digest, parsed: parsed,
      // A name with tag and digest promises the digest only; the tag may mean something else on the registry.
      names: reference.digest == nil ? [reference.canonical] : [],
      repoDigests: digests.map(reference.withDigest))
    let configuration = configuration
    return try await assemble(incoming, parallel: configuration.parallelLayers) { index, unpack in
      try await stream(manifest.layers[index], from: session, configuration, unpack)
    }
  }

  /// The manifest for this node's platform, and the digests it can be named by: of what the name led to, and its own.
  private func resolve(_ reference: ImageReference, _ session: RegistrySession) async throws -> (ImageManifest, [Digest]) {
    var wanted = reference.manifestReference
    var expected = reference.digest
    var announced: Descriptor?
    var digests: [Digest] = []
    for depth in 1...ImageIndex.depthMax + 1 {
      let (document, digest) = try await retrying { [wanted, expected, announced] in
        try await fetchManifest(wanted, expected, announced, session)
      }
      if digests.isEmpty || depth > 1 { digests.append(digest) }
      switch document {
      case .manifest(let manifest): return (manifest, digests.count > 2 ? [digests[0], digests.last!] : digests)
      case .index(let index):
        guard depth <= ImageIndex.depthMax else { break }
        guard let best = index.candidates(for: configuration.platform).first else {
          let offered = Set(index.manifests.compactMap { $0.platform?.description }).sorted().prefix(10).joined(separator: ", ")
          throw ImageError(.unsupported, "the image is not there for \(configuration.platform), only for: \(offered)")
        }
        announced = best
        expected = best.digest
        wanted = best.digest.description
      }
    }
    throw ImageError(.malformed, "the image is an index of indexes nested deeper than \(ImageIndex.depthMax)")
  }

  /// Documents are asked for again where the registry stumbles.
  private func retrying<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    var wait = configuration.retryMilliseconds
    for _ in 1..<max(configuration.tries, 1) {
      do {
        return try await body()
      } catch let error as ImageError where error.isTransient {
        try await Task.sleep(for: .milliseconds(wait))
        wait = min(wait * 2, configuration.retryMillisecondsMax)
      }
    }
    return try await body()
  }
}

private func fetchManifest(
  _ wanted: String, _ expected: Digest?, _ announced: Descriptor?, _ session: RegistrySession
) async throws -> (ManifestDocument, Digest) {
  let response = try await session.get("manifests/\(wanted)", accept: MediaType.manifestAccept)
  let bytes = try await session.collect(response, bytesMax: ManifestDocument.bytesMax, what: "manifest")
  let digest = sha256(bytes)
  if let expected, digest != expected {
    throw ImageError(.digestMismatch, "the manifest that was asked for as \(expected) has digest \(digest)")
  }
  if let announced, Int64(bytes.count) != announced.size {
    throw ImageError(.malformed, "the manifest \(digest) has \(bytes.count) bytes, the index says \(announced.size)")
  }
  let document = try ManifestDocument.parse(bytes, contentType: response.headers.first(name: "Content-Type"))
  if let announced, !announced.mediaType.isEmpty {
    _ = try ManifestDocument.parse(bytes, contentType: announced.mediaType)
  }
  return (document, digest)
}

/// Downloads a layer and unpacks it while it arrives: the download is a task, the unpacking a thread, a pipe lies between.
private func stream(
  _ blob: Descriptor, from session: RegistrySession, _ configuration: RegistryConfiguration, _ unpack: @escaping ImageStore.Unpack
) async throws {
  let pipe = BytePipe()
  let reader = Task.detached {
    try await onPlainThread {
      do {
        try unpack(PipeSource(pipe), blob)
      } catch {
        pipe.readerLeaves(error)
        throw error
      }
    }
  }
  do {
    try await session.download(blob, into: pipe, configuration)
    pipe.finish(.success(()))
  } catch {
    // Where the reader left first, this is its error.
    pipe.finish(.failure(ImageError.wrap(error)))
  }
  try await reader.value
}
