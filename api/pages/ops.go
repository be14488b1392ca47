package pages

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// opsView is what the operator's first page draws. Its times are UTC.
type opsView struct {
	At         string
	Stages     []stageView
	Stores     []Store
	StoresBad  int
	Rejected   []reasonView
	RejectedN  string
	Collectors []collectorView
	CSRF       string
	Trouble    []string // what to look at first
	Calm       string   // what is said when there is no trouble
	Well       Condition
	Announce   string
}

type stageView struct {
	Name, What            string
	Condition             Condition
	Word, Note            string
	Rate, LagTime, LagLen string
	Received, Forwarded   string
	Duplicates, Rejected  string
	Errors                string
	HasErrors             bool
}

type reasonView struct {
	Reason, What, Help string
	Count              string
	Oldest, Newest     instant
	Href               string
}

type collectorView struct {
	Name, Source, Where string
	Every, Next         string
	Run                 *runView
	Href                string
}

type runView struct {
	Collector, ID, File string
	Href                string
	Condition           Condition
	Word                string
	Started             instant
	Took                string
	Rows, Accepted, Bad string
	HasBad              bool
	Error               string
	BadRows             []BadRow
	MoreBad             string
}

var stageWords = map[string]string{
	"api": "Accepts usage over HTTP", "collector": "Reads files and feeds", "rater": "Prices usage",
	"live": "Moves the live invoices", "sink": "Fills the reports",
}

func stageName(name string) string {
	if name == "api" {
		return "API"
	}
	return capital(name)
}

func conditionWord(c Condition) string {
	switch c {
	case ConditionOK:
		return "Working"
	case ConditionIdle:
		return "Idle"
	case ConditionDegraded:
		return "Behind"
	case ConditionFailed:
		return "Stopped"
	}
	return string(c)
}

// span writes seconds as people say them.
func (l locale) span(seconds float64) string {
	switch {
	case seconds < 0:
		return "–"
	case seconds < 10:
		return l.plain(strconv.FormatFloat(seconds, 'f', 1, 64)) + noBreak + "s"
	case seconds < 120:
		return l.plain(strconv.FormatFloat(seconds, 'f', 0, 64)) + noBreak + "s"
	case seconds < 7200:
		return l.plain(strconv.FormatFloat(seconds/60, 'f', 0, 64)) + noBreak + "min"
	case seconds < 172800:
		return l.plain(strconv.FormatFloat(seconds/3600, 'f', 0, 64)) + noBreak + "h"
	}
	return l.plain(strconv.FormatFloat(seconds/86400, 'f', 0, 64)) + noBreak + "days"
}

func (s *server) ops(w http.ResponseWriter, r *http.Request)          { s.showOps(w, r, "layout") }
func (s *server) opsFragments(w http.ResponseWriter, r *http.Request) { s.showOps(w, r, "fragments") }

func (s *server) showOps(w http.ResponseWriter, r *http.Request, block string) {
	st, err := s.Operator.Status(r.Context())
	if err != nil {
		s.fail(w, r, err, "page")
		return
	}
	switch wants(r) {
	case "json":
		s.writeJSON(w, r, st)
		return
	case "csv":
		s.statusCSV(w, r, st)
		return
	}
	view := s.viewOps(st, localeOf(r.Header.Get("Accept-Language")))
	view.CSRF = s.token(w, r)
	s.render(w, r, http.StatusOK, "ops", block, frame{
		Title: "Operations", Area: "ops", Body: view, Live: &live{Stream: "/ops/stream", Fragments: "/ops/fragments"},
	})
}

func (s *server) token(w http.ResponseWriter, r *http.Request) string {
	if s.CSRFToken == nil {
		return ""
	}
	return s.CSRFToken(w, r)
}

func (s *server) viewOps(st *Status, l locale) *opsView {
	now := s.Now().UTC()
	v := &opsView{At: st.At.UTC().Format("15:04:05"), Stores: st.Stores}
	for i := range st.Stages {
		g := &st.Stages[i]
		view := stageView{
			Name: stageName(g.Name), What: stageWords[g.Name], Condition: g.Condition, Word: conditionWord(g.Condition), Note: g.Note,
			Rate: l.rate(g.PerSecond), LagTime: l.span(g.LagSeconds), LagLen: "–",
			Received: l.count(g.Received), Forwarded: l.count(g.Forwarded), Duplicates: l.count(g.Duplicates),
			Rejected: l.count(g.Rejected), Errors: l.count(g.Errors), HasErrors: g.Errors > 0,
		}
		if g.LagRecords >= 0 {
			view.LagLen = l.count(g.LagRecords)
		}
		if g.Condition == ConditionDegraded || g.Condition == ConditionFailed {
			v.Trouble = append(v.Trouble, strings.TrimSuffix(view.Name+": "+strings.ToLower(view.Word)+". "+g.Note, " "))
		}
		v.Stages = append(v.Stages, view)
	}
	for i := range st.Stores {
		if !st.Stores[i].Ready {
			v.StoresBad++
			v.Trouble = append(v.Trouble, strings.TrimSuffix(st.Stores[i].Name+" does not answer. "+st.Stores[i].Message, " "))
		}
	}
	total := int64(0)
	for i := range st.Rejected {
		c := &st.Rejected[i]
		what, help := reasonWords(c.Reason)
		total += c.Count
		v.Rejected = append(v.Rejected, reasonView{
			Reason: c.Reason, What: what, Help: help, Count: l.count(c.Count),
			Oldest: clockTime(c.Oldest.UTC(), now), Newest: clockTime(c.Newest.UTC(), now),
			Href: with("/ops/rejected", url.Values{}, "reason", c.Reason),
		})
	}
	v.RejectedN = l.count(total)
	v.Collectors = l.viewCollectors(st.Collectors, now)
	for _, p := range st.Partitions {
		v.Trouble = append(v.Trouble, "Partition "+l.count(int64(p.Number))+" at offset "+l.count(p.Offset)+": "+p.Note)
	}
	v.Calm, v.Well = "Usage is arriving and being rated", ConditionOK
	if !slices.ContainsFunc(st.Stages, func(g Stage) bool { return g.PerSecond > 0 }) {
		v.Calm, v.Well = "Nothing is wrong. No usage is arriving at the moment", ConditionIdle
	}
	v.Announce = v.Calm
	if len(v.Trouble) > 0 {
		v.Announce = strings.Join(v.Trouble, " ")
	}
	return v
}

func (l locale) rate(perSecond float64) string {
	decimals := 0
	if perSecond > 0 && perSecond < 10 {
		decimals = 1
	}
	return l.plain(strconv.FormatFloat(perSecond, 'f', decimals, 64))
}

func (l locale) viewCollectors(collectors []Collector, now time.Time) []collectorView {
	views := make([]collectorView, 0, len(collectors))
	for i := range collectors {
		c := &collectors[i]
		view := collectorView{
			Name: c.Name, Source: c.Source, Where: c.Where, Every: "By hand",
			Href: with("/ops/collectors", url.Values{}, "name", c.Name),
		}
		if c.Every != "" {
			view.Every = "Every " + c.Every
		}
		if !c.Next.IsZero() {
			view.Next = "next " + clockTime(c.Next.UTC(), now).Text
		}
		if c.LastRun != nil {
			run := l.viewRun(c.LastRun, now)
			view.Run = &run
		}
		views = append(views, view)
	}
	return views
}

func (l locale) viewRun(run *Run, now time.Time) runView {
	v := runView{
		Collector: run.Collector, ID: run.ID, File: run.File, Started: clockTime(run.Started.UTC(), now),
		Href: with("/ops/collectors", url.Values{}, "name", run.Collector),
		Rows: l.count(run.Rows), Accepted: l.count(run.Accepted), Bad: l.count(run.Bad), HasBad: run.Bad > 0,
		Error: run.Error, BadRows: run.BadRows,
	}
	end := run.Ended
	switch {
	case run.State == "failed":
		v.Condition, v.Word = ConditionFailed, "Failed"
	case run.State == "running":
		v.Condition, v.Word, end = ConditionOK, "Running", now
	case run.Bad > 0:
		v.Condition, v.Word = ConditionDegraded, "Done, with bad rows"
	default:
		v.Condition, v.Word = ConditionOK, "Done"
	}
	v.Took = "took " + l.span(max(end.Sub(run.Started).Seconds(), 0))
	if run.State == "running" {
		v.Took = "for " + l.span(max(end.Sub(run.Started).Seconds(), 0)) + " so far"
	}
	if more := run.Bad - int64(len(run.BadRows)); more > 0 && len(run.BadRows) > 0 {
		v.MoreBad = "and " + l.count(more) + " more"
	}
	return v
}

// opsAccount is the search for an account's page.
func (s *server) opsAccount(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimSpace(r.URL.Query().Get("id"))
	if id == "" {
		http.Redirect(w, r, "/ops", http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, accountPath(id), http.StatusSeeOther)
}

// collectorsView is the page of the collectors and their runs.
type collectorsView struct {
	Name       string
	Collectors []collectorView
	Runs       []runView
	Next       string
	First      string
	CSV        string
}

func (s *server) collectors(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	name := query.Get("name")
	st, err := s.Operator.Status(r.Context())
	if err != nil {
		s.fail(w, r, err, "page")
		return
	}
	page, err := s.Operator.Runs(r.Context(), name, query.Get("cursor"))
	if err != nil {
		s.fail(w, r, err, "collector")
		return
	}
	switch wants(r) {
	case "json":
		s.writeJSON(w, r, struct {
			Collectors []Collector `json:"collectors"`
			Runs       *RunPage    `json:"runs"`
		}{st.Collectors, page})
		return
	case "csv":
		s.runsCSV(w, r, page)
		return
	}
	l, now := localeOf(r.Header.Get("Accept-Language")), s.Now().UTC()
	v := &collectorsView{
		Name: name, Collectors: l.viewCollectors(st.Collectors, now),
		CSV: with(r.URL.Path, query, "format", "csv"),
	}
	for i := range page.Rows {
		v.Runs = append(v.Runs, l.viewRun(&page.Rows[i], now))
	}
	if page.Next != "" {
		v.Next = with(r.URL.Path, query, "cursor", page.Next) + "#runs"
	}
	if query.Get("cursor") != "" {
		v.First = with(r.URL.Path, query, "cursor", "") + "#runs"
	}
	title := "Collectors"
	if name != "" {
		title = "Collector " + name
	}
	s.render(w, r, http.StatusOK, "collectors", "layout", frame{Title: title, Area: "ops", Body: v})
}

// eventsView is the search for an event, and its way.
type eventsView struct {
	Source, ID string
	Problem    string
	Searched   bool
	Ways       []wayView
}

type wayView struct {
	Source, ID, Account, AccountHref, Product, Quantity string
	Time                                                instant
	Attributes                                          []Fact
	Steps                                               []stepOfWay
}

type stepOfWay struct {
	Title, What string
	Condition   Condition
	Word        string
	At          instant
	Facts       []Fact
}

var wayWords = map[string][2]string{
	"received": {"Received", "Somebody sent it to us"},
	"recorded": {"Recorded", "It stands in the log and cannot be lost"},
	"rated":    {"Rated", "A price was found and applied"},
	"rejected": {"Rejected", "It could not be rated"},
	"line":     {"Line", "It is part of an invoice line"},
	"report":   {"Report", "The reports count it"},
	"invoice":  {"Invoice", "Where it is charged"},
}

func (s *server) events(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	v := &eventsView{Source: strings.TrimSpace(query.Get("source")), ID: strings.TrimSpace(query.Get("id"))}
	status := http.StatusOK
	var ways []EventWay
	switch {
	case v.ID != "":
		found, err := s.Operator.Event(r.Context(), v.Source, v.ID)
		if err != nil {
			s.fail(w, r, err, "event")
			return
		}
		ways, v.Searched = found, true
	case query.Has("id") || v.Source != "":
		v.Problem, status = "Enter the event's id", http.StatusBadRequest
	}
	switch wants(r) {
	case "json":
		s.writeJSON(w, r, map[string]any{"data": append([]EventWay{}, ways...)})
		return
	case "csv":
		s.waysCSV(w, r, ways)
		return
	}
	l, now := localeOf(r.Header.Get("Accept-Language")), s.Now().UTC()
	for i := range ways {
		v.Ways = append(v.Ways, l.viewWay(&ways[i], now))
	}
	title := "Find an event"
	if v.Problem != "" {
		title = "Error: " + title
	}
	s.render(w, r, status, "events", "layout", frame{Title: title, Area: "ops", Body: v})
}

func (l locale) viewWay(way *EventWay, now time.Time) wayView {
	v := wayView{
		Source: way.Source, ID: way.ID, Account: way.Account, Product: way.Product, Quantity: l.number(way.Quantity),
		Time: clockTime(way.Time.UTC(), now),
	}
	if way.Account != "" {
		v.AccountHref = accountPath(way.Account)
	}
	for _, name := range slices.Sorted(maps.Keys(way.Attributes)) {
		v.Attributes = append(v.Attributes, Fact{Name: name, Value: way.Attributes[name]})
	}
	for i := range way.Steps {
		step := &way.Steps[i]
		words, known := wayWords[step.Name]
		if !known {
			words[0] = step.Name
		}
		view := stepOfWay{Title: words[0], What: words[1], Condition: step.Condition, Facts: step.Facts}
		switch step.Condition {
		case ConditionOK:
			view.Word = "Passed"
		case ConditionIdle:
			view.Word, view.What = "Not yet", ""
		case ConditionFailed:
			view.Word = "Ended here"
		default:
			view.Word = conditionWord(step.Condition)
		}
		if !step.At.IsZero() {
			view.At = clockTime(step.At.UTC(), now)
			view.At.Text = step.At.UTC().Format("15:04:05.000") + " UTC, " + step.At.UTC().Format("2 Jan 2006")
		}
		v.Steps = append(v.Steps, view)
	}
	return v
}

func (s *server) waysCSV(w http.ResponseWriter, r *http.Request, ways []EventWay) {
	out := csvOut(w, "event")
	_ = out.Write([]string{"source", "id", "step", "condition", "at", "fact", "value"})
	for i := range ways {
		for _, step := range ways[i].Steps {
			for _, fact := range append([]Fact{{}}, step.Facts...) {
				_ = out.Write([]string{cell(ways[i].Source), cell(ways[i].ID), step.Name, string(step.Condition), timeCell(step.At), fact.Name, cell(fact.Value)})
			}
		}
	}
	s.finish(r, out)
}

func (s *server) runsCSV(w http.ResponseWriter, r *http.Request, page *RunPage) {
	out := csvOut(w, "runs")
	_ = out.Write([]string{"collector", "run", "state", "file", "started", "ended", "rows", "accepted", "bad", "error"})
	for i := range page.Rows {
		run := &page.Rows[i]
		_ = out.Write([]string{cell(run.Collector), run.ID, run.State, cell(run.File), timeCell(run.Started), timeCell(run.Ended),
			strconv.FormatInt(run.Rows, 10), strconv.FormatInt(run.Accepted, 10), strconv.FormatInt(run.Bad, 10), cell(run.Error)})
	}
	s.finish(r, out)
}

func (s *server) statusCSV(w http.ResponseWriter, r *http.Request, st *Status) {
	out := csvOut(w, "stages")
	_ = out.Write([]string{"stage", "condition", "events_per_second", "lag_records", "lag_seconds", "received", "forwarded", "duplicates", "rejected", "errors"})
	for i := range st.Stages {
		g := &st.Stages[i]
		_ = out.Write([]string{g.Name, string(g.Condition), fmt.Sprintf("%.3f", g.PerSecond), strconv.FormatInt(g.LagRecords, 10),
			fmt.Sprintf("%.3f", g.LagSeconds), strconv.FormatInt(g.Received, 10), strconv.FormatInt(g.Forwarded, 10),
			strconv.FormatInt(g.Duplicates, 10), strconv.FormatInt(g.Rejected, 10), strconv.FormatInt(g.Errors, 10)})
	}
	s.finish(r, out)
}

func timeCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
