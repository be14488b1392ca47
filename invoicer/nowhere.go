package invoicer

import (
	"context"
	"time"

	"github.com/tollstream/tollstream/rater/catalog"
)

// Nowhere is a desk without stores, on which a draft that defines all that it needs prices events: no definitions, no accounts, no usage.
func Nowhere(now func() time.Time) *Desk {
	return &Desk{Definitions: nothing{}, Durable: nothing{}, Tree: nothing{}, Now: now}
}

// nothing is in no store.
type nothing struct{}

func (nothing) CurrentSeq(context.Context) (int64, error)       { return 0, nil }
func (nothing) SeqAt(context.Context, time.Time) (int64, error) { return 0, nil }

func (nothing) Snapshot(context.Context, int64) (*catalog.Snapshot, error) {
	return catalog.NewSnapshot(nil)
}

func (nothing) Accounts(context.Context, int64, []string) (map[string]*catalog.Account, error) {
	return nil, nil
}

func (nothing) Children(context.Context, string, string, int) ([]string, error) { return nil, nil }

func (nothing) ResolveAccount(context.Context, string, int64) (string, error) { return "", nil }

func (nothing) Read(context.Context, Ref) (View, error) { return View{}, nil }
