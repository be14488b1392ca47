// Package demo is something to look at: the price book of a small telecom and cloud provider, and a player that uses it as
// three companies would, day and night.
//
// It talks to a server over its HTTP API alone and may import cmd/tollstream/client, and api for the shapes of answers.
// Invariants: the usage of a second, and of an hour of the past, is a pure function of that second or hour, ids included, so
// that sending it again is harmless; nothing is kept here, how far the usage was sent is asked of the server; what the server did not
// acknowledge is sent again; quantities are whole numbers of thousandths, never floats.
package demo

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
)

// Catalog is the price book in YAML, as `tollstream catalog apply` takes it.
//
//go:embed catalog.yaml
var Catalog []byte

// Settings say where to play.
type Settings struct {
	Addr string // of the server: host:port or a URL
	Key  string // of the role admin: it writes the catalogue, sends usage and makes links
	// KeyFile keeps a key of the demo's own from one start to the next, made with Key at the first. Empty: Key is used as it is.
	KeyFile string
	Out     io.Writer
	// Patient waits for a server that does not answer yet; otherwise that is an error at once.
	Patient bool
	Now     func() time.Time // nil: time.Now
}

// player sends the usage.
type player struct {
	Settings
	server *client.Client
	log    *slog.Logger
	wait   func(ctx context.Context, d time.Duration) error
}

func newPlayer(s Settings, log *slog.Logger) (*player, error) {
	server, err := client.New(s.Addr, s.Key)
	if err != nil {
		return nil, err
	}
	p := &player{Settings: s, server: server, log: log, wait: wait}
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Out == nil {
		p.Out = io.Discard
	}
	return p, nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Play loads the price book unless its accounts are there already, prints the addresses of the pages, fills in the past
// that the server does not know yet, and then sends usage as time passes until ctx ends; then it returns nil. Started again it goes
// on where the server's records end.
func Play(ctx context.Context, s Settings, log *slog.Logger) error {
	p, err := newPlayer(s, log)
	if err != nil {
		return err
	}
	if err = p.play(ctx); ctx.Err() != nil {
		return nil //nolint:nilerr // it was asked to end
	}
	return err
}

func (p *player) play(ctx context.Context) error {
	if err := p.reach(ctx); err != nil {
		return err
	}
	if err := p.unlock(ctx); err != nil {
		return err
	}
	if err := p.load(ctx); err != nil {
		return err
	}
	if err := p.announce(ctx); err != nil {
		return err
	}
	next, err := p.resume(ctx)
	if err != nil {
		return err
	}
	for {
		if next, err = p.advance(ctx, next, p.Now()); err != nil {
			return err
		}
		if err := p.wait(ctx, max(next.Add(time.Second).Sub(p.Now()), 0)); err != nil {
			return err
		}
	}
}

// reach asks whether the server is there.
func (p *player) reach(ctx context.Context) error {
	ask := func() error {
		_, err := p.server.Send(ctx, http.MethodGet, "/readyz", nil, nil)
		return err
	}
	if p.Patient {
		return p.insist(ctx, "wait for the server", ask)
	}
	var unready *client.Problem
	if err := ask(); err != nil && (!errors.As(err, &unready) || !unready.Temporary()) {
		return err
	}
	return nil // stores that do not answer yet are waited for by the calls that need them
}

// load applies the price book once. A price book that was changed since stays as it is.
func (p *player) load(ctx context.Context) error {
	return p.insist(ctx, "load the demo's catalogue", func() error {
		_, err := p.server.Send(ctx, http.MethodGet, "/v1/accounts/"+url.PathEscape(companies[0].account), nil, nil)
		var missing *client.Problem
		if !errors.As(err, &missing) || missing.Status != http.StatusNotFound {
			return err
		}
		res, err := p.server.Do(ctx, client.Request{
			Method: http.MethodPut, Path: "/v1/catalog", ContentType: "application/yaml", Body: bytes.NewReader(Catalog),
		})
		if err != nil {
			return err
		}
		applied, err := client.Decode[api.Applied](res)
		if err == nil {
			p.log.Info("demo catalogue loaded", slog.Int("changes", len(applied.Changes)), slog.Int64("seq", applied.Seq))
		}
		return err
	})
}

// announce prints where to look.
func (p *player) announce(ctx context.Context) error {
	text := "\nThe demo plays the usage of three companies, 20 to 50 events a second. Look at\n\n"
	for _, c := range companies {
		if c.billedTo != "" {
			continue
		}
		err := p.insist(ctx, "make a customer link", func() error {
			res, err := p.server.Send(ctx, http.MethodPost, "/v1/accounts/"+url.PathEscape(c.account)+"/links", nil, api.LinkRequest{})
			if err != nil {
				return err
			}
			link, err := client.Decode[api.Link](res)
			if err != nil {
				return err
			}
			text += "  " + c.name + "\n    " + link.URL + "\n"
			return nil
		})
		if err != nil {
			return err
		}
	}
	text += "  operators, who log in with the admin key\n    " + p.server.Base() + "/ops\n\n"
	if _, err := io.WriteString(p.Out, text); err != nil {
		return fmt.Errorf("print the addresses of the pages: %w", err)
	}
	return nil
}

// The time between two tries.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second
)

// insist makes a call until it succeeds, is refused for good, or ctx ends.
func (p *player) insist(ctx context.Context, what string, call func() error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := call()
		if err == nil {
			if try > 1 {
				p.log.Info("demo goes on", slog.String("operation", what), slog.Int("tries", try))
			}
			return nil
		}
		var refused *client.Problem
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !client.Temporary(err):
			return fmt.Errorf("demo: %s: %w", what, err)
		}
		if try == 1 || try%10 == 0 {
			p.log.Warn("demo waits and tries again", slog.String("operation", what), slog.Any("error", err))
		}
		nap := pause
		if errors.As(err, &refused) {
			nap = max(nap, min(refused.RetryAfter, longestPause))
		}
		if err := p.wait(ctx, nap); err != nil {
			return err
		}
		pause = min(2*pause, longestPause)
	}
}
