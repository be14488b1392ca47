package server

import (
	"math"
	"os"
	"runtime/debug"
	"testing"
)

// TestMemory: garbage is collected seldom and memory has an end, unless the environment says otherwise; what it says the runtime has read itself.
func TestMemory(t *testing.T) {
	percent, limit := debug.SetGCPercent(50), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	t.Setenv("GOMEMLIMIT", "1TiB")
	if err := Memory(func(string) string { return "50" }); err != nil {
		t.Fatal(err)
	}
	if p := debug.SetGCPercent(50); p != 50 || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Errorf("what the environment says is overruled: %d percent, %d bytes", p, debug.SetMemoryLimit(-1))
	}
}

// TestMemoryByDefault: this machine has more than 64 MiB, and less than there are numbers.
func TestMemoryByDefault(t *testing.T) {
	percent, limit := debug.SetGCPercent(50), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	t.Setenv("GOMEMLIMIT", "") // so that it comes back
	if err := os.Unsetenv("GOMEMLIMIT"); err != nil {
		t.Fatal(err)
	}
	if err := Memory(func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	if p := debug.SetGCPercent(50); p != 300 {
		t.Errorf("%d percent", p)
	}
	if l := debug.SetMemoryLimit(-1); l < 64<<20 || l == math.MaxInt64 {
		t.Errorf("a limit of %d bytes", l)
	}
}
