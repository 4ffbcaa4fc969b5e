import Testing

@testable import APIServer

@Suite struct ProxiedPageTests {
  private let links = ProxiedLinks(prefix: "/api/v1/namespaces/n/pods/web:80/proxy", hosts: ["10.0.0.5:80", "api.example:6443"])

  private func rewritten(_ page: String, piece: Int = .max) -> String {
    var html = HTMLLinks(links)
    var out: [UInt8] = []
    var rest = Array(page.utf8)[...]
    while !rest.isEmpty {
      out += html.rewrite(rest.prefix(piece))
      rest = rest.dropFirst(piece)
    }
    return String(decoding: out + html.finish(), as: UTF8.self)
  }

  @Test(arguments: [
    ("/rewriteme?proxyTest=true", "/api/v1/namespaces/n/pods/web:80/proxy/rewriteme?proxyTest=true"),
    ("http://10.0.0.5:80/x", "/api/v1/namespaces/n/pods/web:80/proxy/x"), ("//api.example:6443", "/api/v1/namespaces/n/pods/web:80/proxy/"),
    ("http://10.0.0.5:80?q", "/api/v1/namespaces/n/pods/web:80/proxy/?q"), ("https://elsewhere/x", "https://elsewhere/x"),
    ("x/y", "x/y"), ("#part", "#part"), ("mailto:/a", "mailto:/a"), ("", ""),
    ("/api/v1/namespaces/n/pods/web:80/proxy/x", "/api/v1/namespaces/n/pods/web:80/proxy/x"),
  ]) func aLink(link: String, expected: String) { #expect(links.rewritten(link) == expected) }

  @Test(arguments: [1, 3, 7, Int.max]) func pagesInPieces(piece: Int) {
    let page = """
      <!DOCTYPE html><html MANIFEST='/m'><!-- <a href="/no"> --><body background=/b class="/no">
      <A title="a > b" HREF="/rewriteme?proxyTest=true">x</a><a href=rel>y</a><img src = "/i.png" alt=/no/><input disabled formaction='/f' />
      <script src="/s.js">if (1 < 2) document.write("<a href='/no'>")</script><a href="http://10.0.0.5:80/back">z</a> 1 < 2 <p data-x="/no">
      """
    let prefix = links.prefix
    let expected = """
      <!DOCTYPE html><html MANIFEST='\(prefix)/m'><!-- <a href="/no"> --><body background=\(prefix)/b class="/no">
      <A title="a > b" HREF="\(prefix)/rewriteme?proxyTest=true">x</a><a href=rel>y</a><img src = "\(prefix)/i.png" alt=/no/><input disabled formaction='\(prefix)/f' />
      <script src="\(prefix)/s.js">if (1 < 2) document.write("<a href='/no'>")</script><a href="\(prefix)/back">z</a> 1 < 2 <p data-x="/no">
      """
    #expect(rewritten(page, piece: piece) == expected)
  }

  @Test func brokenPagesComeThrough() {
    for page in [
      "<a href=\"/x", "<", "a <", "<a ==b= href>", "<!-- never ends <a href='/x'>", "<script>", "<a\u{0} href='/x", "</", "<a href>",
    ] {
      #expect(rewritten(page) == page)
      #expect(rewritten(page, piece: 1) == page)
    }
    let long = "<a title=\"" + String(repeating: "x", count: HTMLLinks.tagBytesMax + 10)
    #expect(rewritten(long, piece: 50_000) == long)
  }

  @Test func packedPages() throws {
    let packed = try #require(Gzip.compress(Array("<a href=\"/x\">".utf8)))
    let page = try #require(Gzip.expand(ProxiedPage(links: links).repacked(packed), bytesMax: 1000))
    #expect(String(decoding: page, as: UTF8.self) == "<a href=\"\(links.prefix)/x\">")
    #expect(Gzip.expand(packed, bytesMax: 3) == nil)
    #expect(ProxiedPage(links: links).repacked(Array("no gzip".utf8)) == Array("no gzip".utf8))
  }
}
