package server

import (
	"context"
	"time"

	"github.com/tollstream/tollstream/rater"
	rkafka "github.com/tollstream/tollstream/rater/kafka"
	"github.com/tollstream/tollstream/rater/live"
)

// wallClock is the adapters' clock.
type wallClock struct{ now func() time.Time }

// Now implements rater.Clock and sink.Clock.
func (c wallClock) Now() time.Time { return c.now() }

// startRater joins the consumer group and rates the partitions that it is given.
func (p *process) startRater(ctx context.Context) error {
	kafka := rkafka.Config{Brokers: p.stores.kafka, Log: p.Log}
	producer, err := rkafka.NewProducer(kafka)
	if err != nil {
		return err
	}
	p.onStop(producer.Close)
	rated, err := rkafka.NewRatedLog(kafka)
	if err != nil {
		return err
	}
	p.onStop(rated.Close)
	worker := rater.NewWorker(rater.Config{
		Stores:   rater.Stores{Store: p.rater, Definitions: p.definitions, Rated: rated},
		Live:     live.NewProjector(p.stores.redis, wallClock{p.Now}, p.livePrefix),
		Producer: producer, Poison: p.rater, Limits: rater.DefaultLimits(), Intervals: rater.DefaultIntervals(),
		Random: random, Metrics: rater.NewMetrics(p.registry), Log: p.Log,
	})
	p.onStop(worker.Close)
	consumer, err := rkafka.NewConsumer(kafka, worker)
	if err != nil {
		return err
	}
	p.worker = worker
	p.work(ctx, "rater", func(ctx context.Context) error { consumer.Run(ctx); return nil })
	return nil
}

// usageEnds reads the offset after the last record of each partition of `usage`.
func (p *process) usageEnds(ctx context.Context) (map[int32]int64, error) {
	return rkafka.Ends(ctx, rkafka.Config{Brokers: p.stores.kafka, Log: p.Log}, rkafka.UsageTopic)
}
