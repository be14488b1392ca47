package teststores

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"testing"
)

// Files is a folder of this test on a server of files.
type Files struct {
	Host, User, Password string
	Port                 int
	Path                 string // as the server calls it
	Dir                  string // the same folder on this machine
	Keys                 string // where the server has its keys and certificate, and of OpenSSH the user's
}

// FTP returns an empty folder on vsftpd, which takes AUTH TLS as well.
func FTP(t testing.TB) Files { return files(t, EnvFTP, "root/files") }

// FTPS returns an empty folder on vsftpd, with TLS from the first byte.
func FTPS(t testing.TB) Files { return files(t, EnvFTPS, "root/files") }

// SFTP returns an empty folder on OpenSSH's server.
func SFTP(t testing.TB) Files { return files(t, EnvSFTP, "files") }

func files(t testing.TB, env, below string) Files {
	t.Helper()
	address := need(t, env)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	name := unique()
	password, _ := u.User.Password()
	f := Files{
		Host: u.Hostname(), Port: port, User: u.User.Username(), Password: password, Path: path.Join(u.Path, name),
		Dir: filepath.Join(u.RawQuery, below, name), Keys: u.RawQuery,
	}
	if err := os.Mkdir(f.Dir, 0o777); err != nil {
		t.Fatalf("make a folder on the server: %v", err)
	}
	if err := os.Chmod(f.Dir, 0o777); err != nil { // the server is another user
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(f.Dir); err != nil {
			t.Log(err)
		}
	})
	return f
}
