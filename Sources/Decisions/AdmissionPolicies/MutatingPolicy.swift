import APIMachinery
import CEL
import JSONCodec

/// A MutatingAdmissionPolicy, compiled.
package struct MutatingPolicy: Sendable {
  private enum Mutation: Sendable {
    case apply(PolicyExpression)
    case patch(PolicyExpression)
  }

  /// Why an object cannot be changed.
  package struct Failure: Error, Sendable {
    package let message: String
  }

  package let basis: PolicyBasis
  /// `reinvocationPolicy: IfNeeded`.
  package let reinvokes: Bool
  private let mutations: [Mutation]

  package init(_ policy: JSON, timeZoneFile: @escaping @Sendable (String) -> [UInt8]? = { _ in nil }) {
    basis = PolicyBasis(policy, hasPatches: true, timeZoneFile: timeZoneFile)
    reinvokes = policy["spec"]["reinvocationPolicy"].string == "IfNeeded"
    let environment = basis.environment()
    mutations = (policy["spec"]["mutations"].array ?? []).map { mutation in
      mutation["patchType"].string == "JSONPatch"
        ? .patch(environment.compile(mutation["jsonPatch"]["expression"].string ?? "", .list(.object("JSONPatch"))))
        : .apply(environment.compile(mutation["applyConfiguration"]["expression"].string ?? "", .object("Object")))
    }
  }

  /// Whether the policy looks at a request; throws where that cannot be told.
  package func concerns(_ input: PolicyInput) throws(Failure) -> Bool {
    switch basis.conditions.judge(input) {
    case .hold: return true
    case .fail: return false
    case .cannotTell(let why): throw Failure(message: why)
    }
  }

  /// The object as the mutations leave it, one after the other, and what kept some of them from being made.
  /// - `type`: of the object; nil where it has no schema.
  /// - `normalize`: makes a changed object whole again: pruned and defaulted.
  package func mutate(
    _ input: PolicyInput, type: SchemaType?, normalize: (JSON) throws -> JSON
  ) -> (object: JSON, problems: [String]) {
    var current = input
    var problems: [String] = []
    for mutation in mutations {
      guard let object = current.object else { break }
      let scope = PolicyScope(current, variables: basis.variables)
      do {
        let changed =
          switch mutation {
          case .apply(let expression): try applied(try scope.evaluate(expression), to: object, type)
          case .patch(let expression): try patched(try scope.evaluate(expression), object)
          }
        current.object = try normalize(changed)
      } catch let error as PolicyScope.Failure {
        problems.append(error.message)
      } catch let error as Failure {
        problems.append(error.message)
      } catch {
        problems.append("\(error)")
      }
    }
    return (current.object ?? .null, problems)
  }

  private func applied(_ value: CELValue, to object: JSON, _ type: SchemaType?) throws -> JSON {
    guard case .object(let configuration) = value else {
      throw Failure(message: "unsupported return type from ApplyConfiguration expression: \(value.runtimeType)")
    }
    if let (found, expected) = Self.misnamed(value, path: "Object") {
      throw Failure(
        message:
          "type mismatch: unexpected type name \"\(found)\", expected \"\(expected)\", which matches field name path from root Object type")
    }
    var changes = try configuration.json()
    for field in ["apiVersion", "kind"] {
      if !changes[field].isNull, changes[field] != object[field] {
        throw Failure(message: "invalid ApplyConfiguration: \(field) cannot be changed")
      }
      changes[field] = object[field]
    }
    do throws(ApplyError) {
      return try structuredMerge(object, applied: changes, type: type)
    } catch {
      throw Failure(message: "error applying patch: invalid ApplyConfiguration: \(error.message)")
    }
  }

  /// An object whose type's name does not say where it stands: `Object.spec.template` under `spec.template`; items of lists have
  /// the name of their list.
  private static func misnamed(_ value: CELValue, path: String) -> (found: String, expected: String)? {
    switch value {
    case .object(let object):
      guard object.typeName == path else { return (object.typeName, path) }
      for name in object.names {
        if let inner = object.value(name), let wrong = misnamed(inner, path: "\(path).\(name)") { return wrong }
      }
      return nil
    case .list(let list):
      for item in list.values { if let wrong = misnamed(item, path: path) { return wrong } }
      return nil
    default: return nil
    }
  }

  private func patched(_ value: CELValue, _ object: JSON) throws -> JSON {
    guard case .list(let operations) = value else {
      throw Failure(message: "type conversion error: evaluation result must be a list of JSONPatch but got \(value.runtimeType)")
    }
    var patch: [JSON] = []
    for operation in operations.values {
      guard case .object(let entry) = operation, entry.typeName == "JSONPatch" else {
        throw Failure(message: "type conversion error: patch elements must be of type JSONPatch, but got \(operation.runtimeType)")
      }
      // `value: null` is a value: the JSON of the fields leaves none out.
      var fields = JSONObject()
      for name in entry.names { fields[name] = try (entry.value(name) ?? .null).json() }
      patch.append(.object(fields))
    }
    do {
      return try jsonPatch(original: object, patch: .array(patch))
    } catch {
      throw Failure(message: "error applying patch: \(error)")
    }
  }
}
