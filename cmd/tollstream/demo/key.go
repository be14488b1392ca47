package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
)

// unlock finds the key to play with: the one in the key file, if the server still takes it, else one that is made now.
func (p *player) unlock(ctx context.Context) error {
	if p.KeyFile == "" {
		return nil
	}
	kept, err := os.ReadFile(p.KeyFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("demo: read its key: %w", err)
	}
	if key := strings.TrimSpace(string(kept)); key != "" {
		if taken, err := p.taken(ctx, key); taken || err != nil {
			return err
		}
	}
	if p.Key == "" {
		return fmt.Errorf("demo: the server has keys already, and %s holds none that it takes: set TOLLSTREAM_API_KEY (--api-key) to an admin key", p.KeyFile)
	}
	var made *api.NewKeyAnswer
	err = p.insist(ctx, "make a key", func() error {
		res, err := p.server.Send(ctx, http.MethodPost, "/v1/keys", nil, api.KeyRequest{Name: Source, Role: api.RoleAdmin})
		if err != nil {
			return err
		}
		made, err = client.Decode[api.NewKeyAnswer](res)
		return err
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.KeyFile, []byte(made.Token+"\n"), 0o600); err != nil {
		return fmt.Errorf("demo: keep its key: %w", err)
	}
	p.server, err = client.New(p.Addr, made.Token)
	return err
}

// taken tries a key, and uses it when the server takes it.
func (p *player) taken(ctx context.Context, key string) (bool, error) {
	server, err := client.New(p.Addr, key)
	if err != nil {
		return false, err
	}
	refused := false
	err = p.insist(ctx, "try the demo's key", func() error {
		_, err := server.Send(ctx, http.MethodGet, "/v1/keys", nil, nil)
		var problem *client.Problem
		if errors.As(err, &problem) && (problem.Status == http.StatusUnauthorized || problem.Status == http.StatusForbidden) {
			refused = true
			return nil
		}
		return err
	})
	if err != nil || refused {
		return false, err
	}
	p.server = server
	return true, nil
}
