package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tollstream/tollstream/api"
)

// Problem is a refusal by the server (RFC 9457) and what to do about it.
type Problem struct {
	Status     int                `json:"status"`
	Title      string             `json:"title"`
	Detail     string             `json:"detail"`
	Errors     []api.ProblemError `json:"errors"`
	RetryAfter time.Duration      `json:"-"` // what the server asked for; 0: nothing

	Base    string `json:"-"`
	HasKey  bool   `json:"-"` // a key was sent
	Foreign bool   `json:"-"` // not an answer in tollstream's form
}

// Error says what was refused and what to do.
func (p *Problem) Error() string {
	what := p.Detail
	if what == "" {
		what = fmt.Sprintf("%d %s", p.Status, http.StatusText(p.Status))
	}
	if p.Foreign {
		return fmt.Sprintf("%s answered %s, but not as tollstream does: check TOLLSTREAM_HTTP_ADDR (--http-addr)", p.Base, what)
	}
	for _, e := range p.Errors {
		line := e.Message
		if e.Path != "" {
			line = e.Path + ": " + line
		}
		if !strings.Contains(what, e.Message) {
			what += "\n  " + line
		}
	}
	switch p.Status {
	case http.StatusUnauthorized:
		if p.HasKey {
			return "the server does not know this API key, or it was revoked: set TOLLSTREAM_API_KEY (--api-key) to a valid one"
		}
		return `the server wants an API key: set TOLLSTREAM_API_KEY (--api-key); the first start of the server printed one on the line "admin key:"`
	case http.StatusForbidden:
		return what + ": use a key with another role (TOLLSTREAM_API_KEY), or make one with `tollstream key create --role ROLE`"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return what + "; nothing was changed, run the command again"
	}
	return what
}

// Temporary says whether the same call may succeed a moment later.
func (p *Problem) Temporary() bool {
	return p.Status == http.StatusTooManyRequests || p.Status >= http.StatusInternalServerError
}

// Unreachable says that nobody answers at the address.
type Unreachable struct {
	Base string
	Err  error
}

// Error says how to start a server or to name another address.
func (u *Unreachable) Error() string {
	return fmt.Sprintf("no server answers at %s (%v): start one with `tollstream run`, or set TOLLSTREAM_HTTP_ADDR (--http-addr) to where it runs", u.Base, u.Err)
}

// Unwrap is the reason.
func (u *Unreachable) Unwrap() error { return u.Err }

// Broken says that the connection ended in the middle: whether the call took effect is not known.
type Broken struct {
	Base string
	Err  error
}

// Error says what happened.
func (b *Broken) Error() string { return fmt.Sprintf("talk to %s: %v", b.Base, b.Err) }

// Unwrap is the reason.
func (b *Broken) Unwrap() error { return b.Err }

// Temporary says whether the call that failed so may succeed when it is made again.
func Temporary(err error) bool {
	var p *Problem
	var u *Unreachable
	var b *Broken
	return errors.As(err, &p) && p.Temporary() || errors.As(err, &u) || errors.As(err, &b)
}
