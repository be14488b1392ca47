// Package webhook tells whether a delivery comes from who it says: by a signature over its body, or by a
// password or token.
//
// It imports nothing of ours, reads no clock and keeps no secret. Invariants: secrets and signatures are
// compared in constant time, and stand in no error; an empty secret verifies nothing.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Kind is how a delivery proves where it comes from.
type Kind string

// The kinds.
const (
	HMAC     Kind = "hmac"     // HMAC-SHA256 of the body in a header
	GitHub   Kind = "github"   // … in X-Hub-Signature-256
	Stripe   Kind = "stripe"   // HMAC-SHA256 of time and body in Stripe-Signature
	Standard Kind = "standard" // standardwebhooks.com, and Svix: of id, time and body
	Basic    Kind = "basic"    // user and password
	Bearer   Kind = "bearer"   // a token
)

// Kinds lists them.
var Kinds = []Kind{HMAC, GitHub, Stripe, Standard, Basic, Bearer}

// Encoding is how a signature is written.
type Encoding string

// The encodings.
const (
	Hex    Encoding = "hex"
	Base64 Encoding = "base64"
)

// Verification is what a delivery must show.
type Verification struct {
	Kind      Kind
	Header    string        // of HMAC
	Prefix    string        // of HMAC, before the signature
	Encoding  Encoding      // of HMAC
	User      string        // of Basic
	Tolerance time.Duration // of Stripe and Standard: how far the sender's clock and ours may be apart, the way included
}

// Default is what a configuration changes: the hex HMAC-SHA256 of the body in X-Signature.
func Default() Verification {
	return Verification{Kind: HMAC, Header: "X-Signature", Encoding: Hex, Tolerance: 5 * time.Minute}
}

// Bounds of a tolerance: beyond a day nobody is protected from what is sent again.
const (
	minTolerance = time.Second
	maxTolerance = 24 * time.Hour
)

// Check gives what is wrong with the description: the member and the reason.
func (v *Verification) Check() (member, message string) {
	switch {
	case v.Kind == HMAC && textproto.TrimString(v.Header) == "":
		return "header", "must name the header with the signature"
	case v.Encoding != Hex && v.Encoding != Base64:
		return "encoding", fmt.Sprintf("unknown encoding %q; known are hex and base64", v.Encoding)
	case v.Kind == Basic && (v.User == "" || strings.Contains(v.User, ":")):
		return "user", "must be the name that comes with the password, without a colon"
	case v.Tolerance < minTolerance || v.Tolerance > maxTolerance:
		return "tolerance", "must lie between 1s and 24h"
	}
	return "", ""
}

// What a delivery is refused with.
var (
	ErrMissing   = errors.New("no credential of the kind that is expected")
	ErrSignature = errors.New("the credential is wrong")
	ErrTime      = errors.New("signed too long ago, or in the future")
	// ErrSecret says that our side has no usable secret: nothing is wrong with the delivery.
	ErrSecret = errors.New("the secret cannot be used")
)

// Delivery is what is verified.
type Delivery struct {
	Header http.Header
	// Bodies are the body as it arrived and, where it was compressed, unpacked: senders sign either.
	Bodies [][]byte
}

// Early refuses what needs no body to be refused: who shows nothing, or a wrong password.
func (v *Verification) Early(header http.Header, secrets []string) error {
	switch v.Kind {
	case Basic, Bearer:
		return v.password(header, secrets)
	case Stripe:
		_, err := one(header, "Stripe-Signature")
		return err
	case Standard:
		_, err := standardHeaders(header)
		return err
	default:
		_, err := one(header, v.header())
		return err
	}
}

// Verify accepts a delivery that any of the secrets verifies. The id is the delivery's own, where it has one that is
// signed: it is the same when the sender tries again.
func (v *Verification) Verify(d Delivery, secrets []string, now time.Time) (id string, err error) {
	for _, s := range secrets {
		if s == "" {
			return "", fmt.Errorf("%w: it is empty", ErrSecret)
		}
	}
	if len(secrets) == 0 {
		return "", fmt.Errorf("%w: there is none", ErrSecret)
	}
	switch v.Kind {
	case Basic, Bearer:
		return "", v.password(d.Header, secrets)
	case Stripe:
		return "", v.stripe(d, secrets, now)
	case Standard:
		return v.standard(d, secrets, now)
	case HMAC, GitHub:
		return "", v.body(d, secrets)
	}
	return "", fmt.Errorf("%w: kind %q", ErrSecret, v.Kind)
}

func (v *Verification) header() string {
	if v.Kind == GitHub {
		return "X-Hub-Signature-256"
	}
	return v.Header
}

// one gives a header that stands there once: of two, somebody else may read the other one.
func one(header http.Header, name string) (string, error) {
	values := header.Values(name)
	if len(values) != 1 || values[0] == "" {
		return "", ErrMissing
	}
	return values[0], nil
}

func (v *Verification) body(d Delivery, secrets []string) error {
	text, err := one(d.Header, v.header())
	if err != nil {
		return err
	}
	prefix, encoding := v.Prefix, v.Encoding
	if v.Kind == GitHub {
		prefix, encoding = "sha256=", Hex
	}
	text, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return ErrSignature
	}
	var signature []byte
	if encoding == Base64 {
		signature, err = base64.StdEncoding.DecodeString(text)
	} else {
		signature, err = hex.DecodeString(text)
	}
	if err != nil {
		return ErrSignature
	}
	return signed(d.Bodies, "", keysOf(secrets), [][]byte{signature})
}

func keysOf(secrets []string) [][]byte {
	keys := make([][]byte, len(secrets))
	for i, s := range secrets {
		keys[i] = []byte(s)
	}
	return keys
}

// signed looks whether any of the keys makes any of the signatures of what stands before the body and the body.
func signed(bodies [][]byte, before string, keys, signatures [][]byte) error {
	good := 0
	for _, key := range keys {
		for _, body := range bodies {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(before))
			mac.Write(body)
			sum := mac.Sum(nil)
			for _, s := range signatures {
				good |= subtle.ConstantTimeCompare(sum, s)
			}
		}
	}
	if good == 0 {
		return ErrSignature
	}
	return nil
}

// maxSignatures bounds the work that a header asks for: a sender has a few keys at a time.
const maxSignatures = 16

// stripe reads t=TIME,v1=HEX,v1=HEX,…; schemes other than v1 do not count.
func (v *Verification) stripe(d Delivery, secrets []string, now time.Time) error {
	text, err := one(d.Header, "Stripe-Signature")
	if err != nil {
		return err
	}
	at := ""
	var signatures [][]byte
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			if at != "" {
				return ErrSignature
			}
			at = value
		case "v1":
			s, err := hex.DecodeString(value)
			if err != nil || len(signatures) == maxSignatures {
				return ErrSignature
			}
			signatures = append(signatures, s)
		}
	}
	if err := signed(d.Bodies, at+".", keysOf(secrets), signatures); err != nil {
		return err
	}
	return v.fresh(at, now)
}

// standardHeaders gives id, time and signatures, under the names of the standard or of Svix.
func standardHeaders(header http.Header) (values [3]string, err error) {
	family := "Webhook-"
	if header.Get("Webhook-Signature") == "" {
		family = "Svix-"
	}
	for i, name := range []string{"Id", "Timestamp", "Signature"} {
		if values[i], err = one(header, family+name); err != nil {
			return values, err
		}
	}
	return values, nil
}

// maxIDBytes bounds a delivery's id, which becomes a part of its events' ids.
const maxIDBytes = 128

func (v *Verification) standard(d Delivery, secrets []string, now time.Time) (id string, err error) {
	values, err := standardHeaders(d.Header)
	if err != nil {
		return "", err
	}
	keys := make([][]byte, len(secrets))
	for i, s := range secrets {
		keys[i], err = base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimPrefix(s, "whsec_"), "="))
		if err != nil || len(keys[i]) == 0 {
			return "", fmt.Errorf("%w: one of this kind is whsec_ and base64", ErrSecret)
		}
	}
	var signatures [][]byte
	for part := range strings.FieldsSeq(values[2]) {
		text, ok := strings.CutPrefix(part, "v1,")
		if !ok {
			continue
		}
		s, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(signatures) == maxSignatures {
			return "", ErrSignature
		}
		signatures = append(signatures, s)
	}
	id = values[0]
	if len(id) > maxIDBytes || strings.Contains(id, ".") {
		return "", ErrSignature
	}
	if err := signed(d.Bodies, id+"."+values[1]+".", keys, signatures); err != nil {
		return "", err
	}
	return id, v.fresh(values[1], now)
}

// fresh refuses a delivery that was kept for later: its time is signed.
func (v *Verification) fresh(text string, now time.Time) error {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return ErrSignature
	}
	if apart := now.Sub(time.Unix(seconds, 0)).Abs(); apart > v.Tolerance {
		return ErrTime
	}
	return nil
}

// password checks Authorization: Basic or Bearer.
func (v *Verification) password(header http.Header, secrets []string) error {
	text, err := one(header, "Authorization")
	if err != nil {
		return err
	}
	scheme, shown, _ := strings.Cut(text, " ")
	before := ""
	if v.Kind == Basic {
		decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(shown))
		if err != nil {
			return ErrMissing
		}
		shown, before = string(decoded), v.User+":"
	}
	if !strings.EqualFold(scheme, string(v.Kind)) {
		return ErrMissing
	}
	good := 0
	for _, s := range secrets {
		if s == "" {
			return fmt.Errorf("%w: it is empty", ErrSecret)
		}
		good |= same(before+s, shown)
	}
	if good == 0 {
		return ErrSignature
	}
	return nil
}

// same compares texts without telling by its time how long they are or where they differ.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}
