package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/invoicer"
)

func (s *Server) registerStream() {
	if s.Watcher == nil {
		return
	}
	s.raw(ReadAccount, huma.Operation{
		OperationID: "watch-invoice", Method: http.MethodGet, Path: "/v1/accounts/{id}/invoice/stream", Tags: []string{"invoices"},
		Summary: "The current invoice as server-sent events",
		Description: "Each event \"invoice\" is the whole invoice, the first one as it stands now. Ids grow with every change; a client that comes back with Last-Event-ID " +
			"never gets an older state than it had. Comments keep quiet streams open. Changes are joined to at most ten events a second.",
		Parameters: []*huma.Param{
			pathParam("id", "id of the account"),
			{Name: "Last-Event-ID", In: "header", Description: "id of the last event that was received", Schema: &huma.Schema{Type: huma.TypeString}},
		},
		Responses: map[string]*huma.Response{"200": {
			Description: "Events, until the client or the server stops",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, s.fallible(s.streamInvoice))
}

// Bounds of a stream.
const (
	streamWrite = 10 * time.Second // a client that takes nothing for so long is gone
	// holdBack is how long a state that is older than what the client had is kept back: while readers fall through to
	// the checkpoint, a second or so behind. After it the client gets what there is.
	holdBack = 3 * time.Second
	maxFails = 20 // reads in a row that may fail, a heartbeat apart, before the stream ends
)

// watcher is one open stream.
type watcher struct {
	s       *Server
	w       http.ResponseWriter
	control *http.ResponseController
	account string

	last    int64 // id of the last event that the client has
	sent    bool  // an event went out on this stream
	content [sha256.Size]byte
	olderAt time.Time // since when only older states were found; zero: not so
	fails   int
}

// streamInvoice writes the snapshot and then a new one after every change. Nothing is lost when the client or the live store
// goes away for a while: each event is the whole state.
func (s *Server) streamInvoice(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	account := r.PathValue("id")
	if err := s.mayRead(ctx, account); err != nil {
		return err
	}
	target, err := s.Invoices.Find(ctx, invoicer.Question{Account: account})
	if err != nil {
		return err
	}
	changes, err := s.Watcher.Watch(ctx, target.Billed.ID)
	if err != nil {
		return fmt.Errorf("watch invoice of account %q: %w", account, errors.Join(ErrUnavailable, err))
	}
	last, _ := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	v := &watcher{s: s, w: w, control: http.NewResponseController(w), account: account, last: max(last, 0)}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that buffer would hold the events back
	w.WriteHeader(http.StatusOK)
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	v.run(ctx, changes, target.Billed.ID)
	return nil
}

// run is the stream's life. A change is answered at once unless an event went out less than Coalesce ago.
func (v *watcher) run(ctx context.Context, changes <-chan struct{}, billed string) {
	heartbeat := time.NewTicker(v.s.Heartbeat)
	defer heartbeat.Stop()
	pause := time.NewTimer(v.s.Coalesce)
	defer pause.Stop()
	if !v.show(ctx, &billed, false) {
		return
	}
	ready, wanted := false, false // ready: the pause is over; wanted: a change came meanwhile
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.s.Closing:
			return
		case _, open := <-changes:
			if !open {
				changes = nil // the watch ended: heartbeats still look
				continue
			}
			if !ready {
				wanted = true
				continue
			}
		case <-pause.C:
			ready = true
			if !wanted && v.olderAt.IsZero() {
				continue
			}
		case <-heartbeat.C:
			before := billed
			if !v.show(ctx, &billed, true) || billed != before { // who is invoiced changed: the client comes back and watches the right one
				return
			}
			continue
		}
		wanted = false
		if !v.show(ctx, &billed, false) {
			return
		}
		ready = false
		pause.Reset(v.s.Coalesce)
	}
}

// show reads the invoice and sends it when it is news; beat: otherwise a comment. False ends the stream.
func (v *watcher) show(ctx context.Context, billed *string, beat bool) bool {
	inv, err := v.s.Invoices.Invoice(ctx, invoicer.Question{Account: v.account})
	if err != nil {
		v.fails++
		return ctx.Err() == nil && v.fails < maxFails && !errors.Is(err, invoicer.ErrAccountUnknown) && v.write(": a store does not answer, the next state follows\n\n")
	}
	v.fails = 0
	*billed = inv.BilledAccount
	id := eventID(inv)
	content, text, err := digest(inv)
	if err != nil {
		return false
	}
	switch {
	case v.sent && id == v.last && content == v.content:
	case id < v.last && v.waits():
	default:
		v.last, v.sent, v.content, v.olderAt = max(id, v.last), true, content, time.Time{}
		return v.write("id: " + strconv.FormatInt(v.last, 10) + "\nevent: invoice\ndata: " + string(text) + "\n\n")
	}
	return !beat || v.write(": heartbeat\n\n")
}

// waits says whether an older state is still kept back.
func (v *watcher) waits() bool {
	now := v.s.Now()
	if v.olderAt.IsZero() {
		v.olderAt = now
	}
	return now.Sub(v.olderAt) < holdBack
}

func (v *watcher) write(text string) bool {
	_ = v.control.SetWriteDeadline(time.Now().Add(streamWrite)) // not every connection has deadlines
	if _, err := v.w.Write([]byte(text)); err != nil {
		return false
	}
	return v.control.Flush() == nil
}

// eventID grows with every change of an account's current invoice, also into the next period: hours of the period's start
// since the epoch, then 12 digits of the version.
func eventID(inv *invoicer.Invoice) int64 {
	const versions = 1_000_000_000_000
	return max(inv.Period.Start.Unix()/3600, 0)*versions + min(max(inv.Version, 0), versions-1)
}

// digest tells states apart: by everything but the time up to which it is rated, which moves by itself.
func digest(inv *invoicer.Invoice) ([sha256.Size]byte, []byte, error) {
	text, err := json.Marshal(inv)
	if err != nil {
		return [sha256.Size]byte{}, nil, fmt.Errorf("write invoice %s: %w", inv.ID, err)
	}
	still := *inv
	still.RatedThrough, still.Forecast = time.Time{}, nil
	compared, err := json.Marshal(&still)
	if err != nil {
		return [sha256.Size]byte{}, nil, fmt.Errorf("write invoice %s: %w", inv.ID, err)
	}
	return sha256.Sum256(compared), text, nil
}
