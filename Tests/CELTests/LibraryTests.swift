import CEL
import JSONCodec
import Testing

/// Kubernetes' libraries and cel-go's extensions, by table: expression and what it gives.
@Suite struct LibraryTests {
  @Test(arguments: [
    ("[1, 2, 3].isSorted()", "true"), ("['b', 'a'].isSorted()", "false"), ("[1, 2, 3].sum()", "6"), ("[1.5, 2.0].sum()", "3.5"),
    ("[duration('1m'), duration('1s')].sum()", "61s"), ("[3, 1, 2].min()", "1"), ("['a', 'c', 'b'].max()", "'c'"),
    ("[1, 2, 2, 3].indexOf(2)", "1"), ("[1, 2, 2, 3].lastIndexOf(2)", "2"), ("[1].indexOf(9)", "-1"),
    ("[1, 2, 3, 4].slice(1, 3)", "[2, 3]"),
    ("[[1, 2], [3]].flatten()", "[1, 2, 3]"), ("[1, 2, 1, 3].distinct()", "[1, 2, 3]"), ("[3, 1, 2].sort()", "[1, 2, 3]"),
    ("['bb', 'a', 'ccc'].sortBy(s, -size(s))", "['ccc', 'bb', 'a']"), ("lists.range(4)", "[0, 1, 2, 3]"), ("[1, 2].reverse()", "[2, 1]"),
    ("[1, 2].first()", "optional(1)"), ("[1, 2].last().value()", "2"), ("[].first().hasValue()", "false"),
    ("[1, 2, 3].slice(2, 9)", "cannot slice(2, 9), list is length 3"), ("[9223372036854775807, 1].sum()", "integer overflow"),
    ("sets.contains([1, 2, 3], [2, 3])", "true"), ("sets.equivalent([1, 2, 2], [2, 1])", "true"), ("sets.intersects([1], [2])", "false"),
    ("math.greatest(1, 3, 2)", "3"), ("math.least([4, 2])", "2"), ("math.ceil(1.2)", "2.0"), ("math.sqrt(49)", "7.0"),
    ("math.bitShiftLeft(1, 70)", "0"), ("math.bitShiftRight(-1, 1) == 9223372036854775807", "true"), ("math.abs(-5)", "5"),
  ])
  func lists(expression: String, expected: String) { #expect(evaluate(expression) == expected, "\(expression)") }

  @Test(arguments: [
    ("'abc 123'.find('[0-9]+')", "'123'"), ("'abc'.find('[0-9]+')", "''"), ("'1 22 333'.findAll('[0-9]+')", "['1', '22', '333']"),
    ("'1 22 333'.findAll('[0-9]+', 2)", "['1', '22']"), ("'a'.matches('(')", "error parsing regexp: missing closing ): `(`"),
    ("'hello'.matches('^h.*o$')", "true"), ("isURL('https://user:pass@example.com:80/path?query=val#x')", "true"),
    ("isURL('../relative')", "false"),
    ("url('https://example.com:80/').getHost()", "'example.com:80'"), ("url('https://example.com:80/').getHostname()", "'example.com'"),
    ("url('https://example.com:80/').getPort()", "'80'"), ("url('https://[::1]:80/').getHostname()", "'::1'"),
    ("url('https://example.com/with space/').getEscapedPath()", "'/with%20space/'"), ("url('/path').getScheme()", "''"),
    ("url('https://example.com/?k1=a&k2=b&k2=c').getQuery()['k2']", "['b', 'c']"), ("url('/absolute/path').getHost()", "''"),
    ("isIP('::1')", "true"), ("ip('2001:DB8::1') == ip('2001:db8::1')", "true"), ("ip.isCanonical('2001:DB8::1')", "false"),
    ("ip('10.0.0.1').family()", "4"), ("cidr('10.0.0.0/8').containsIP('10.2.3.4')", "true"),
    ("cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')", "true"),
    ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true"), ("isCIDR('10.0.0.0/33')", "false"),
    ("string(ip('1:0:0:2::3'))", "'1:0:0:2::3'"),
    ("base64.encode(b'hi')", "'aGk='"), ("base64.decode('aGk')", "b'hi'"), ("base64.decode('!')", "illegal base64 data"),
    ("jsonpatch.escapeKey('a/b~c')", "'a~1b~0c'"), ("strings.quote('a\"b')", "'\"a\\\"b\"'"),
    ("timestamp('2024-07-01T12:00:00Z').getHours('+05:30')", "17"),
    ("timestamp('2024-07-01T12:00:00Z').getHours('Nowhere/City')", "unknown time zone Nowhere/City"),
    ("timestamp('2024-07-01T12:00:00Z').getHours('../../etc/passwd')", "unknown time zone ../../etc/passwd"),
  ])
  func text(expression: String, expected: String) { #expect(evaluate(expression) == expected, "\(expression)") }

  @Test(arguments: [
    ("quantity('1.5Gi').isGreaterThan(quantity('1G'))", "true"), ("quantity('50k') == quantity('50000')", "true"),
    ("quantity('50M').compareTo(quantity('50Mi'))", "-1"), ("quantity('50k').add(20) == quantity('50020')", "true"),
    ("quantity('1').sub(quantity('1500m')).sign()", "-1"), ("quantity('9.99Gi').isInteger()", "false"),
    ("quantity('20').asInteger()", "20"),
    ("quantity('50.703k').asApproximateFloat()", "50703.0"), ("quantity('9.99').asInteger()", "cannot convert value to integer"),
    ("isQuantity('200K')", "false"), ("isQuantity('10Mo')", "false"), ("isQuantity('1e3')", "true"), ("isQuantity('-1.3Gi')", "true"),
    ("quantity('9999999999999999999999E') == quantity('9223372036854775807')", "true"),
    ("quantity('0.0000000001') == quantity('1n')", "true"),
    ("isSemver('1.0.0')", "true"), ("isSemver('hello')", "false"), ("isSemver('v1.0')", "false"), ("isSemver('v1.0', true)", "true"),
    ("semver('1.2.3').major()", "1"), ("semver('1.2.3').compareTo(semver('1.2.3-rc.1'))", "1"),
    ("semver('1.2.3') == semver('1.2.3+b')", "true"),
    ("semver('1.0.0-alpha.2').isLessThan(semver('1.0.0-alpha.10'))", "true"), ("semver('v01.2', true).minor()", "2"),
    ("format.dns1123Label().validate('my-name')", "none"), ("format.dns1123Label().validate('My_Name').hasValue()", "true"),
    ("format.named('uuid').value().validate('6ba7b810-9dad-11d1-80b4-00c04fd430c8').hasValue()", "false"),
    ("format.named('nonsense')", "none"),
    ("format.qualifiedName().validate('example.com/my.name')", "none"), ("format.dns1035LabelPrefix().validate('a-')", "none"),
    ("format.date().validate('2024-02-30').hasValue()", "true"), ("format.labelValue().validate('')", "none"),
  ])
  func kubernetes(expression: String, expected: String) { #expect(evaluate(expression) == expected, "\(expression)") }

  @Test func authorizerAnswersWhatIsAsked() {
    let authorizer = CELAuthorizer { check in
      CELAuthorizationDecision(
        isAllowed: check.verb == "get" && check.resource == "pods" && check.namespace == "a", reason: "\(check.group)/\(check.name)")
    }
    let bindings: CELBindings = ["authorizer": .opaque(authorizer)]
    let variables = [(name: "authorizer", type: CELAuthorizer.type)]
    func ask(_ text: String) -> String { evaluate("authorizer." + text, bindings, variables: variables) }
    #expect(ask("group('').resource('pods').namespace('a').check('get').allowed()") == "true")
    #expect(ask("group('apps').resource('pods').name('x').check('get').reason()") == "'apps/x'")
    #expect(ask("serviceAccount('ns', 'sa').path('/healthz').check('get').allowed()") == "false")
    #expect(ask("path('/x').namespace('a')").contains("found no matching overload for 'namespace'"))
    let three = "[1, 2, 3].all(x, authorizer.path('/x').check('get').errored() == false)"
    #expect(evaluate(three, bindings, variables: variables) == "operation cancelled: actual cost limit exceeded")
  }

  @Test func patchesAreObjects() throws {
    let environment = CELEnvironment(types: CELJSONPatchTypes())
    let program = try environment.compile("[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('x/y'), value: {'k': 1}}]")
    #expect(program.resultType == .list(.object("JSONPatch")))
    let json = try program.evaluate(CELBindings()).json()
    #expect(json == [["op": "add", "path": "/a/x~1y", "value": ["k": 1]]])
    #expect(throws: CELIssues.self) { try environment.compile("JSONPatch{operation: 'add'}") }
  }
}
