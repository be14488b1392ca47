package sftp

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/tollstream/tollstream/collector/source"
)

// errOtherKey says that a server showed another key than the pinned one.
var errOtherKey = errors.New("the server's host key is another one")

// pin is the key that a server must show, and the algorithms under which it may.
type pin struct {
	sum        [sha256.Size]byte
	algorithms [][]string // tried one after another
}

// kinds are the algorithms for each kind of key.
var kinds = [][]string{
	{ssh.KeyAlgoED25519},
	{ssh.KeyAlgoECDSA256},
	{ssh.KeyAlgoECDSA384},
	{ssh.KeyAlgoECDSA521},
	{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
}

// parsePin reads SHA256:… or a line of known_hosts, with its names of hosts or without.
func parsePin(text string) (pin, error) {
	if strings.HasPrefix(text, "SHA256:") {
		sum, err := source.ParseFingerprint(text)
		return pin{sum, kinds}, err //nolint:wrapcheck // it says what is wrong
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		_, _, key, _, _, err = ssh.ParseKnownHosts([]byte(text))
	}
	if err != nil {
		return pin{}, fmt.Errorf("host_key is neither SHA256:… nor a line of known_hosts: %w", err)
	}
	algorithms := []string{key.Type()}
	if key.Type() == ssh.KeyAlgoRSA {
		algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return pin{sha256.Sum256(key.Marshal()), [][]string{algorithms}}, nil
}

// check is asked before anything is sent.
func (p pin) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	if sha256.Sum256(key.Marshal()) == p.sum {
		return nil
	}
	return fmt.Errorf("%w: %w: it shows %s (%s), the configuration pins %s; if the server's operator says that the new key is right, change host_key",
		source.ErrRefused, errOtherKey, ssh.FingerprintSHA256(key), key.Type(), source.FingerprintOf(p.sum))
}
