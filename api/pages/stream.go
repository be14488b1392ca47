package pages

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	heartbeatEvery = 15 * time.Second
	changesAtMost  = 500 * time.Millisecond // one message in this time, however much moves
)

// invoiceStream tells a customer's page that its invoice moved. A message carries no figures: the page
// reads its fragments again, so a missed message costs nothing and a reconnect needs no history.
func (s *server) invoiceStream(w http.ResponseWriter, r *http.Request) {
	if s.Watcher == nil {
		http.NotFound(w, r)
		return
	}
	changes, err := s.Watcher.Watch(r.Context(), r.PathValue("account"))
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrForbidden):
		http.Error(w, "no such account", http.StatusNotFound)
	case err != nil:
		s.Log.ErrorContext(r.Context(), "invoice cannot be watched", "account", r.PathValue("account"), "error", err)
		w.Header().Set("Retry-After", "30")
		http.Error(w, "the invoice cannot be watched at the moment", http.StatusServiceUnavailable)
	default:
		s.stream(w, r, changes)
	}
}

// opsStream tells an operator's page to look again.
func (s *server) opsStream(w http.ResponseWriter, r *http.Request) {
	changes := make(chan struct{})
	ctx := r.Context()
	go func() {
		defer close(changes)
		ticker := time.NewTicker(s.StatusEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			select {
			case <-ctx.Done():
				return
			case changes <- struct{}{}:
			}
		}
	}()
	s.stream(w, r, changes)
}

// stream writes server-sent events until the reader goes away, the changes end or the server stops.
func (s *server) stream(w http.ResponseWriter, r *http.Request, changes <-chan struct{}) {
	if r.Method == http.MethodHead {
		return
	}
	if s.streams.Add(1) > int64(s.MaxStreams) {
		s.streams.Add(-1)
		w.Header().Set("Retry-After", "30")
		http.Error(w, "too many live pages are open", http.StatusServiceUnavailable)
		return
	}
	defer s.streams.Add(-1)
	out := http.NewResponseController(w)
	if err := out.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.Log.WarnContext(r.Context(), "stream keeps the server's write timeout", "error", err)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	send := func(text string) bool {
		if _, err := w.Write([]byte(text)); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	// The first message makes up for what moved between the page's loading and now.
	if !send("retry: 3000\n\nid: 0\nevent: changed\ndata: {}\n\n") {
		return
	}
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	pause := time.NewTimer(0)
	<-pause.C
	pausing, again := false, false
	for id := 1; ; {
		tell := false
		select {
		case <-r.Context().Done():
			return
		case <-s.Closing:
			return
		case <-heartbeat.C:
			if !send(": still here\n\n") {
				return
			}
		case _, open := <-changes:
			if !open {
				return
			}
			tell, again = !pausing, pausing
		case <-pause.C:
			pausing, tell, again = false, again, false
		}
		if !tell {
			continue
		}
		if !send(fmt.Sprintf("id: %d\nevent: changed\ndata: {}\n\n", id)) {
			return
		}
		id++
		pausing = true
		pause.Reset(changesAtMost)
	}
}
