import CEL
import Testing

/// Every function that Kubernetes 1.36 gives its expressions beyond the language's own, each at least once; what a later version takes
/// away or renames is seen here.
@Suite struct KubernetesFunctionTests {
  @Test(arguments: [
    ("isIP('10.0.0.1')", "true"), ("isIP('10.0.0.01')", "false"), ("isIP('::ffff:1.2.3.4')", "false"), ("isIP('fe80::1%eth0')", "false"),
    ("ip('127.0.0.1').isLoopback()", "true"), ("ip('::1').isLoopback()", "true"), ("ip('0.0.0.0').isUnspecified()", "true"),
    ("ip('224.0.0.1').isLinkLocalMulticast()", "true"), ("ip('ff02::1').isLinkLocalMulticast()", "true"),
    ("ip('169.254.1.1').isLinkLocalUnicast()", "true"), ("ip('fe80::1').isLinkLocalUnicast()", "true"),
    ("ip('192.168.0.1').isGlobalUnicast()", "true"), ("ip('255.255.255.255').isGlobalUnicast()", "false"),
    ("ip.isCanonical('127.0.0.1')", "true"), ("ip('2001:db8::1').family()", "6"), ("string(ip('10.0.0.1'))", "'10.0.0.1'"),
    ("cidr('192.168.0.0/24').containsIP(ip('192.168.0.7'))", "true"), ("cidr('192.168.0.0/24').containsIP('192.168.1.7')", "false"),
    ("cidr('192.168.0.0/24').containsCIDR(cidr('192.168.0.0/25'))", "true"),
    ("cidr('192.168.0.0/24').containsCIDR('192.168.0.0/23')", "false"),
    ("cidr('192.168.0.7/24').ip() == ip('192.168.0.7')", "true"), ("cidr('192.168.0.7/24').prefixLength()", "24"),
    ("string(cidr('192.168.0.7/24').masked())", "'192.168.0.0/24'"), ("isCIDR('10.0.0.0/8')", "true"), ("isCIDR('10.0.0.0')", "false"),
  ])
  func addresses(expression: String, expected: String) { #expect(evaluate(expression) == expected, "\(expression)") }

  @Test(arguments: [
    ("quantity('1k').isLessThan(quantity('1Ki'))", "true"), ("quantity('2').isGreaterThan(quantity('1'))", "true"),
    ("quantity('2').compareTo(quantity('2000m'))", "0"), ("quantity('2').add(quantity('1')) == quantity('3')", "true"),
    ("quantity('2').sub(1) == quantity('1')", "true"), ("quantity('-5').sign()", "-1"), ("quantity('1Ki').isInteger()", "true"),
    ("quantity('1Ki').asInteger()", "1024"), ("quantity('500m').asApproximateFloat()", "0.5"), ("isQuantity('1.3Gi')", "true"),
    ("semver('1.2.3').minor()", "2"), ("semver('1.2.3').patch()", "3"), ("semver('1.2.3').isGreaterThan(semver('1.2.2'))", "true"),
    ("semver('1.2.3').isLessThan(semver('1.2.3'))", "false"), ("isSemver('1.2')", "false"),
    ("url('https://a.example:8/p?q=1').getScheme()", "'https'"), ("url('https://a.example:8/p?q=1').getHost()", "'a.example:8'"),
    ("url('https://a.example:8/p?q=1').getHostname()", "'a.example'"), ("url('https://a.example:8/p?q=1').getPort()", "'8'"),
    ("url('https://a.example:8/p?q=1').getEscapedPath()", "'/p'"), ("url('https://a.example:8/p?q=1').getQuery()", "{'q': ['1']}"),
  ])
  func values(expression: String, expected: String) { #expect(evaluate(expression) == expected, "\(expression)") }

  /// Formats by name, each with a text that fits and one that does not.
  @Test(arguments: [
    ("dns1123Label", "abc", "a.b"), ("dns1123Subdomain", "a.b", "a_b"), ("dns1035Label", "abc", "1bc"), ("qualifiedName", "x.io/y", "/y"),
    ("dns1123LabelPrefix", "abc-", "-abc"), ("dns1123SubdomainPrefix", "a.b-", ".a"), ("dns1035LabelPrefix", "abc-", "1-"),
    ("labelValue", "A_1", "-"), ("uri", "https://a/b", "no uri"), ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7"),
    ("byte", "aGk=", "a!"), ("date", "2024-02-29", "2023-02-29"), ("datetime", "2024-02-29T01:02:03Z", "2024-02-29"),
  ])
  func formats(name: String, good: String, bad: String) {
    #expect(evaluate("format.\(name)().validate('\(good)')") == "none", "\(name) \(good)")
    #expect(evaluate("format.\(name)().validate('\(bad)').value().size() > 0") == "true", "\(name) \(bad)")
    #expect(evaluate("format.named('\(name)').value() == format.\(name)()") == "true", "\(name)")
  }

  @Test(arguments: [
    ("{'a': 1, 'b': 2}.transformMap(k, v, v * 2)", "{'a': 2, 'b': 4}"), ("[1, 2].transformList(i, v, i + v)", "[1, 3]"),
    ("{'a': 1}.transformMapEntry(k, v, {v: k})", "{1: 'a'}"), ("[1, 2, 3].existsOne(i, v, v == 2)", "true"),
    ("[1, 2, 3].all(i, v, v == i + 1)", "true"), ("optional.of(1).optMap(x, x + 1).value()", "2"), ("optional.none().orValue(3)", "3"),
    ("optional.of(1).optFlatMap(x, optional.none()).hasValue()", "false"), ("{?'a': optional.none(), 'b': 1}", "{'b': 1}"),
    ("{'a': 1}[?'b'].orValue(7)", "7"), ("optional.of(2).or(optional.of(1)).value()", "2"), ("'a-b'.split('-')", "['a', 'b']"),
    ("'%s is %d'.format([dyn('a'), dyn(1)])", "'a is 1'"), ("'abc'.charAt(1)", "'b'"), ("' x '.trim()", "'x'"),
    ("'aXb'.lowerAscii()", "'axb'"),
    ("'aXb'.upperAscii()", "'AXB'"), ("['a', 'b'].join('-')", "'a-b'"), ("'aaa'.replace('a', 'b', 2)", "'bba'"),
    ("'abc'.substring(1, 2)", "'b'"),
    ("'abc'.reverse()", "'cba'"), ("'abcb'.lastIndexOf('b')", "3"), ("'1a2'.findAll('[0-9]')", "['1', '2']"), ("1 < 1.5 && 2u > 1", "true"),
  ])
  func extensions(expression: String, expected: String) { #expect(evaluate(expression) == expected, "\(expression)") }

  @Test func everythingAboutAuthorization() {
    let authorizer = CELAuthorizer { check in
      CELAuthorizationDecision(isAllowed: check.verb == "get" && check.name == "n" && check.subresource == "status", reason: "r")
    }
    let bindings: CELBindings = ["authorizer": .opaque(authorizer)]
    let variables = [(name: "authorizer", type: CELAuthorizer.type)]
    let head = "authorizer.group('apps').resource('deployments').subresource('status').namespace('x').name('n')"
    for (tail, expected) in [
      (".check('get').allowed()", "true"), (".check('list').allowed()", "false"), (".check('get').reason()", "'r'"),
      (".check('get').errored()", "false"), (".check('get').error()", "''"),
      (".fieldSelector('a=b').labelSelector('c=d').check('get').allowed()", "true"),
    ] {
      #expect(evaluate(head + tail, bindings, variables: variables) == expected, "\(tail)")
    }
  }
}
