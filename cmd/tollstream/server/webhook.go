package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/collector"
	cpg "github.com/tollstream/tollstream/collector/pg"
)

// webhookDesk takes in what is delivered to collectors.
type webhookDesk struct {
	p        *process
	receiver *collector.Receiver
	configs  *memo[string, *deliveredTo]
}

var _ api.Webhooks = (*webhookDesk)(nil)

// deliveredTo is a collector's newest configuration.
type deliveredTo struct {
	config  *collector.Config
	version int
}

// configsFor is how long a configuration is used before it is read again.
const configsFor = 2 * time.Second

// configWithin bounds how long that may take.
const configWithin = 2 * time.Second

// newWebhooks connects the webhooks.
func (p *process) newWebhooks() *webhookDesk {
	return &webhookDesk{p: p, receiver: p.receiver, configs: newMemo[string, *deliveredTo](p.Now, configsFor)}
}

// Deliver implements api.Webhooks.
func (d *webhookDesk) Deliver(ctx context.Context, in api.WebhookDelivery) (*api.WebhookReply, error) {
	to, err := d.config(ctx, in.Collector)
	if err != nil {
		return nil, d.refused(in.Collector, err)
	}
	of := collector.Journaled{Collector: in.Collector, Version: to.version, What: "deliveries"}
	answer, err := d.receiver.Webhook(ctx, of, to.config, collector.Push{Header: in.Header, Sender: in.Sender, Body: in.Body})
	if err != nil {
		return nil, d.refused(in.Collector, err)
	}
	d.receiver.Metrics.Delivered(nil)
	return replyOf(&to.config.Source.Webhook.Reply, answer)
}

// config reads the newest configuration, seldom.
func (d *webhookDesk) config(ctx context.Context, name string) (*deliveredTo, error) {
	if !cpg.IsName(name) {
		return nil, fmt.Errorf("collector %q: %w", name, cpg.ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(ctx, configWithin)
	defer cancel()
	return d.configs.get(ctx, name, func(ctx context.Context) (*deliveredTo, error) {
		config, version, err := d.p.collect.config(ctx, name)
		return &deliveredTo{config, version}, err
	})
}

// refused says in the API's words what the collector could not do.
func (d *webhookDesk) refused(name string, err error) error {
	var unreadable *collector.DeliveryError
	switch {
	case errors.Is(err, cpg.ErrNotFound):
		err = fmt.Errorf("%w: %w", collector.ErrNotVerified, err)
	case errors.Is(err, collector.ErrUnavailable):
		d.p.Log.Warn("a delivery to a webhook was refused; its sender has to deliver it again", "collector", name, "error", err)
	}
	d.receiver.Metrics.Delivered(err)
	switch {
	case errors.Is(err, collector.ErrNotVerified):
		d.p.Log.Debug("a delivery to a webhook is not verified", "collector", name, "error", err)
		return api.ErrNotVerified
	case errors.As(err, &unreadable):
		return fmt.Errorf("%w: %w", api.ErrMalformed, unreadable)
	}
	return api.IntakeError(err)
}

func replyOf(r *collector.WebhookReply, answer collector.Answer) (*api.WebhookReply, error) {
	if r.Own() {
		return &api.WebhookReply{Status: r.Status, ContentType: r.ContentType, Body: []byte(r.Body)}, nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(api.IngestAnswerOf(answer)); err != nil {
		return nil, fmt.Errorf("write the answer to a delivery: %w", err)
	}
	return &api.WebhookReply{Status: r.Status, ContentType: r.ContentType, Body: b.Bytes()}, nil
}
