package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Access decides who makes a request and what they may do.
type Access struct {
	keys    keyring
	lineage Lineage
	secret  []byte
	secure  bool
	now     func() time.Time
}

// AccessConfig is what NewAccess needs.
type AccessConfig struct {
	Keys          KeyStore
	Lineage       Lineage
	SecureCookies bool // the public address is https: browsers get cookies for nothing else
	Now           func() time.Time
}

// Cookies and bounds of sessions.
const (
	operatorCookie = "tollstream_operator"
	customerCookie = "tollstream_customer"

	operatorSession = 12 * time.Hour

	// LinkDefault is how long a customer link and what it opens are valid when nothing is said, LinkLongest at most.
	LinkDefault = 7 * 24 * time.Hour
	LinkLongest = 90 * 24 * time.Hour
)

// NewAccess reads the installation's signing secret, which the first process makes.
func NewAccess(ctx context.Context, c AccessConfig) (*Access, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	candidate := make([]byte, 32)
	if _, err := rand.Read(candidate); err != nil {
		return nil, fmt.Errorf("make a signing secret: %w", err)
	}
	secret, err := c.Keys.Secret(ctx, "sessions", candidate)
	if err != nil {
		return nil, fmt.Errorf("read the signing secret: %w", err)
	}
	if len(secret) < 32 {
		return nil, fmt.Errorf("read the signing secret: %d bytes, want 32", len(secret))
	}
	return &Access{
		keys: keyring{store: c.Keys, now: c.Now}, lineage: c.Lineage, secret: secret, secure: c.SecureCookies, now: c.Now,
	}, nil
}

// claims is what a signed token says. Links and sessions differ in their purpose, so that neither passes for the other.
type claims struct {
	Account string `json:"a,omitempty"` // of a customer link
	Key     string `json:"k,omitempty"` // hash of the key that logged in
	Expires int64  `json:"e"`           // seconds since the epoch
	Nonce   string `json:"n,omitempty"`
}

const (
	purposeLink     = "link"
	purposeCustomer = "customer session"
	purposeOperator = "operator session"
	purposeCSRF     = "csrf"
)

var errToken = errors.New("the link is invalid or has expired: ask for a new one")

func (a *Access) mac(purpose, payload string) []byte {
	m := hmac.New(sha256.New, a.secret)
	m.Write([]byte(purpose + "\x00" + payload))
	return m.Sum(nil)
}

func (a *Access) sign(purpose string, c claims) string {
	body, err := json.Marshal(c)
	if err != nil {
		panic("bug: claims are plain strings: " + err.Error())
	}
	payload := base64.RawURLEncoding.EncodeToString(body)
	return payload + "." + base64.RawURLEncoding.EncodeToString(a.mac(purpose, payload))
}

func (a *Access) verify(purpose, token string) (claims, error) {
	payload, signature, _ := strings.Cut(token, ".")
	got, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || !hmac.Equal(got, a.mac(purpose, payload)) {
		return claims{}, errToken
	}
	body, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return claims{}, errToken
	}
	var c claims
	if err := json.Unmarshal(body, &c); err != nil || a.now().Unix() >= c.Expires {
		return claims{}, errToken
	}
	return c, nil
}

// Link makes a customer link: the path and query of a page that opens one account's pages until it expires. It cannot be
// taken back before, except by a new secret for the installation.
func (a *Access) Link(account string, valid time.Duration) (path string, expires time.Time, err error) {
	if valid <= 0 || valid > LinkLongest {
		return "", time.Time{}, fmt.Errorf("%w: a customer link is valid for more than 0 seconds and at most %d", ErrInvalid, int(LinkLongest.Seconds()))
	}
	expires = a.now().Add(valid).Truncate(time.Second)
	token := a.sign(purposeLink, claims{Account: account, Expires: expires.Unix()})
	return "/c/" + url.PathEscape(account) + "?token=" + token, expires, nil
}

// openLink takes the token off a customer link: it sets the session and sends the browser to the same page without the
// token, which so stays out of histories and referrers. handled is false when the request carries no token.
func (a *Access) openLink(w http.ResponseWriter, r *http.Request) (handled bool, err error) {
	query := r.URL.Query()
	token := query.Get("token")
	if token == "" || !strings.HasPrefix(r.URL.Path, "/c/") {
		return false, nil
	}
	c, err := a.verify(purposeLink, token)
	if err != nil {
		return true, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	a.setCookie(w, customerCookie, a.sign(purposeCustomer, claims{Account: c.Account, Expires: c.Expires, Nonce: nonce()}), time.Unix(c.Expires, 0))
	query.Del("token")
	target := url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: query.Encode()}
	http.Redirect(w, r, target.RequestURI(), http.StatusSeeOther)
	return true, nil
}

// LogIn opens a session for the holder of a key and returns who it is. Errors: ErrUnauthenticated.
func (a *Access) LogIn(ctx context.Context, w http.ResponseWriter, token string) (*Principal, error) {
	k, err := a.keys.find(ctx, strings.TrimSpace(token))
	if err != nil {
		return nil, err
	}
	expires := a.now().Add(operatorSession)
	a.setCookie(w, operatorCookie, a.sign(purposeOperator, claims{Key: hex.EncodeToString(k.Hash[:]), Expires: expires.Unix(), Nonce: nonce()}), expires)
	return principal(&k, true), nil
}

// LogOut ends every session of the browser.
func (a *Access) LogOut(w http.ResponseWriter) {
	for _, name := range []string{operatorCookie, customerCookie} {
		a.setCookie(w, name, "", time.Unix(1, 0))
	}
}

func (a *Access) setCookie(w http.ResponseWriter, name, value string, expires time.Time) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", Expires: expires, HttpOnly: true, Secure: a.secure, SameSite: http.SameSiteLaxMode,
	})
}

func nonce() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails, and aborts the program if it does
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func principal(k *Key, session bool) *Principal {
	return &Principal{KeyID: k.ID, Name: k.Name, Role: k.Role, Account: k.Account, Session: session}
}

// Authenticate finds out who makes the request: by the Authorization header or, without one, by a session cookie.
// Nobody is nil without an error; a key that is sent and not valid is ErrUnauthenticated.
func (a *Access) Authenticate(r *http.Request) (*Principal, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, fmt.Errorf("%w: send it as Authorization: Bearer KEY", ErrUnauthenticated)
		}
		k, err := a.keys.find(r.Context(), strings.TrimSpace(token))
		if err != nil {
			return nil, err
		}
		return principal(&k, false), nil
	}
	if p, err := a.operator(r); p != nil || err != nil {
		return p, err
	}
	if c, err := r.Cookie(customerCookie); err == nil {
		if claims, err := a.verify(purposeCustomer, c.Value); err == nil {
			return &Principal{Name: "customer link", Role: RoleCustomer, Account: claims.Account, Session: true}, nil
		}
	}
	return nil, nil
}

// operator reads the session of somebody who logged in with a key; a key revoked meanwhile ends it.
func (a *Access) operator(r *http.Request) (*Principal, error) {
	c, err := r.Cookie(operatorCookie)
	if err != nil {
		return nil, nil //nolint:nilerr // no such cookie: nobody logged in
	}
	claims, err := a.verify(purposeOperator, c.Value)
	if err != nil {
		return nil, nil //nolint:nilerr // an old session is no session
	}
	var hash [sha256.Size]byte
	if n, err := hex.Decode(hash[:], []byte(claims.Key)); err != nil || n != len(hash) {
		return nil, nil //nolint:nilerr // as above
	}
	k, err := a.keys.byHash(r.Context(), hash)
	if errors.Is(err, ErrUnauthenticated) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return principal(&k, true), nil
}

// CSRFField is the form field, CSRFHeader the header of scripts, that carries the token.
const (
	CSRFField  = "csrf_token"
	CSRFHeader = "X-CSRF-Token"
)

// CSRFToken is what a form of the request's session must send back in its field CSRFField; empty without a session. It sets
// no cookie: the token is made from the session's.
func (a *Access) CSRFToken(_ http.ResponseWriter, r *http.Request) string {
	for _, name := range []string{operatorCookie, customerCookie} {
		if c, err := r.Cookie(name); err == nil && c.Value != "" {
			return base64.RawURLEncoding.EncodeToString(a.mac(purposeCSRF, c.Value))
		}
	}
	return ""
}

// CheckCSRF says whether a form was made for the request's session. A request with its own Authorization header needs no
// token: no other site can make a browser send one.
func (a *Access) CheckCSRF(r *http.Request, token string) bool {
	if r.Header.Get("Authorization") != "" {
		return true
	}
	want := a.CSRFToken(nil, r)
	return want != "" && hmac.Equal([]byte(token), []byte(want))
}
