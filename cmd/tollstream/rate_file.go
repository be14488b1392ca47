package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/rater/catalog"
)

// rateFile prices the events of a file, each on top of those before it.
func (a *app) rateFile(ctx context.Context, file string, o rateOptions) error {
	in := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("read the file: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was read
		in = f
	}
	events, err := a.eventsIn(file, in, o)
	if err != nil {
		return err
	}
	out := &ratedOutput{app: a, file: file, summary: o.summary}
	if o.offline {
		err = a.rateOffline(ctx, events, o, out)
	} else {
		err = a.rateStreamed(ctx, events, o, out)
	}
	if err != nil {
		return err
	}
	return out.finish()
}

// eventSource gives the next event as JSON, with its line in the file; or what is wrong with that line, and goes on after it. io.EOF ends it.
type eventSource func() (text []byte, line int64, bad *api.EventError, err error)

// eventsIn reads a file by its name or, without one, by how it begins.
func (a *app) eventsIn(file string, in io.Reader, o rateOptions) (eventSource, error) {
	buffered := bufio.NewReaderSize(in, 256<<10)
	if o.collector != "" {
		document, err := a.readInput(o.collector)
		if err != nil {
			return nil, err
		}
		config, err := collector.ParseConfig(document)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.collector, err)
		}
		return mappedEvents(buffered, config)
	}
	begin, _ := buffered.Peek(4096)
	begin = bytes.TrimLeft(begin, " \t\r\n\ufeff")
	name := strings.ToLower(file)
	switch {
	case strings.HasSuffix(name, ".csv"):
		return namedEvents(buffered)
	case len(begin) > 0 && begin[0] == '[':
		return arrayEvents(buffered)
	case len(begin) > 0 && begin[0] == '{', strings.HasSuffix(name, ".ndjson"), strings.HasSuffix(name, ".jsonl"):
		return lineEvents(buffered), nil
	case len(begin) == 0:
		return nil, fmt.Errorf("%s has no events", file)
	}
	return namedEvents(buffered)
}

// lineEvents reads NDJSON.
func lineEvents(in *bufio.Reader) eventSource {
	line := int64(0)
	return func() ([]byte, int64, *api.EventError, error) {
		for {
			text, err := in.ReadBytes('\n')
			line++
			if text = bytes.TrimSpace(text); len(text) > 0 {
				if !json.Valid(text) || text[0] != '{' {
					return nil, line, &api.EventError{Code: string(usage.CodeJSON), Message: "the line is no JSON object: write one event a line"}, nil
				}
				return text, line, nil, nil
			}
			if err != nil {
				return nil, line, nil, err
			}
		}
	}
}

// arrayEvents reads a JSON array, whose elements are counted as lines.
func arrayEvents(in io.Reader) (eventSource, error) {
	d := json.NewDecoder(in)
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("read the array: %w", err)
	}
	n := int64(0)
	return func() ([]byte, int64, *api.EventError, error) {
		if !d.More() {
			if _, err := d.Token(); err != nil {
				return nil, n, nil, fmt.Errorf("event %d: the array is torn: %w", n+1, err)
			}
			return nil, n, nil, io.EOF
		}
		n++
		var text json.RawMessage
		if err := d.Decode(&text); err != nil {
			return nil, n, nil, fmt.Errorf("event %d: not JSON: %w", n, err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil {
			return nil, n, nil, fmt.Errorf("event %d: %w", n, err)
		}
		return compact.Bytes(), n, nil, nil
	}, nil
}

// sentEvent is an event of a row as JSON.
type sentEvent struct {
	ID         string            `json:"id"`
	Source     string            `json:"source,omitempty"`
	Account    string            `json:"account"`
	Product    string            `json:"product"`
	Package    string            `json:"package,omitempty"`
	Time       string            `json:"time,omitempty"`
	Quantity   string            `json:"quantity,omitempty"`
	Amount     string            `json:"amount,omitempty"`
	Currency   string            `json:"currency,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// mappedEvents reads records as a collector does.
func mappedEvents(in io.Reader, config *collector.Config) (eventSource, error) {
	mapper := format.NewMapper(&config.Mapping, config.Format.Notation(), "rate")
	records, err := config.Format.Open(format.Once(in), mapper.Paths(), format.Start)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the member already
	}
	return recordEvents(records, mapper), nil
}

// namedEvents reads delimited text whose header names the members of an event, and attributes.
func namedEvents(in io.Reader) (eventSource, error) {
	f := format.DefaultDelimited()
	rows, err := f.Read(in)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the line already
	}
	mapper := format.NewMapper(namedColumns(rows.Header), f.Notation(), "rate")
	if err := rows.Bind(mapper.Paths()); err != nil {
		return nil, err //nolint:wrapcheck // names the column already
	}
	return recordEvents(rows, mapper), nil
}

func recordEvents(records format.Reader, mapper *format.Mapper) eventSource {
	var row format.Row
	var events []usage.Sent // of the record that was read last
	next := 0
	return func() ([]byte, int64, *api.EventError, error) {
		for next == len(events) {
			if err := records.Next(&row); err != nil {
				return nil, row.Line, nil, err //nolint:wrapcheck // names the line already
			}
			events, next = mapper.Map(&row, events[:0]), 0
			if row.Code != "" {
				return nil, row.Line, &api.EventError{Code: string(row.Code), Message: row.Message}, nil
			}
		}
		s := &events[next]
		next++
		text, err := json.Marshal(asSent(s))
		return text, row.Line, nil, err
	}
}

func asSent(s *usage.Sent) sentEvent {
	e := sentEvent{ID: s.ID, Source: s.Source, Account: s.Account, Product: s.Product, Package: s.Package, Currency: s.Currency}
	if s.HasTime {
		e.Time = time.Unix(0, s.Time).UTC().Format(time.RFC3339Nano)
	}
	if s.HasQuantity {
		e.Quantity = s.Quantity.String()
	}
	if s.HasAmount {
		e.Amount = s.Amount.String()
	}
	for _, x := range s.Attributes {
		if e.Attributes == nil {
			e.Attributes = map[string]string{}
		}
		e.Attributes[x.Name] = x.Value
	}
	return e
}

// namedColumns maps each column to the member of its name, and those of other names to attributes.
func namedColumns(header []string) *format.Mapping {
	m := &format.Mapping{}
	members := map[string]**format.Field{
		"id": &m.ID, "source": &m.Source, "account": &m.Account, "product": &m.Product, "package": &m.Package, "quantity": &m.Quantity,
		"amount": &m.Amount, "currency": &m.Currency, "time": &m.Time,
	}
	for i, name := range header {
		field := &format.Field{Column: i + 1}
		if member := members[name]; member != nil {
			*member = field
		} else if name != "" {
			m.Attributes = append(m.Attributes, format.Attribute{Name: name, Field: field})
		}
	}
	slices.SortFunc(m.Attributes, func(a, b format.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return m
}

// linesAhead bounds how many events are under way.
const linesAhead = 1 << 16

// rateStreamed has the server price the events while they are sent.
func (a *app) rateStreamed(ctx context.Context, events eventSource, o rateOptions, out *ratedOutput) error {
	settings, err := a.rateSettings(o)
	if err != nil {
		return err
	}
	first, err := json.Marshal(settings)
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	c, err := a.settings.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, sent := io.Pipe()
	lines, failed := make(chan sentLine, linesAhead), make(chan error, 1)
	go func() {
		err := send(ctx, events, sent, append(first, '\n'), lines)
		failed <- err
		_ = sent.CloseWithError(err)
		close(lines)
	}()
	answer, err := c.Stream(ctx, client.Request{Method: http.MethodPost, Path: "/v1/rate", ContentType: "application/x-ndjson", Body: body})
	if err != nil {
		cancel()
		_ = body.CloseWithError(err)
		if own := <-failed; own != nil && ctx.Err() == nil && !errors.Is(own, err) {
			return own
		}
		return inDraft(o.draft, err)
	}
	defer answer.Close() //nolint:errcheck // it was read
	if err := out.read(answer, lines); err != nil {
		cancel()
		select {
		case own := <-failed:
			if own != nil && !errors.Is(own, context.Canceled) {
				return own
			}
		default:
		}
		return err
	}
	return nil
}

// sentLine is a line of the file whose result is to come, or what is wrong with it.
type sentLine struct {
	line int64
	bad  *api.EventError
}

func send(ctx context.Context, events eventSource, to io.Writer, first []byte, lines chan<- sentLine) error {
	w := bufio.NewWriterSize(to, 64<<10)
	if _, err := w.Write(first); err != nil {
		return err
	}
	for {
		text, line, bad, err := events()
		if errors.Is(err, io.EOF) {
			return w.Flush()
		}
		if err != nil {
			return err
		}
		select {
		case lines <- sentLine{line, bad}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if bad != nil {
			continue
		}
		if _, err := w.Write(append(text, '\n')); err != nil {
			return err
		}
	}
}

// offlinePrices prices under a draft alone.
type offlinePrices struct {
	trial *invoicer.Trial
	at    time.Time
}

func (a *app) offlinePrices(ctx context.Context, o rateOptions) (*offlinePrices, error) {
	document, err := a.readInput(o.draft)
	if err != nil {
		return nil, err
	}
	doc, err := catalog.ParseDocument(o.draft, document)
	if err != nil {
		return nil, err
	}
	p := &offlinePrices{at: time.Now()}
	if o.at != "" {
		if p.at, err = time.Parse(time.RFC3339, o.at); err != nil {
			return nil, wrongUsage("--at %q must be a time such as 2026-11-21T10:00:00Z", o.at)
		}
	}
	changes, err := doc.Revise(catalog.Stored{}, p.at.UnixNano())
	if err != nil {
		return nil, err
	}
	p.trial, err = invoicer.Nowhere(time.Now).Trial(ctx, invoicer.Conditions{Draft: catalog.NewDraft(changes, 0)})
	return p, err
}

// rate prices one event.
func (p *offlinePrices) rate(ctx context.Context, text []byte) (result api.RatedEvent) {
	e, err := api.Intake{}.ParseEvent(text, p.at)
	result.ID = e.ID
	if err == nil {
		result.Quote, err = p.trial.Rate(ctx, e)
	}
	if err != nil {
		result.Error = api.EventErrorOf(err)
	}
	return result
}

func (a *app) rateOffline(ctx context.Context, events eventSource, o rateOptions, out *ratedOutput) error {
	prices, err := a.offlinePrices(ctx, o)
	if err != nil {
		return err
	}
	for {
		text, line, bad, err := events()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		result := api.RatedEvent{Error: bad}
		if bad == nil {
			result = prices.rate(ctx, text)
		}
		if err := out.result(line, &result); err != nil {
			return err
		}
	}
	out.end.Sums = prices.trial.Sums()
	return nil
}

// ratedOutput prints results as they come.
type ratedOutput struct {
	*app
	file           string
	summary        bool
	events, errors int64
	end            api.RateEnd
}

// read prints the server's answer.
func (o *ratedOutput) read(answer io.Reader, lines <-chan sentLine) error {
	in := json.NewDecoder(bufio.NewReaderSize(answer, 64<<10))
	for sent := range lines {
		result := api.RatedEvent{Error: sent.bad}
		if sent.bad == nil {
			var raw json.RawMessage
			if err := in.Decode(&raw); err != nil {
				return fmt.Errorf("the answer is torn after %d events: %w: run the command again", o.events+o.errors, err)
			}
			if err := json.Unmarshal(raw, &result); err != nil {
				return fmt.Errorf("read the answer: %w", err)
			}
			if result.Quote == nil && result.Error == nil { // it ended early
				return o.ended(raw)
			}
		}
		if err := o.result(sent.line, &result); err != nil {
			return err
		}
	}
	var raw json.RawMessage
	if err := in.Decode(&raw); err != nil {
		return fmt.Errorf("the answer has no end: %w: run the command again", err)
	}
	return o.ended(raw)
}

func (o *ratedOutput) ended(raw []byte) error {
	if err := json.Unmarshal(raw, &o.end); err != nil {
		return fmt.Errorf("read the answer's end: %w", err)
	}
	if o.end.Failed != "" {
		return fmt.Errorf("after %d events: %s", o.events+o.errors, o.end.Failed)
	}
	return nil
}

// result prints one event's.
func (o *ratedOutput) result(line int64, r *api.RatedEvent) error {
	r.Line, r.Index = line, o.events+o.errors
	if r.Error != nil {
		o.errors++
		if o.output != outputJSON {
			_, err := fmt.Fprintf(o.stderr, "%s:%d: %s: %s\n", o.file, line, r.Error.Code, r.Error.Message)
			return err
		}
	} else {
		o.events++
	}
	if o.summary {
		return nil
	}
	if o.output == outputJSON {
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("print the answer: %w", err)
		}
		before := ",\n  "
		if o.events+o.errors == 1 {
			before = "{\"results\": [\n  "
		}
		return o.print(before + string(text))
	}
	q := r.Quote
	because := ""
	if q.Explanation != nil && q.Explanation.Charge != nil {
		because = "  " + q.Explanation.Charge.Short
	}
	return o.print(fmt.Sprintf("%d  %s  %s  %s%s\n", line, q.Account, q.Product, amount(q.Charge, q.Currency), because))
}

// finish prints the sums.
func (o *ratedOutput) finish() error {
	if o.end.Sums == nil {
		o.end.Sums = []invoicer.TrialSum{}
	}
	var err error
	if o.output == outputJSON {
		sums, failure := json.Marshal(o.end.Sums)
		if failure != nil {
			return fmt.Errorf("print the answer: %w", failure)
		}
		before := "\n], "
		if o.summary || o.events+o.errors == 0 {
			before = `{"results": [], `
		}
		err = o.print(fmt.Sprintf("%s\"sums\": %s, \"events\": %d, \"errors\": %d}\n", before, sums, o.events, o.errors))
	} else {
		rows := [][]string{{"ACCOUNT", "PRODUCT", "EVENTS", "QUANTITY", "CHARGE"}}
		for _, s := range o.end.Sums {
			rows = append(rows, []string{s.Account, s.Product, fmt.Sprint(s.Events), s.Quantity.String(), amount(s.Charge, s.Currency)})
		}
		err = o.table(rows)
	}
	if err == nil && o.errors > 0 {
		return &silentError{fmt.Sprintf("%d of %d events have no price", o.errors, o.errors+o.events)}
	}
	return err
}
