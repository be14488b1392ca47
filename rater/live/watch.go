package live

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/tollstream/tollstream/rater/activity"
)

// maxPending bounds the changes that wait for a slow watcher; what is more becomes a gap.
const maxPending = 8192

// Change says that an invoice of a billed account changed; the watcher reads it. After a Gap any invoice
// may have changed: messages may have been missed, or a partition's view was rebuilt.
type Change struct {
	Gap     bool
	Billed  string
	Invoice activity.ID
}

// Watch returns the changes from now on. A gap comes first, once the subscription stands: what is read
// after it, and after every later gap, misses nothing. It survives the loss of connections. The channel is closed after ctx is
// done or stop is called.
func (r *Reader) Watch(ctx context.Context) (changes <-chan Change, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	subscription := r.client.Subscribe(ctx, r.keys.channel())
	out := make(chan Change)
	go func() {
		defer close(out)
		defer func() { _ = subscription.Close() }()
		forward(ctx, subscription.ChannelWithSubscriptions(), out)
	}()
	return out, cancel
}

// forward takes messages at once, so that the driver never drops one, and hands them on at the watcher's pace.
func forward(ctx context.Context, in <-chan any, out chan<- Change) {
	var pending []Change
	for {
		var ready chan<- Change
		var next Change
		if len(pending) > 0 {
			ready, next = out, pending[0]
		}
		select {
		case <-ctx.Done():
			return
		case ready <- next:
			pending = pending[1:]
		case message, ok := <-in:
			if !ok {
				return
			}
			pending = queue(pending, message)
		}
	}
}

// queue adds a message's changes to those that wait. A gap makes all that waits before it pointless.
func queue(pending []Change, message any) []Change {
	gap := []Change{{Gap: true}}
	switch m := message.(type) {
	case *redis.Subscription:
		return gap // subscribed, or again after a connection was lost
	case *redis.Message:
		changes, err := decodeMessage(m.Payload)
		if err != nil || len(changes) == 0 || len(pending)+len(changes) > maxPending {
			return gap
		}
		if len(pending) == 1 && pending[0].Gap {
			return pending // not read yet: it covers these too
		}
		return append(pending, changes...)
	}
	return pending
}
