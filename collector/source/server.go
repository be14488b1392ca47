package source

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"

	"github.com/tollstream/tollstream/collector/secret"
)

// Server says where a place is that is not on this machine, and how one gets in. It is one of *FTP, *SFTP and *S3.
type Server interface {
	// Check says which member is wrong, and why; nothing is wrong when the message is empty.
	Check() (member, message string)
}

// FTP is a server that speaks FTP, over TLS or not.
type FTP struct {
	Host, Path  string
	Port        int
	User        string // empty: anonymous
	Password    secret.Name
	TLS         string // explicit, implicit; empty: none
	Certificate string // pinned, SHA256:…; empty: as the system's roots say
}

// SFTP is a server that speaks SFTP over SSH.
type SFTP struct {
	Host, Path                       string
	Port                             int
	User                             string
	Password, PrivateKey, Passphrase secret.Name
	HostKey                          string // SHA256:… or a line of known_hosts
}

// S3 is a bucket.
type S3 struct {
	Endpoint  string // URL; empty: Amazon's of the region
	Region    string
	Bucket    string
	Prefix    string // of keys; ends with a slash or is empty
	PathStyle bool
	AccessKey secret.Name // empty: what anybody may read
	SecretKey secret.Name
}

func host(name string) string {
	switch {
	case name == "":
		return "is missing: the name or address of the server"
	case strings.ContainsAny(name, "/@ \t\r\n") || strings.Contains(name, "://"):
		return fmt.Sprintf("%q is no name of a host; write it without protocol and path", name)
	case strings.Contains(name, ":") && net.ParseIP(name) == nil:
		return fmt.Sprintf("%q is no name of a host; its port stands in port", name)
	}
	return ""
}

func port(n int) string {
	if n < 1 || n > 65535 {
		return "must be 1 to 65535"
	}
	return ""
}

// folderOn says what is wrong with the path of a folder on a server.
func folderOn(p string) string {
	if strings.ContainsAny(p, "\x00\r\n") {
		return "has characters that no path has"
	}
	return ""
}

// first is the first of member, message pairs that has a message.
func first(pairs ...string) (member, message string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			return pairs[i], pairs[i+1]
		}
	}
	return "", ""
}

func unless(good bool, message string) string {
	if good {
		return ""
	}
	return message
}

// Check implements Server.
func (f *FTP) Check() (member, message string) {
	return first("host", host(f.Host), "port", port(f.Port), "path", folderOn(f.Path),
		"user", unless(!strings.ContainsAny(f.User, "\r\n"), "must be one line"),
		"password", unless(f.User == "" || f.Password != "", "is missing; a user has one, or leave user out: anonymous"),
		"password", unless(f.User != "" || f.Password == "", "has no use without a user"),
		"tls", unless(f.TLS == "" || f.TLS == "explicit" || f.TLS == "implicit", "must be explicit (AUTH TLS on the usual port) or implicit (TLS from the first byte)"),
		"certificate", fingerprint(f.Certificate))
}

// fingerprint says what is wrong with one, if there is one.
func fingerprint(s string) string {
	if s == "" {
		return ""
	}
	if _, err := ParseFingerprint(s); err != nil {
		return err.Error()
	}
	return ""
}

// Check implements Server.
func (s *SFTP) Check() (member, message string) {
	return first("host", host(s.Host), "port", port(s.Port), "path", folderOn(s.Path),
		"user", unless(s.User != "", "is missing"),
		"password", unless((s.Password != "") != (s.PrivateKey != ""), "needs either password or private_key"),
		"passphrase", unless(s.Passphrase == "" || s.PrivateKey != "", "has no use without private_key"),
		"host_key", unless(s.HostKey != "", "is missing: without it nobody knows whose files they are; `ssh-keyscan HOST | ssh-keygen -lf -` shows it, ask the server's operator whether it is right"),
		"host_key", unless(strings.HasPrefix(s.HostKey, "SHA256:") || len(strings.Fields(s.HostKey)) >= 2, "must be SHA256:… or a line of known_hosts"),
		"host_key", unless(!strings.HasPrefix(s.HostKey, "SHA256:") || fingerprint(s.HostKey) == "", fingerprint(s.HostKey)))
}

// Check implements Server.
func (s *S3) Check() (member, message string) {
	return first("endpoint", unless(s.Endpoint == "" || isURL(s.Endpoint), "must be a URL like https://s3.example.com"),
		"endpoint", unless(s.Endpoint == "" || strings.Trim(urlPath(s.Endpoint), "/") == "", "must have no path; the bucket stands in bucket"),
		"region", unless(s.Endpoint != "" || s.Region != "", "is missing: without an endpoint the bucket is Amazon's, in a region"),
		"bucket", unless(s.Bucket != "" && !strings.ContainsAny(s.Bucket, "/\\ \x00"), "must be the name of a bucket; what stands behind a slash goes to prefix"),
		"prefix", unless(s.Prefix == "" || (strings.HasSuffix(s.Prefix, "/") && CheckPath(strings.TrimSuffix(s.Prefix, "/")) == nil), "must end with a slash and have no empty parts, . or .."),
		"access_key", unless((s.AccessKey != "") == (s.SecretKey != ""), "access_key and secret_key go together"))
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func urlPath(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Path
}

// CheckPath refuses a path that could lead out of a place, or that not every system has: absolute, with empty parts, . or .., with a
// backslash or a control character.
func CheckPath(p string) error {
	switch {
	case p == "" || len(p) > 4096 || path.Clean(p) != p || p[0] == '/' || p == "." || p == ".." || strings.HasPrefix(p, "../"):
		return fmt.Errorf("%q is no path below the place", p)
	case strings.IndexFunc(p, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) >= 0:
		return fmt.Errorf("%q has a backslash or a control character; rename the file where it lies", p)
	}
	return nil
}
