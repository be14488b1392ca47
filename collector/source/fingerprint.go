package source

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// ParseFingerprint reads SHA256: followed by the hash in base64, as ssh-keygen writes it, or in hexadecimal digits with colons or
// without, as openssl does.
func ParseFingerprint(s string) ([sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	rest, ok := strings.CutPrefix(s, "SHA256:")
	if !ok {
		return sum, errors.New("a fingerprint begins with SHA256: and goes on with the hash")
	}
	decoded, err := hex.DecodeString(strings.ReplaceAll(rest, ":", ""))
	if err != nil || len(decoded) != len(sum) {
		decoded, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(rest, "="))
	}
	if err != nil || len(decoded) != len(sum) {
		return sum, errors.New("a fingerprint has, behind SHA256:, 32 bytes in base64 or hexadecimal digits")
	}
	return [sha256.Size]byte(decoded), nil
}

// Fingerprint writes the hash of a key or certificate as ssh-keygen does.
func Fingerprint(of []byte) string { return FingerprintOf(sha256.Sum256(of)) }

// FingerprintOf writes a hash as ssh-keygen does.
func FingerprintOf(sum [sha256.Size]byte) string {
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}
