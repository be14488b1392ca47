package rater

import "sync"

// delivered is what the group delivered to a runner and is not rated yet. Above a bound the delivery is paused; what is
// on its way then is one poll at most.
type delivered struct {
	queueMu sync.Mutex
	queue   []Input
	bytes   int
	paused  bool
	closed  bool
}

// The delivery is paused above the first bound of a kind and resumed below both second ones.
const (
	queuePause, queueResume           = 4096, 1024
	queuePauseBytes, queueResumeBytes = 8 << 20, 4 << 20
)

// deliver takes records from the group's goroutine. After the runner has ended they are dropped, and the delivery is no
// longer the runner's to pause.
func (r *runner) deliver(in []Input, end int64) {
	d := &r.delivered
	d.queueMu.Lock()
	defer d.queueMu.Unlock()
	if d.closed || len(in) == 0 {
		return
	}
	if len(d.queue) == 0 {
		r.waiting.Store(in[0].Time)
	}
	d.queue = append(d.queue, in...)
	for i := range in {
		d.bytes += len(in[i].Value)
	}
	if !d.paused && (len(d.queue) > queuePause || d.bytes > queuePauseBytes) {
		d.paused = true
		r.w.group.Pause(r.partition)
	}
	r.end.Store(end)
	r.signal()
}

// queued returns the first records that wait.
func (d *delivered) queued(most int) []Input {
	d.queueMu.Lock()
	defer d.queueMu.Unlock()
	return d.queue[:min(len(d.queue), most)]
}

func (d *delivered) empty() bool {
	d.queueMu.Lock()
	defer d.queueMu.Unlock()
	return len(d.queue) == 0
}

// take removes the first records, which are rated.
func (r *runner) take(n int) {
	d := &r.delivered
	d.queueMu.Lock()
	defer d.queueMu.Unlock()
	for i := range d.queue[:n] {
		d.bytes -= len(d.queue[i].Value)
	}
	clear(d.queue[:n])
	d.queue = d.queue[n:]
	oldest := int64(0)
	if len(d.queue) > 0 {
		oldest = d.queue[0].Time
	} else {
		d.queue = nil
	}
	r.waiting.Store(oldest)
	if d.paused && len(d.queue) < queueResume && d.bytes < queueResumeBytes {
		d.paused = false
		r.w.group.Resume(r.partition)
	}
}

// close drops what waits and what still comes.
func (r *runner) close() {
	d := &r.delivered
	d.queueMu.Lock()
	defer d.queueMu.Unlock()
	d.closed, d.queue = true, nil
	r.waiting.Store(0)
}
