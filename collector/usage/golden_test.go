package usage

// What other releases remember: see the invariants of the package.
const (
	goldenIdentity   = "2157568837dc5c474ace62f548d8395c"
	goldenPartition  = 225
	goldenUnresolved = "?f6ae01a7c7a51d8e"
	goldenHash       = 0xe4164ad30dd4821c
)
