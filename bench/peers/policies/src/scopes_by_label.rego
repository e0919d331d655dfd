package agentidp

import rego.v1

labels_for := {
	"files:read": {"reader", "writer"},
	"files:write": {"writer"},
	"mail:send": {"*"},
}

granted contains scope if {
	some scope in input.scopes
	some label in object.get(labels_for, scope, {"trusted"})
	has(label)
}

has(label) if label == "*"

has(label) if label in input.labels
