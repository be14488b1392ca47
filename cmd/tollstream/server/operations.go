package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/api/pages"
	sinkpg "github.com/tollstream/tollstream/rater/sink/postgres"
)

// operations tells the state of the path that usage takes. Counts are of this process since its start; positions are
// those of the stores, whoever works on them.
type operations struct {
	p     *process
	ready map[string]func(context.Context) error
}

var _ api.Operations = operations{}

// storePatience is how long a store may take to say that it is there.
const storePatience = 2 * time.Second

// Status implements api.Operations.
func (o operations) Status(ctx context.Context) (*api.Status, error) {
	s := &api.Status{At: o.p.Now().UTC(), Rejected: []api.ReasonCount{}, Partitions: []api.PartitionAlarm{}}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	for name, check := range o.ready {
		store := api.StoreStatus{Name: name, Ready: true}
		if err := check(ctx); err != nil {
			store.Ready, store.Message = false, "does not answer; the server's log says why"
		}
		s.Stores = append(s.Stores, store)
	}
	slices.SortFunc(s.Stores, func(a, b api.StoreStatus) int { return compareText(a.Name, b.Name) })
	counts, err := o.p.counters()
	if err != nil {
		return nil, err
	}
	raterLag, sinkLag := o.lags(ctx)
	s.Stages = []api.StageStatus{
		counts.stage("api", "collector", nil), counts.stage("rater", "rater", raterLag), counts.stage("sink", "sink", sinkLag),
	}
	if rows, err := o.p.rater.RejectedCounts(ctx, filterOf(api.RejectedFilter{})); err == nil {
		for _, c := range rows {
			s.Rejected = append(s.Rejected, api.ReasonCount{Reason: c.Reason, Count: c.Count, Oldest: time.Unix(0, c.Oldest).UTC(), Newest: time.Unix(0, c.Newest).UTC()})
		}
	}
	if o.p.worker != nil {
		for _, x := range o.p.worker.Status() {
			if x.Stopped != "" {
				s.Partitions = append(s.Partitions, api.PartitionAlarm{Partition: x.Partition, Offset: x.Position, Note: x.Stopped})
			}
		}
	}
	return s, nil
}

// lags counts the usage records that are not rated and the rated ones that the report store lacks; nil: not known.
func (o operations) lags(ctx context.Context) (rater, sink *int64) {
	ends, err := o.p.usageEnds(ctx)
	if err != nil {
		return nil, nil
	}
	rows, err := o.p.rater.Checkpoints(ctx)
	if err != nil {
		return nil, nil
	}
	next := map[int32]int64{}
	for _, c := range rows {
		next[c.Partition] = c.Next
	}
	var behind, unreported int64
	for partition, end := range ends {
		behind += max(0, end-next[partition])
	}
	positions, err := sinkpg.NewState(o.p.stores.pool).Positions(ctx)
	if err != nil {
		return &behind, nil
	}
	taken := map[int32]int64{}
	for _, x := range positions {
		taken[x.Partition] = x.Last + 1
	}
	for partition, n := range next {
		unreported += max(0, n-taken[partition])
	}
	return &behind, &unreported
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// counters are the process's metrics by name, summed over their labels, with each stage's events a second.
type counters struct {
	sums
	rates map[string]float64 // by subsystem
}

type sums map[string]float64

// meter measures events a second between two looks that are at least a second apart.
type meter struct {
	mu    sync.Mutex
	at    time.Time
	last  sums
	rates map[string]float64
}

func (m *meter) measure(now time.Time, s sums) map[string]float64 {
	const least = time.Second
	m.mu.Lock()
	defer m.mu.Unlock()
	passed := now.Sub(m.at)
	if m.at.IsZero() || passed >= least {
		rates := map[string]float64{}
		for _, stage := range []string{"collector", "rater", "sink"} {
			if name := "tollstream_" + stage + "_received_total"; !m.at.IsZero() {
				rates[stage] = max(0, s[name]-m.last[name]) / passed.Seconds()
			}
		}
		m.at, m.last, m.rates = now, s, rates
	}
	return m.rates
}

// keepMeasuring looks now and then, so that the first who asks is told a rate already.
func (p *process) keepMeasuring(ctx context.Context) error {
	const every = 2 * time.Second
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if _, err := p.counters(); err != nil {
				return err
			}
		}
	}
}

func (p *process) counters() (*counters, error) {
	families, err := p.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	c := sums{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				c[f.GetName()] += m.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				c[f.GetName()] += m.GetGauge().GetValue()
			default:
			}
		}
	}
	return &counters{c, p.meter.measure(p.Now(), c)}, nil
}

func (c *counters) stage(name, subsystem string, lag *int64) api.StageStatus {
	sum := func(what string) int64 { return int64(c.sums["tollstream_"+subsystem+"_"+what]) }
	s := api.StageStatus{
		Name: name, Condition: "ok", Received: sum("received_total"), Forwarded: sum("forwarded_total"),
		Duplicates: sum("duplicates_total"), Rejected: sum("rejected_total"), Errors: sum("errors_total"), LagRecords: lag,
	}
	if seconds, ok := c.sums["tollstream_"+subsystem+"_lag_seconds"]; ok {
		s.LagSeconds = &seconds
	}
	s.EventsPerSecond = c.rates[subsystem]
	if s.EventsPerSecond == 0 {
		s.Condition = "idle"
	}
	if s.LagSeconds != nil && *s.LagSeconds > lateSeconds {
		s.Condition, s.Note = "degraded", fmt.Sprintf("%.0f seconds behind: it catches up, or needs more processes of this role", *s.LagSeconds)
	}
	return s
}

// lateSeconds is the lag above which a stage counts as late.
const lateSeconds = 10

// operatorPages reads what the operators' pages show.
type operatorPages struct {
	p          *process
	operations api.Operations
	rejections api.Rejections
}

var (
	_ pages.Operator   = operatorPages{}
	_ pages.Rejections = operatorPages{}
)

// Status implements pages.Operator.
func (o operatorPages) Status(ctx context.Context) (*pages.Status, error) {
	s, err := o.operations.Status(ctx)
	if err != nil {
		return nil, pageError(err)
	}
	out := &pages.Status{At: s.At}
	for _, x := range s.Stages {
		stage := pages.Stage{
			Name: x.Name, Condition: pages.Condition(x.Condition), Note: x.Note, PerSecond: x.EventsPerSecond, LagRecords: -1, LagSeconds: -1,
			Received: x.Received, Forwarded: x.Forwarded, Duplicates: x.Duplicates, Rejected: x.Rejected, Errors: x.Errors,
		}
		if x.LagRecords != nil {
			stage.LagRecords = *x.LagRecords
		}
		if x.LagSeconds != nil {
			stage.LagSeconds = *x.LagSeconds
		}
		out.Stages = append(out.Stages, stage)
	}
	for _, x := range s.Stores {
		out.Stores = append(out.Stores, pages.Store(x))
	}
	for _, x := range s.Rejected {
		out.Rejected = append(out.Rejected, pages.ReasonCount(x))
	}
	for _, x := range s.Partitions {
		out.Partitions = append(out.Partitions, pages.Partition{Number: x.Partition, Offset: x.Offset, Note: x.Note})
	}
	list, err := o.p.collect.Collectors(ctx)
	if err != nil {
		return out, nil //nolint:nilerr // the page says of the store that it does not answer; the rest is shown
	}
	for _, x := range list {
		c := pages.Collector{Name: x.Name}
		if config, _, err := o.p.collect.config(ctx, x.Name); err == nil {
			c.Source, c.Where = config.Source.Type, config.Source.Path
			if config.Every > 0 {
				c.Every = config.Every.String()
			}
		}
		if x.LastRun != nil {
			run := pageRun(*x.LastRun)
			c.LastRun = &run
		}
		out.Collectors = append(out.Collectors, c)
	}
	return out, nil
}

func pageRun(r api.Run) pages.Run {
	out := pages.Run{ID: r.ID, Collector: r.Collector, State: r.State, File: r.File, Started: r.StartedAt, Rows: r.Rows, Accepted: r.Accepted, Bad: r.Bad, Error: r.Error}
	if r.EndedAt != nil {
		out.Ended = *r.EndedAt
	}
	for _, b := range r.BadRows {
		out.BadRows = append(out.BadRows, pages.BadRow{File: b.File, Line: b.Line, Reason: b.Reason})
	}
	return out
}

// runsShown is a page of runs.
const runsShown = 50

// Runs implements pages.Operator.
func (o operatorPages) Runs(ctx context.Context, collector, cursor string) (*pages.RunPage, error) {
	names := []string{collector}
	if collector == "" {
		names = nil
		list, err := o.p.collect.Collectors(ctx)
		if err != nil {
			return nil, pageError(err)
		}
		for _, c := range list {
			names = append(names, c.Name)
		}
	}
	page := &pages.RunPage{}
	for _, name := range names {
		runs, next, err := o.p.collect.Runs(ctx, name, cursor, runsShown)
		if err != nil {
			return nil, pageError(err)
		}
		for _, r := range runs {
			page.Rows = append(page.Rows, pageRun(r))
		}
		if collector != "" {
			page.Next = next
		}
	}
	slices.SortFunc(page.Rows, func(a, b pages.Run) int { return b.Started.Compare(a.Started) })
	page.Rows = page.Rows[:min(len(page.Rows), runsShown)]
	return page, nil
}

// Rejected implements pages.Rejections.
func (o operatorPages) Rejected(ctx context.Context, f pages.RejectedFilter, cursor string) (*pages.RejectedPage, error) {
	page, err := o.rejections.Rejected(ctx, api.RejectedFilter(f), cursor, runsShown)
	if err != nil {
		return nil, pageError(err)
	}
	out := &pages.RejectedPage{}
	if page.Next != nil {
		out.Next = *page.Next
	}
	for _, r := range page.Data {
		out.Rows = append(out.Rows, pages.RejectedEvent{
			Source: r.Source, ID: r.ID, Account: r.Account, Product: r.Product, Quantity: r.Quantity, Time: r.Time, Arrived: r.ReceivedAt, Reason: r.Reason,
		})
	}
	return out, nil
}

// RetryRejected implements pages.Rejections.
func (o operatorPages) RetryRejected(ctx context.Context, f pages.RejectedFilter) (int64, error) {
	n, err := o.rejections.RetryRejected(ctx, api.RejectedFilter(f))
	return n, pageError(err)
}

// Event implements pages.Operator: where an event was rated, or why it was not.
func (o operatorPages) Event(ctx context.Context, source, id string) ([]pages.EventWay, error) {
	activities, err := o.p.reports.Activities(ctx, api.ActivityQuery{Source: source, EventID: id, Limit: runsShown})
	if err != nil {
		return nil, pageError(err)
	}
	var ways []pages.EventWay
	for i := range activities.Data {
		ways = append(ways, ratedWay(&activities.Data[i]))
	}
	rejected, err := o.rejections.Rejected(ctx, api.RejectedFilter{Source: source, ID: id}, "", runsShown)
	if err != nil && !errors.Is(err, api.ErrNotFound) {
		return nil, pageError(err)
	}
	for i := range rejected.Data {
		ways = append(ways, rejectedWay(&rejected.Data[i]))
	}
	return ways, nil
}

func place(partition int32, offset int64, index int) []pages.Fact {
	return []pages.Fact{
		{Name: "Partition", Value: strconv.Itoa(int(partition))}, {Name: "Offset", Value: strconv.FormatInt(offset, 10)},
		{Name: "Index", Value: strconv.Itoa(index)},
	}
}

func ratedWay(a *api.Activity) pages.EventWay {
	line := "/c/" + a.Account + "/lines/" + a.Line
	return pages.EventWay{
		Source: a.Source, ID: a.ID, Account: a.Account, Product: a.Product, Quantity: a.Quantity, Time: a.Time, Attributes: a.Attributes,
		Steps: []pages.WayStep{
			{Name: "received", Condition: pages.ConditionOK, At: a.LogTime},
			{Name: "recorded", Condition: pages.ConditionOK, At: a.LogTime, Facts: place(a.Partition, a.Offset, a.Index)},
			{Name: "rated", Condition: pages.ConditionOK, Facts: []pages.Fact{
				{Name: "Rate", Value: a.Rate.ID}, {Name: "Level", Value: a.Rate.Level}, {Name: "Method", Value: a.Rate.Model},
				{Name: "Definition", Value: strconv.FormatInt(a.Rate.Seq, 10)}, {Name: "Charge", Value: a.Charge.String() + " " + a.Currency},
			}},
			{Name: "line", Condition: pages.ConditionOK, Facts: []pages.Fact{
				{Name: "Line", Value: a.Line, Href: line}, {Name: "Amount after it", Value: a.LineAmount.String() + " " + a.Currency},
			}},
			{Name: "report", Condition: pages.ConditionOK},
			{Name: "invoice", Condition: pages.ConditionOK, Facts: []pages.Fact{{Name: "Invoice", Value: a.Invoice, Href: "/c/" + a.Billed}, {Name: "Invoiced", Value: a.Billed}}},
		},
	}
}

func rejectedWay(r *api.RejectedUsage) pages.EventWay {
	return pages.EventWay{
		Source: r.Source, ID: r.ID, Account: r.Account, Product: r.Product, Quantity: r.Quantity, Time: r.Time, Attributes: r.Attributes,
		Steps: []pages.WayStep{
			{Name: "received", Condition: pages.ConditionOK, At: r.ReceivedAt},
			{Name: "recorded", Condition: pages.ConditionOK, At: r.ReceivedAt, Facts: place(r.Partition, r.Offset, r.Index)},
			{Name: "rejected", Condition: pages.ConditionFailed, Facts: []pages.Fact{{Name: "Reason", Value: r.Reason, Href: "/ops/rejected?reason=" + r.Reason}}},
		},
	}
}
