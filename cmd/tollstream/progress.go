package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress counts what is read of a file and shows it on a terminal.
type progress struct {
	n    atomic.Int64
	once sync.Once
	end  chan struct{} // closed when the file was read to its end

	mu  sync.Mutex
	out io.Writer                // nil: nobody looks
	bar *progressbar.ProgressBar // what is shown
}

// progress makes a bar on stderr when that is a terminal; size −1 is not known.
func (a *app) progress(what string, size int64, quiet bool) *progress {
	f, ok := a.stderr.(*os.File)
	if quiet || !ok || !term.IsTerminal(int(f.Fd())) {
		return newProgress(nil, what, size)
	}
	return newProgress(f, what, size)
}

func newProgress(out io.Writer, what string, size int64) *progress {
	p := &progress{end: make(chan struct{}), out: out}
	if out != nil {
		p.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(true),
			progressbar.OptionShowTotalBytes(true), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(), progressbar.OptionSetRenderBlankState(true))
	}
	return p
}

func (p *progress) reader(r io.Reader) io.Reader { return &countingReader{r, p} }

func (p *progress) bytes() int64 { return p.n.Load() }

// rows shows how far the server is with what it was sent.
func (p *progress) rows(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		return
	}
	text := fmt.Sprintf("sent, %d rows processed", n)
	if !p.bar.IsFinished() {
		p.bar.Describe(text)
		return
	}
	p.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(text),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetRenderBlankState(true))
}

func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish() // a bar that cannot be drawn harms nobody
	}
}

type countingReader struct {
	r io.Reader
	p *progress
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.p.n.Add(int64(n))
	c.p.mu.Lock()
	if c.p.bar != nil {
		_ = c.p.bar.Add(n) // as above
	}
	c.p.mu.Unlock()
	if err != nil {
		c.p.once.Do(func() { close(c.p.end) })
	}
	return n, err
}
