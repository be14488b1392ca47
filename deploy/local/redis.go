package local

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// memoryRedis is the embedded Redis. It starts empty.
type memoryRedis struct {
	server *miniredis.Miniredis
	addr   string
	stop   chan struct{}
	done   sync.WaitGroup
}

func startRedis(port int) (*memoryRedis, error) {
	r := &memoryRedis{server: miniredis.NewMiniRedis(), stop: make(chan struct{})}
	err := withPort(port, func(port int) error {
		return r.server.StartAddr(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	})
	if err != nil {
		return nil, fmt.Errorf("start the embedded redis: %w", err)
	}
	r.addr = r.server.Addr()
	r.done.Go(r.age)
	return r, nil
}

// age lets time pass: by itself the server never expires a key.
func (r *memoryRedis) age() {
	const step = time.Second
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.server.FastForward(step)
		case <-r.stop:
			return
		}
	}
}

func (r *memoryRedis) close() {
	close(r.stop)
	r.done.Wait()
	r.server.Close()
}
