package teststores

import (
	"os"
	"os/exec"
	"testing"
)

// Python returns a Python interpreter that has the packages stripe and standardwebhooks.
func Python(t testing.TB) string {
	t.Helper()
	return need(t, EnvPython)
}

// Program returns the path of a program that deploy/servers installs, such as kcat.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed: deploy/servers/servers install", name)
	}
	t.Skipf("%s is not installed: deploy/servers/servers install", name)
	return ""
}
