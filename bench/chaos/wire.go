package main

import (
	"context"
	"encoding/json"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// wire is the connection between a process and a store.
type wire struct{ proxy *toxiproxy.Proxy }

func init() { zerolog.SetGlobalLevel(zerolog.Disabled) } // some toxics log past the server's logger

var proxies = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())

func layWire(listen, upstream string) (*wire, error) {
	p := toxiproxy.NewProxy(proxies, listen, listen, upstream)
	return &wire{p}, p.Start()
}

func (w *wire) address() string { return w.proxy.Listen }

// cut closes the connections and refuses new ones.
func (w *wire) cut() error {
	w.proxy.Stop()
	return nil
}

// mend undoes what was done to the wire.
func (w *wire) mend() error {
	w.proxy.Toxics.ResetToxics(context.Background())
	if w.proxy.Enabled {
		return nil
	}
	return w.proxy.Start()
}

// disturb puts a toxic into both directions.
func (w *wire) disturb(kind string, attributes map[string]any) error {
	for _, stream := range []string{"upstream", "downstream"} {
		text, err := json.Marshal(map[string]any{"type": kind, "stream": stream, "attributes": attributes})
		if err != nil {
			return err
		}
		if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) remove() { w.proxy.Stop() }
