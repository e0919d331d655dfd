package agentidp

import rego.v1

granted contains scope if some scope in input.scopes
