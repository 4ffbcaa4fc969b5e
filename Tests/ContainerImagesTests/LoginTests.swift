import OCISpec
import Testing

@testable import ContainerImages

@Suite struct LoginTests {
  @Test func pullSecrets() throws {
    let auth = base64Encoded(Array("joe:pa:ss".utf8))
    let modern = try RegistryCredential.parse(
      pullSecret: Array(
        "{\"auths\":{\"reg.example\":{\"auth\":\"\(auth)\"},\"b.example\":{\"username\":\"u\",\"password\":\"p\"},\"empty\":{}}}".utf8))
    #expect(modern.map(\.pattern) == ["reg.example", "b.example"])
    #expect(modern[0].username == "joe" && modern[0].password == "pa:ss")
    let old = try RegistryCredential.parse(
      pullSecret: Array("{\"https://index.docker.io/v1/\":{\"auth\":\"\(auth)\",\"email\":\"x\"}}".utf8))
    #expect(old.count == 1)
    for bad in ["", "[]", "{\"auths\":[]}", "nonsense"] {
      #expect(throws: ImageError.self) { try RegistryCredential.parse(pullSecret: Array(bad.utf8)) }
    }
    #expect("\(modern[0]) \(String(reflecting: modern[0]))".contains("pa:ss") == false)
  }

  @Test func base64RoundTrip() {
    for count in 0..<40 {
      let bytes = noise(count, seed: UInt64(count))
      #expect(base64Decoded(base64Encoded(bytes)) == bytes)
    }
    #expect(base64Encoded(Array("Man".utf8)) == "TWFu")
    #expect(base64Encoded(Array("M".utf8)) == "TQ==")
    #expect(base64Decoded("a*b") == nil)
  }

  /// The rules of kubelet's keyring.
  @Test(arguments: [
    ("reg.example", "reg.example", "a/b", true), ("reg.example:5000", "reg.example:5000", "a", true),
    ("reg.example", "reg.example:5000", "a", false), ("reg.example:5000", "reg.example", "a", false),
    ("https://reg.example/v1/", "reg.example", "a", true), ("http://reg.example/v2", "reg.example", "a", true),
    ("*.example.io", "reg.example.io", "a", true), ("*.example.io", "a.b.example.io", "a", false), ("*.io", "example.io", "a", true),
    ("r*g.example.io", "reg.example.io", "a", true), ("*", "reg.example.io", "a", false),
    ("reg.example/team", "reg.example", "team/app", true), ("reg.example/team", "reg.example", "other/app", false),
    ("https://index.docker.io/v1/", "docker.io", "library/nginx", true), ("docker.io", "docker.io", "a/b", true),
    ("index.docker.io", "quay.io", "a/b", false), ("quay.io", "docker.io", "a/b", false),
  ])
  func matching(_ pattern: String, _ registry: String, _ repository: String, _ expected: Bool) {
    let one = RegistryCredential(pattern: pattern, username: "u", password: "p")
    #expect(matchingCredentials([one], registry: registry, repository: repository).isEmpty == !expected)
  }

  @Test func theMostSpecificComesFirst() {
    let patterns = ["reg.example", "reg.example/team/app", "reg.example/team"]
    let all = patterns.map { RegistryCredential(pattern: $0, username: $0, password: "p") }
    #expect(
      matchingCredentials(all, registry: "reg.example", repository: "team/app").map(\.username)
        == ["reg.example/team/app", "reg.example/team", "reg.example"])
  }

  @Test func challenges() {
    #expect(
      AuthChallenge.parse(["Bearer realm=\"https://auth.x/token\",service=\"reg x\",scope=\"repository:a/b:pull,push\""])
        == [.bearer(realm: "https://auth.x/token", service: "reg x", scope: "repository:a/b:pull,push")])
    #expect(
      AuthChallenge.parse(["Basic realm=\"x\", Bearer realm=\"https://y\""]) == [
        .basic, .bearer(realm: "https://y", service: "", scope: ""),
      ])
    #expect(AuthChallenge.parse(["", "Negotiate", "Bearer", "=\"", "Digest a=\"b\\\"c\""]).isEmpty)
  }

  /// CVE-2020-15157, CVE-2019-10214: who may see a login.
  @Test(arguments: [
    ("https://auth.docker.io/token", "https://registry-1.docker.io", true),
    ("https://reg.example.io/token", "https://reg.example.io", true),
    ("https://gitlab.com/jwt/auth", "https://registry.gitlab.com", true), ("https://evil.org/token", "https://reg.example.io", false),
    ("http://reg.example.io/token", "https://reg.example.io", false), ("http://127.0.0.1:5001/t", "http://127.0.0.1:5000", false),
    ("http://127.0.0.1:5000/t", "http://127.0.0.1:5000", true), ("https://evil.co.uk/t", "https://reg.co.uk", false),
    ("https://10.0.0.1/t", "https://10.0.1.1", false),
  ])
  func whoMayReceiveALogin(_ realm: String, _ registry: String, _ expected: Bool) {
    #expect(mayReceiveLogin(realm: URLOrigin(realm)!, of: URLOrigin(registry)!, tokenHosts: []) == expected)
  }

  @Test func originsAreParsedStrictly() {
    for bad in ["ftp://x/", "https://user:pw@x/", "https://x y/", "//x", "x", "https://", "https://x:99999/", "http://x/a\nb"] {
      #expect(URLOrigin(bad) == nil, "\(bad)")
    }
    let base = URLOrigin("https://a.b:444/v2/x/blobs/y?q=1")!
    #expect(base.resolving("/z")?.text == "https://a.b:444/z")
    #expect(base.resolving("//c.d/z")?.text == "https://c.d/z")
    #expect(base.resolving("w")?.text == "https://a.b:444/v2/x/blobs/w")
    #expect(base.resolving("http://c.d")?.text == "http://c.d/")
    #expect(
      isLoopback("127.0.0.1:5000") && isLoopback("localhost") && isLoopback("[::1]:5") && !isLoopback("127.0.0.1.evil.org")
        && !isLoopback("10.0.0.1"))
  }

  @Test func downloadsHaveBoundedPatience() {
    var configuration = RegistryConfiguration()
    (configuration.tries, configuration.retryMilliseconds, configuration.retryMillisecondsMax, configuration.resumesMax) = (3, 100, 150, 6)
    var progress = DownloadProgress(size: 100, configuration)
    #expect(progress.connectionEnded() == .again(waitMilliseconds: 100))
    #expect(progress.connectionEnded() == .again(waitMilliseconds: 150))
    progress.arrived(10)
    #expect(progress.connectionEnded() == .again(waitMilliseconds: 100))
    progress.arrived(10)
    #expect(progress.connectionEnded() == .again(waitMilliseconds: 100))
    progress.arrived(10)
    #expect(progress.connectionEnded() == .again(waitMilliseconds: 100))
    progress.arrived(10)
    #expect(progress.connectionEnded() == .giveUp)
    var quick = DownloadProgress(size: 5, configuration)
    quick.arrived(5)
    #expect(quick.connectionEnded() == .done)
  }
}
