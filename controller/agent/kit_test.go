package agent

import "mainstay/test/kit"

// The tests' shared kit, under short names.
const patience = kit.Patience

var check, eventually = kit.Check, kit.Eventually
