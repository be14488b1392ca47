package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
)

// How usage is sent.
const (
	// overlap is sent again at a start: what was accepted may not be in the reports yet, and doubles are recognised.
	overlap = time.Minute
	// catchUp is how much of the past is sent second by second; what is older comes hour by hour.
	catchUp       = time.Hour
	secondsAtOnce = 30
	eventsAtOnce  = 4000
)

// resume finds the second from which on usage is missing: after the newest that the server's reports have, or at the
// beginning of the past that the demo pretends.
func (p *player) resume(ctx context.Context) (time.Time, error) {
	now := p.Now().UTC()
	var newest *api.Activity
	for _, c := range companies {
		err := p.insist(ctx, "ask how far the usage was sent", func() error {
			res, err := p.server.Send(ctx, http.MethodGet, "/v1/accounts/"+url.PathEscape(c.account)+"/activities", url.Values{"limit": {"200"}}, nil)
			if err != nil {
				return err
			}
			list, err := client.Decode[api.List[api.Activity]](res)
			if err != nil {
				return err
			}
			for i := range list.Data { // newest first; usage that others sent does not count
				if a := &list.Data[i]; a.Source == Source && (newest == nil || a.Time.After(newest.Time)) {
					newest = a
				}
			}
			return nil
		})
		if err != nil {
			return time.Time{}, err
		}
	}
	if newest == nil {
		return beginning(now), nil
	}
	return resumeAfter(newest.ID, newest.Time), nil
}

// beginning is where the past begins: in the month before, at an hour that lies in that month in every zone of the demo.
func beginning(now time.Time) time.Time {
	return time.Date(now.Year(), now.Month()-1, 1, 5, 0, 0, 0, time.UTC)
}

// resumeAfter goes back over what may not be in the reports yet. Usage is sent in order, so everything before it is there.
func resumeAfter(id string, at time.Time) time.Time {
	if strings.HasPrefix(id, historyPrefix) {
		return at.UTC().Truncate(time.Hour) // the hour's other events may be missing
	}
	return at.UTC().Truncate(time.Second).Add(-overlap)
}

// advance sends the usage of [next, now), as far as whole seconds have passed, and returns how far it came.
func (p *player) advance(ctx context.Context, next, now time.Time) (time.Time, error) {
	now = now.UTC().Truncate(time.Second)
	if now.Sub(next) > catchUp {
		return now, p.fillIn(ctx, next, now)
	}
	for next.Before(now) {
		var batch []event
		end := next
		for range secondsAtOnce {
			if !end.Before(now) {
				break
			}
			batch = append(batch, eventsIn(end)...)
			end = end.Add(time.Second)
		}
		if err := p.send(ctx, batch, false); err != nil {
			return next, err
		}
		next = end
	}
	return next, nil
}

// fillIn sends the whole hours of [from, until). The rest of the last hour stays empty.
func (p *player) fillIn(ctx context.Context, from, until time.Time) error {
	hour := from.Truncate(time.Hour)
	if hour.Before(from) {
		hour = hour.Add(time.Hour) // its beginning was sent second by second
	}
	p.log.Info("demo fills in the past", slog.Time("from", hour), slog.Time("until", until))
	var batch []event
	sent := 0
	for ; !hour.Add(time.Hour).After(until); hour = hour.Add(time.Hour) {
		batch = append(batch, historyIn(hour)...)
		if len(batch) >= eventsAtOnce {
			if err := p.send(ctx, batch, true); err != nil {
				return err
			}
			sent, batch = sent+len(batch), batch[:0]
		}
	}
	if err := p.send(ctx, batch, true); err != nil {
		return err
	}
	p.log.Info("demo has filled in the past", slog.Int("events", sent+len(batch)))
	return nil
}

// send sends events until the server has accepted them.
func (p *player) send(ctx context.Context, batch []event, backfill bool) error {
	if len(batch) == 0 {
		return nil
	}
	body, err := json.Marshal(batch)
	if err != nil {
		return fmt.Errorf("demo: write usage: %w", err)
	}
	query := url.Values{}
	if backfill {
		query.Set("backfill", "true")
	}
	return p.insist(ctx, "send usage", func() error {
		res, err := p.server.Do(ctx, client.Request{
			Method: http.MethodPost, Path: "/v1/usage", Query: query, ContentType: "application/json", Body: bytes.NewReader(body),
		})
		if err != nil {
			return err
		}
		answer, err := client.Decode[api.IngestAnswer](res)
		if err == nil && len(answer.Rejected) > 0 {
			first := answer.Rejected[0]
			p.log.Warn("demo usage was refused", slog.Int("events", len(answer.Rejected)), slog.String("id", first.ID),
				slog.String("code", first.Code), slog.String("message", first.Message))
		}
		return err
	})
}
