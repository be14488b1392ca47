// Package client talks to a running tollstream server over its HTTP API, for the subcommands that stand beside one and for
// the demo's player.
//
// It may import api for the shapes of answers. Invariants: an error says what was wrong and what to do about it; a key is
// sent to the configured server only and never shown; what the server answers is read up to a bound.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client is a server's address with the key that opens it. It is safe for concurrent use.
type Client struct {
	base string
	key  string
	http *http.Client
}

// maxAnswerBytes bounds an answer: an exported catalogue of a million accounts stays below it.
const maxAnswerBytes = 1 << 30

// New makes a client. The address is host:port as the server listens on it, or a URL such as https://billing.example.com
// of a proxy before it. The key may be empty.
func New(addr, key string) (*Client, error) {
	base, err := BaseURL(addr)
	if err != nil {
		return nil, err
	}
	if key = strings.TrimSpace(key); strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, errors.New("the API key must be one word, as the server printed it (TOLLSTREAM_API_KEY, --api-key)")
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("make an HTTP client: the default transport was replaced")
	}
	transport = transport.Clone()
	transport.ExpectContinueTimeout = 5 * time.Second
	return &Client{base: base, key: key, http: &http.Client{
		Transport: transport,
		// The API never redirects; a page that does would get the key's request.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// BaseURL is the URL of a listening address, without a slash at the end. An address that listens everywhere is reached on loopback.
func BaseURL(addr string) (string, error) {
	if strings.Contains(addr, "://") {
		u, err := url.Parse(addr)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return "", errors.New("the server's address must be host:port or a URL such as https://billing.example.com (TOLLSTREAM_HTTP_ADDR, --http-addr)")
		}
		return strings.TrimRight(u.String(), "/"), nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("the server's address %q must be host:port such as 127.0.0.1:8080 (TOLLSTREAM_HTTP_ADDR, --http-addr)", addr)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// Base is the server's URL, without a slash at the end.
func (c *Client) Base() string { return c.base }

// Request is one call.
type Request struct {
	Method      string
	Path        string // escaped, from /v1
	Query       url.Values
	ContentType string
	Body        io.Reader // nil: none
	Length      int64     // of the body; 0: find out, or chunked
	// AskFirst sends the body only when the server has agreed to take it: for bodies so large that sending one in vain hurts.
	AskFirst bool
}

// Answer is what the server said to a call that succeeded.
type Answer struct {
	Status int
	Body   []byte
}

// Do makes a call. Errors: *Problem for a refusal of the server, *Unreachable when nobody answers, *Broken when the connection
// ended in the middle, and those of the context and of the body's reader.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	res, err := c.call(ctx, r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, c.connectionError(ctx, err)
	}
	if len(body) > maxAnswerBytes {
		return nil, fmt.Errorf("%s %s: the answer has more than %d bytes", r.Method, r.Path, maxAnswerBytes)
	}
	return &Answer{Status: res.StatusCode, Body: body}, nil
}

// Stream makes a call whose answer is read while it comes, which may begin while the body is still sent. The caller closes it.
func (c *Client) Stream(ctx context.Context, r Request) (io.ReadCloser, error) {
	res, err := c.call(ctx, r)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// call makes a call that succeeds; errors are those of Do.
func (c *Client) call(ctx context.Context, r Request) (*http.Response, error) {
	address := c.base + r.Path
	if len(r.Query) > 0 {
		address += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, address, r.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
	}
	if r.Length > 0 {
		req.ContentLength = r.Length
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if r.AskFirst {
		req.Header.Set("Expect", "100-continue")
	}
	req.Header.Set("User-Agent", "tollstream")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.connectionError(ctx, err)
	}
	if res.StatusCode < http.StatusMultipleChoices {
		return res, nil
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return nil, c.connectionError(ctx, err)
	}
	return nil, c.problem(res, body)
}

// Send makes a call with a JSON body, none when it is nil.
func (c *Client) Send(ctx context.Context, method, path string, query url.Values, body any) (*Answer, error) {
	r := Request{Method: method, Path: path, Query: query}
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		r.Body, r.ContentType = bytes.NewReader(text), "application/json"
	}
	return c.Do(ctx, r)
}

// Decode reads an answer that is JSON.
func Decode[T any](a *Answer) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(a.Body, v); err != nil {
		return nil, fmt.Errorf("read the server's answer: %w: is it tollstream, and of this version?", err)
	}
	return v, nil
}

func (c *Client) problem(res *http.Response, body []byte) error {
	p := &Problem{Status: res.StatusCode, Base: c.base, HasKey: c.key != ""}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
		_ = json.Unmarshal(body, p) // what cannot be read is told by the status alone
		p.Status = res.StatusCode
	} else {
		p.Foreign = true
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}

func (c *Client) connectionError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err() //nolint:wrapcheck // the caller asked for it
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return &Unreachable{Base: c.base, Err: dial.Err}
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the URL stands in the message already
	}
	return &Broken{Base: c.base, Err: err}
}
