package api_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/invoicer"
)

// wire is a connection that a stream writes to.
type wire struct {
	mu     sync.Mutex
	header http.Header
	status int
	text   strings.Builder
	broken bool
}

func (w *wire) Header() http.Header    { return w.header }
func (w *wire) WriteHeader(status int) { w.status = status }
func (w *wire) Flush()                 {}
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return 0, errors.New("broken pipe")
	}
	return w.text.Write(b)
}

// take returns what was written since the last call.
func (w *wire) take() string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.text.Reset()
	return w.text.String()
}

// pass lets the bubble's clock go on; nothing waits in real time.
func pass(d time.Duration) { <-time.After(d) }

// watching opens a stream inside a bubble; stop ends it, done says that it has ended.
func (o *outside) watching(account, last string) (w *wire, stop context.CancelFunc, done chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/v1/accounts/"+account+"/invoice/stream", http.NoBody)
	if err != nil {
		o.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+o.tokens[api.RoleSupport])
	r.Header.Set("Last-Event-ID", last)
	w, done = &wire{header: http.Header{}}, make(chan struct{})
	go func() {
		defer close(done)
		o.server.ServeHTTP(w, r)
	}()
	return w, cancel, done
}

func idOf(t *testing.T, text string) int64 {
	t.Helper()
	_, rest, ok := strings.Cut(text, "id: ")
	number, _, _ := strings.Cut(rest, "\n")
	id, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		t.Fatalf("no id in %q", text)
	}
	return id
}

func TestStreamShowsTheInvoiceAndThenEachChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := build(t)
		o.world.Use("acme", "api-calls", "100", noon)
		w, stop, done := o.watching("lab", "") // billed to acme: it is acme that is watched
		first := w.take()
		if w.status != 200 || w.header.Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(first, "id: ") ||
			!strings.Contains(first, "\nevent: invoice\ndata: {\"id\":") || !strings.HasSuffix(first, "}\n\n") || o.watcher.watched[0] != "acme" {
			t.Fatalf("snapshot: %q, watched %v", first, o.watcher.watched)
		}
		if !strings.Contains(first, `"lines":[]`) {
			t.Errorf("a child sees its parent's lines: %s", first)
		}
		pass(time.Second)
		o.world.Use("lab", "api-calls", "1", noon)
		o.watcher.change()
		second := w.take() // at once: nothing was sent for a while
		if !strings.Contains(second, `"total":"0.100000000000"`) || idOf(t, second) <= idOf(t, first) {
			t.Errorf("change: %q after %d", second, idOf(t, first))
		}
		o.watcher.change()
		if got := w.take(); got != "" {
			t.Errorf("nothing changed, but %q", got)
		}
		stop()
		<-done
	})
}

func TestStreamJoinsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := build(t)
		w, stop, done := o.watching("acme", "")
		w.take()
		events := 0
		for range 200 { // 2 s of a change every 10 ms
			o.world.Use("acme", "api-calls", "1", noon)
			o.watcher.change()
			pass(10 * time.Millisecond)
			events += strings.Count(w.take(), "event: invoice")
		}
		if events < 15 || events > 21 {
			t.Errorf("%d events in 2 s, want about ten a second", events)
		}
		pass(100 * time.Millisecond)
		if last := w.take(); events < 1 || (last != "" && !strings.Contains(last, `"quantity":"200"`)) {
			t.Errorf("the last change is not shown: %q", last)
		}
		stop()
		<-done
	})
}

func TestStreamHeartbeatsLookAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := build(t)
		w, stop, done := o.watching("acme", "")
		w.take()
		pass(15 * time.Second)
		if got := w.take(); got != ": heartbeat\n\n" {
			t.Errorf("heartbeat: %q", got)
		}
		o.world.Use("acme", "api-calls", "1", noon) // nobody tells: the live store lost the message
		pass(15 * time.Second)
		if got := w.take(); !strings.Contains(got, `"quantity":"1"`) {
			t.Errorf("a change that nobody told: %q", got)
		}
		stop()
		<-done
	})
}

func TestStreamResumesWithoutGoingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := build(t)
		o.world.Use("acme", "api-calls", "1", noon)
		o.world.Use("acme", "api-calls", "1", noon)
		w, stop, done := o.watching("acme", "")
		have := idOf(t, w.take())
		stop()
		<-done

		// The same state again: a snapshot all the same.
		w, stop, done = o.watching("acme", strconv.FormatInt(have, 10))
		if got := w.take(); idOf(t, got) != have {
			t.Errorf("snapshot of what it had: %q", got)
		}
		stop()
		<-done

		// The client saw one change more than the readers know, which fell back to the checkpoint.
		w, stop, done = o.watching("acme", strconv.FormatInt(have+1, 10))
		if got := w.take(); got != "" {
			t.Errorf("an older state: %q", got)
		}
		pass(time.Second)
		o.world.Use("acme", "api-calls", "1", noon)
		o.watcher.change()
		pass(100 * time.Millisecond)
		if got := w.take(); idOf(t, got) != have+1 || !strings.Contains(got, `"quantity":"3"`) {
			t.Errorf("caught up: %q", got)
		}
		stop()
		<-done

		// An id that was never given does not hold the stream for ever, whatever it says.
		for _, last := range []string{"999999999999999999", "nonsense", "-5"} {
			o.world.SetNow(noon)
			w, stop, done = o.watching("acme", last)
			w.take()
			o.world.SetNow(noon.Add(4 * time.Second))
			pass(4 * time.Second)
			stop()
			<-done
		}
		w, stop, done = o.watching("acme", "999999999999999999")
		w.take()
		o.world.SetNow(noon.Add(time.Hour))
		pass(time.Second)
		if got := w.take(); !strings.Contains(got, `"quantity":"3"`) {
			t.Errorf("a state that is older for long: %q", got)
		}
		stop()
		<-done
	})
}

func TestStreamSurvivesStoresAndEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := build(t)
		w, _, done := o.watching("acme", "")
		w.take()
		pass(time.Second)
		o.world.Fail(errors.New("connection refused"))
		o.watcher.change()
		if got := w.take(); !strings.HasPrefix(got, ": a store does not answer") {
			t.Errorf("while stores are away: %q", got)
		}
		o.world.Fail(nil)
		o.world.Use("acme", "api-calls", "1", noon)
		pass(time.Second)
		o.watcher.change()
		if got := w.take(); !strings.Contains(got, `"quantity":"1"`) {
			t.Errorf("after that: %q", got)
		}
		close(o.closing)
		<-done
		if body := o.do("", http.MethodGet, "/metrics", "").Body.String(); !strings.Contains(body, "tollstream_api_open_streams 0") {
			t.Error("the stream is still counted")
		}
	})
}

func TestStreamEndsWhenTheClientIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := build(t)
		w, _, done := o.watching("acme", "")
		w.take()
		w.mu.Lock()
		w.broken = true
		w.mu.Unlock()
		pass(20 * time.Second)
		<-done
	})
}

func TestStreamRefusals(t *testing.T) {
	o := build(t)
	o.want(o.do("", http.MethodGet, "/v1/accounts/acme/invoice/stream", ""), http.StatusUnauthorized)
	o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/other/invoice/stream", ""), http.StatusForbidden)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/accounts/nobody/invoice/stream", ""), http.StatusNotFound)
	o.watcher.err = errors.New("connection refused")
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/accounts/acme/invoice/stream", ""), http.StatusServiceUnavailable)
}

func TestServeLetsRequestsFinishAndEndsStreams(t *testing.T) {
	o := build(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- o.server.Serve(ctx, l, 2*time.Minute) }()

	arrived, finish := make(chan struct{}), make(chan struct{})
	o.stores.uploaded = func(r io.Reader) (*api.Run, error) {
		close(arrived)
		<-finish
		_, err := io.Copy(io.Discard, r)
		return &api.Run{ID: "1", State: "done"}, err
	}
	get := func(path string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+o.tokens[api.RoleSupport])
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	response := get("/v1/accounts/acme/invoice/stream")
	defer func() { _ = response.Body.Close() }()
	stream := response.Body
	if n, err := stream.Read(make([]byte, 3)); n == 0 {
		t.Fatal(err)
	}
	uploaded := make(chan int, 1)
	go func() { uploaded <- upload(t, o, "http://"+l.Addr().String(), strings.NewReader("a,b\n")) }()
	<-arrived
	stop()
	if _, err := io.Copy(io.Discard, stream); err != nil { // ends although the upload goes on
		t.Errorf("stream: %v", err)
	}
	close(finish)
	if status := <-uploaded; status != http.StatusOK {
		t.Errorf("the upload under way was answered %d", status)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// The desk is what the server asks.
var _ api.Invoices = (*invoicer.Desk)(nil)
