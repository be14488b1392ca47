package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/webhook"
)

// Push is a request to a collector's webhook.
type Push struct {
	Header http.Header
	Sender netip.Addr
	Body   io.Reader
}

// ErrNotVerified says that a push is not known to come from the collector's sender; it wraps the reason, which is not the
// sender's business.
var ErrNotVerified = errors.New("the delivery is not verified")

var errAddress = errors.New("it comes from an address that is not allowed")

// answerWithin bounds how long a sender waits for the broker: most give up after ten seconds.
const answerWithin = 4 * time.Second

// Webhook verifies a push and receives its body. Errors are those of Receive, ErrNotVerified, those of reading the body
// (*usage.RequestError, ErrEncoding, ErrBody), and ErrUnavailable where a secret cannot be had or nobody answers in time.
func (r *Receiver) Webhook(ctx context.Context, of Journaled, c *Config, p Push) (Answer, error) {
	w := c.Source.Webhook
	if w == nil {
		return Answer{}, fmt.Errorf("%w: collector %s has no webhook", ErrNotVerified, of.Collector)
	}
	if len(w.Allow) > 0 && !w.Allow.Contains(p.Sender) {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotVerified, errAddress)
	}
	secrets, err := r.secrets(w.Secrets)
	if err != nil {
		return Answer{}, err
	}
	if err := w.Verify.Early(p.Header, secrets); err != nil {
		return Answer{}, notVerified(err)
	}
	raw, body, err := readPush(p)
	if err != nil {
		return Answer{}, err
	}
	bodies := [][]byte{raw}
	if !bytes.Equal(raw, body) {
		bodies = append(bodies, body)
	}
	id, err := w.Verify.Verify(webhook.Delivery{Header: p.Header, Bodies: bodies}, secrets, r.Now())
	if err != nil {
		return Answer{}, notVerified(err)
	}
	if id == "" {
		id = ContentID(body)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, ErrUnavailable)
	defer cancel()
	answer, err := r.Receive(ctx, of, c, Delivery{ID: id, Body: body, Around: aroundPush(id, p.Header)})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return answer, err
}

// notVerified tells what is the sender's fault from what is ours.
func notVerified(err error) error {
	if errors.Is(err, webhook.ErrSecret) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", ErrNotVerified, err)
}

func (r *Receiver) secrets(names []secret.Name) (secrets []string, err error) {
	for _, n := range names {
		s, err := r.Secret(n)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		secrets = append(secrets, s)
	}
	return secrets, nil
}

// readPush gives the body as it arrived and unpacked.
func readPush(p Push) (raw, body []byte, err error) {
	encoding := p.Header.Get("Content-Encoding")
	raw, err = readBody(nil, p.Body, "")
	if err != nil || encoding == "" {
		return raw, raw, err
	}
	body, err = readBody(nil, bytes.NewReader(raw), encoding)
	return raw, body, err
}

// hidden are headers that no event is made of.
var hidden = map[string]bool{"authorization": true, "proxy-authorization": true, "cookie": true}

func aroundPush(id string, header http.Header) func(path string) string {
	return func(path string) string {
		if path == "@delivery" {
			return id
		}
		name := strings.TrimPrefix(path, "@header.")
		if hidden[strings.ToLower(name)] {
			return ""
		}
		return header.Get(name)
	}
}
