package pages

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reratingsView is the list of jobs that rate usage anew, with the form that begins one; or what one would change.
type reratingsView struct {
	Form    rerateForm
	Running []jobView
	Jobs    []jobView
	Next    string
	First   string
	CSV     string
	Trial   *trialView // what would change; nil: the list
}

// rerateForm is what the reader filled in, and what is wrong with it.
type rerateForm struct {
	RerateQuestion
	Problem string
	Wrong   string // the field
}

// jobView is a job on a page. Its times are UTC.
type jobView struct {
	ID          string
	Href        string
	Cause       string
	By          string
	Definitions []string
	MoreDefs    string
	Covers      string
	Condition   Condition
	Word        string
	Progress    string // words
	Percent     string // of the bar; "": there is none
	Holds       []holdView
	Left        []string
	Created     instant
	Took        string
}

// holdView is what a job waits for; Stopped: it waits in vain until somebody sees to it.
type holdView struct {
	Text    string
	Stopped bool
}

type trialView struct {
	Sums    []reratedView // by currency
	Changes []reratedView
	More    string // changes that are not shown
	Summary string
	Left    []string
	CSRF    string
	CSV     string
}

// reratedView is a line, or the sum of lines, before and after.
type reratedView struct {
	Account, AccountHref, Detail string
	Lines, Product, Href, Period string
	Closed                       bool
	Currency                     string
	Before, After, Difference    amount
	differs                      bool
}

// mostTrialRows bounds the lines of a trial that a page shows; the download has all.
const mostTrialRows = 500

func (s *server) reratings(w http.ResponseWriter, r *http.Request) {
	s.showReratings(w, r, http.StatusOK, "layout", rerateForm{})
}

func (s *server) reratingsFragments(w http.ResponseWriter, r *http.Request) {
	s.showReratings(w, r, http.StatusOK, "fragments", rerateForm{})
}

func (s *server) showReratings(w http.ResponseWriter, r *http.Request, status int, block string, form rerateForm) {
	query := r.URL.Query()
	cursor := query.Get("cursor")
	if status != http.StatusOK { // a form that was refused, whose values stand in the address
		query, cursor = url.Values{}, ""
	}
	page, err := s.Reratings.RerateJobs(r.Context(), false, cursor)
	if err != nil {
		s.fail(w, r, err, "page")
		return
	}
	switch wants(r) {
	case "json":
		s.writeJSON(w, r, page)
		return
	case "csv":
		s.jobsCSV(w, r, page)
		return
	}
	running, err := s.Reratings.RerateJobs(r.Context(), true, "")
	if err != nil {
		s.fail(w, r, err, "page")
		return
	}
	const path = "/ops/rerate"
	l, now := localeOf(r.Header.Get("Accept-Language")), s.Now().UTC()
	v := &reratingsView{Form: form, CSV: path + "?format=csv", Running: l.viewJobs(running.Rows, now), Jobs: l.viewJobs(page.Rows, now)}
	if page.Next != "" {
		v.Next = with(path, query, "cursor", page.Next) + "#jobs"
	}
	if cursor != "" {
		v.First = with(path, query, "cursor", "") + "#jobs"
	}
	title := "Re-rating"
	if form.Problem != "" {
		title = "Error: " + title
	}
	s.render(w, r, status, "rerate", block, frame{
		Title: title, Area: "ops", Body: v, Live: &live{Stream: "/ops/stream", Fragments: with(path+"/fragments", query)},
	})
}

func (l locale) viewJobs(jobs []RerateJob, now time.Time) []jobView {
	views := make([]jobView, len(jobs))
	for i := range jobs {
		views[i] = l.viewJob(&jobs[i], now)
	}
	return views
}

func jobPath(id int64) string { return "/ops/rerate/" + strconv.FormatInt(id, 10) }

func (l locale) viewJob(j *RerateJob, now time.Time) jobView {
	v := jobView{
		ID: strconv.FormatInt(j.ID, 10), Href: jobPath(j.ID), Cause: "Definitions changed", By: j.By, Covers: l.covers(j),
		Created: clockTime(j.Created.UTC(), now), Progress: l.jobProgress(j), Left: sentences(j.Left),
	}
	if j.Demand {
		v.Cause = "Asked for"
	}
	for _, d := range j.Definitions {
		name := strings.ReplaceAll(d.Kind, "_", " ") + " " + d.ID
		if d.Deleted {
			name += ", deleted"
		}
		v.Definitions = append(v.Definitions, name)
	}
	if j.More > 0 {
		v.MoreDefs = "and " + l.count(j.More) + " more"
	}
	end := j.Ended
	if j.State == RerateRunning {
		end = now
		v.Percent = "0%"
		if j.Phase == "accounts" && j.Accounts > 0 {
			v.Percent = strconv.FormatInt(j.Finished*100/j.Accounts, 10) + "%"
		}
		v.Holds = l.holds(j)
	}
	took := l.span(max(end.Sub(j.Created).Seconds(), 0))
	v.Took = "took " + took
	if j.State == RerateRunning {
		v.Took = "for " + took + " so far"
	}
	v.Condition, v.Word = jobCondition(j)
	return v
}

func jobCondition(j *RerateJob) (Condition, string) {
	switch {
	case j.State == RerateFailed:
		return ConditionFailed, "Failed"
	case j.State == RerateDone && j.Left != "":
		return ConditionDegraded, "Done, with exceptions"
	case j.State == RerateDone:
		return ConditionOK, "Done"
	case slices.ContainsFunc(j.Waits, func(p Partition) bool { return p.Note != "" }):
		return ConditionFailed, "Held up"
	case j.Behind != 0:
		return ConditionIdle, "Waiting"
	}
	return ConditionOK, "Running"
}

// holds says what a job waits for.
func (l locale) holds(j *RerateJob) (holds []holdView) {
	if j.Behind != 0 {
		holds = append(holds, holdView{Text: "Job " + strconv.FormatInt(j.Behind, 10) + " comes first"})
	}
	var numbers []string
	for _, p := range j.Waits {
		number := strconv.Itoa(int(p.Number))
		if p.Note == "" {
			numbers = append(numbers, number)
			continue
		}
		holds = append(holds, holdView{"Partition " + number + " has stopped at offset " + l.count(p.Offset) + ": " + p.Note, true})
	}
	switch len(numbers) {
	case 0:
	case 1:
		holds = append(holds, holdView{Text: "Waits for partition " + numbers[0]})
	default:
		holds = append(holds, holdView{Text: "Waits for the partitions " + strings.Join(numbers, ", ")})
	}
	return holds
}

// covers says which usage a job concerns.
func (l locale) covers(j *RerateJob) string {
	if j.Demand {
		product := "all products"
		if j.Product != "" {
			product = "product " + j.Product
		}
		return "Account " + j.Account + ", " + product + ", " + periodsText(j.From, j.Until)
	}
	var parts []string
	if j.Swept > 0 {
		parts = append(parts, l.things(j.Swept, "line")+" by price")
	}
	if j.Accounts > 0 {
		parts = append(parts, "usage of "+l.things(j.Accounts, "account"))
	}
	switch {
	case len(parts) > 0:
		return capital(strings.Join(parts, ", "))
	case j.State == RerateRunning:
		return "Not known yet"
	}
	return "Nothing that was rated"
}

// periodsText says which billing periods are meant: those that end after the one and begin before the other, in UTC.
func periodsText(from, until time.Time) string {
	from, until = from.UTC(), until.UTC()
	switch {
	case from.IsZero() && until.IsZero():
		return "all periods"
	case until.Sub(from) == 1:
		return "the period of " + from.Format("2 Jan 2006")
	case from.IsZero():
		return "periods before " + momentText(until)
	case until.IsZero():
		return "periods after " + momentText(from)
	}
	return "periods from " + momentText(from) + " to " + momentText(until)
}

// momentText writes a day, with the time of day unless it is midnight.
func momentText(t time.Time) string {
	if t = t.UTC(); isMidnight(t) {
		return t.Format("2 Jan 2006")
	}
	return t.Format("2 Jan 2006, 15:04")
}

// jobProgress says how far a job is, or what it came to.
func (l locale) jobProgress(j *RerateJob) string {
	if j.State == RerateRunning {
		switch j.Phase {
		case "looking":
			return "Looking for lines that it concerns"
		case "waiting":
			return "Waiting until " + l.things(j.Swept, "line") + " took over their prices"
		}
		return l.count(j.Finished) + " of " + l.things(j.Accounts, "account") + " added up again"
	}
	var parts []string
	if j.Swept > 0 {
		parts = append(parts, l.things(j.Swept, "line")+" took over new prices")
	}
	if j.Lines > 0 {
		parts = append(parts, l.things(j.Lines, "line")+" added up again, "+l.count(j.Changed)+" changed")
	}
	if len(parts) == 0 {
		return "Nothing had to change"
	}
	return strings.Join(parts, "; ")
}

// things counts in words.
func (l locale) things(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return l.count(n) + " " + thing + "s"
}

// sentences are the parts of a message that several said.
func sentences(message string) []string {
	if message == "" {
		return nil
	}
	return strings.Split(message, "; ")
}

// rerateTry shows what would change.
func (s *server) rerateTry(w http.ResponseWriter, r *http.Request) {
	if !s.Viewer(r).MayRate {
		s.showProblem(w, r, problem{
			Status: http.StatusForbidden, Heading: "You may look, but not rate anew",
			Text: "Your key reads only. Ask somebody with the role support or admin.", Back: "/ops/rerate", BackWord: "Back to re-rating",
		})
		return
	}
	form := rerateFormOf(r.URL.Query())
	if form.Problem != "" {
		s.showReratings(w, r, http.StatusBadRequest, "layout", form)
		return
	}
	trial, err := s.Rerater.TryRerate(r.Context(), form.RerateQuestion)
	if s.wrongField(w, r, err, form) {
		return
	}
	switch wants(r) {
	case "json":
		s.writeJSON(w, r, trial)
		return
	case "csv":
		out := csvOut(w, "re-rating-"+form.Account)
		writeChanges(out, trial.Changes, true)
		s.finish(r, out)
		return
	}
	v, err := localeOf(r.Header.Get("Accept-Language")).viewTrial(trial)
	if err != nil {
		s.fail(w, r, err, "page")
		return
	}
	v.CSRF, v.CSV = s.token(w, r), with(r.URL.Path, r.URL.Query(), "format", "csv")
	s.render(w, r, http.StatusOK, "rerate", "layout", frame{
		Title: "Rate " + form.Account + " anew", Area: "ops", Body: &reratingsView{Form: form, Trial: v},
	})
}

// wrongField answers an error, if there is one: a field that names what is not there shows the form again.
func (s *server) wrongField(w http.ResponseWriter, r *http.Request, err error, form rerateForm) bool {
	var wrong *WrongField
	switch {
	case errors.As(err, &wrong):
		form.Problem, form.Wrong = wrong.Text, wrong.Field
		s.showReratings(w, r, http.StatusUnprocessableEntity, "layout", form)
	case err != nil:
		s.fail(w, r, err, "page")
	}
	return err != nil
}

func rerateFormOf(values url.Values) rerateForm {
	value := func(name string) string { return strings.TrimSpace(values.Get(name)) }
	f := rerateForm{RerateQuestion: RerateQuestion{Account: value("account"), Product: value("product"), Period: value("period")}}
	if f.Account == "" {
		f.Problem, f.Wrong = "Enter the account's id", "account"
	} else if _, err := time.Parse(dayLayout, f.Period); f.Period != "" && err != nil {
		f.Problem, f.Wrong = "Enter a day of the period, such as 2026-11-21", "period"
	}
	return f
}

// viewTrial shows the lines that would change first.
func (l locale) viewTrial(t *RerateTrial) (*trialView, error) {
	v := &trialView{Left: sentences(t.Message), Summary: l.things(t.Lines, "line") + " added up again, " + l.count(t.Changed) + " would change"}
	if t.Lines == 0 {
		v.Summary = "No usage of this is stored"
	}
	sums := map[string]*RerateChange{}
	var order []*RerateChange
	for i := range t.Changes {
		c := &t.Changes[i]
		sum := sums[c.Currency]
		if sum == nil {
			sum = &RerateChange{Currency: c.Currency}
			sums[c.Currency], order = sum, append(order, sum)
		}
		if err := sum.add(c); err != nil {
			return nil, err
		}
		v.Changes = append(v.Changes, l.viewRerated(c))
	}
	for _, sum := range order {
		v.Sums = append(v.Sums, l.viewRerated(sum))
	}
	slices.SortStableFunc(v.Changes, func(a, b reratedView) int {
		switch {
		case a.differs == b.differs:
			return 0
		case a.differs:
			return -1
		}
		return 1
	})
	if more := len(v.Changes) - mostTrialRows; more > 0 {
		v.Changes, v.More = v.Changes[:mostTrialRows], l.count(int64(more))
	}
	return v, nil
}

func (c *RerateChange) add(o *RerateChange) (err error) {
	c.Lines++
	if c.Before.Decimal, err = c.Before.Add(o.Before.Decimal); err != nil {
		return err
	}
	if c.After.Decimal, err = c.After.Add(o.After.Decimal); err != nil {
		return err
	}
	c.Difference.Decimal, err = c.Difference.Add(o.Difference.Decimal)
	return err
}

func (l locale) viewRerated(c *RerateChange) reratedView {
	v := reratedView{
		Account: c.Account, AccountHref: accountPath(c.Account), Lines: l.count(c.Lines), Product: c.Product, Closed: c.Closed, Currency: c.Currency,
		Before: l.amount(c.Before.Decimal, c.Currency), After: l.amount(c.After.Decimal, c.Currency), Difference: l.amount(c.Difference.Decimal, c.Currency),
		differs: !c.Difference.IsZero(),
	}
	v.Difference.Text = signed(v.Difference.Text, c.Difference.Sign())
	if c.Package != "" {
		v.Detail = "package " + c.Package
	}
	v.Detail = strings.Join(slices.DeleteFunc([]string{v.Detail, attributesText(c.Attributes)}, func(s string) bool { return s == "" }), ", ")
	if c.Line != "" {
		v.Href = linePath(c.Billed, c.Line)
	}
	if !c.Period.IsZero() {
		v.Period = momentText(c.Period)
	}
	return v
}

// rerate begins.
func (s *server) rerate(w http.ResponseWriter, r *http.Request) {
	words := formWords{Back: "/ops/rerate", BackWord: "Back to re-rating", Nothing: "Nothing was begun.", Verb: "rate anew"}
	if !s.mayPost(w, r, words, func(v Viewer) bool { return v.MayRate }) {
		return
	}
	form := rerateFormOf(r.PostForm)
	if form.Problem != "" {
		s.showReratings(w, r, http.StatusBadRequest, "layout", form)
		return
	}
	id, err := s.Rerater.Rerate(r.Context(), form.RerateQuestion)
	if s.wrongField(w, r, err, form) {
		return
	}
	s.Log.InfoContext(r.Context(), "usage is rated anew", "account", form.Account, "product", form.Product, "period", form.Period, "job", id)
	http.Redirect(w, r, jobPath(id)+"?begun", http.StatusSeeOther)
}
