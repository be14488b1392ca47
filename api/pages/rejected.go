package pages

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// rejectedView is the list of rejected usage, as the reader filtered it.
type rejectedView struct {
	Filter   RejectedFilter
	Filtered bool
	Reasons  []option
	Rows     []rejectedRow
	Next     string
	First    string
	CSV      string
	CSRF     string
	All      string // the filter as a form carries it
	Retried  string // what a retry did
}

type rejectedRow struct {
	Source, ID, Account, Product string
	Quantity                     string
	Time, Arrived                instant
	What, Help, Detail           string
	Href                         string
	One                          string // a filter that matches this event alone
}

var knownReasons = []string{"account_unknown", "product_unknown", "no_rate", "not_provisioned", "too_old", "too_new", "duplicate_conflict", "late", "quantity_negative", "amount_missing", "attribute_missing", "values_gone", "period_unbounded", "quantity_positive", "correction_waits", "correction_unknown", "correction_repeated", "correction_impossible"}

func rejectedFilter(q url.Values) RejectedFilter {
	value := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return RejectedFilter{value("reason"), value("account"), value("product"), value("source"), value("id")}
}

func (f RejectedFilter) query() url.Values {
	q := url.Values{}
	for _, member := range [][2]string{{"reason", f.Reason}, {"account", f.Account}, {"product", f.Product}, {"source", f.Source}, {"id", f.ID}} {
		if member[1] != "" {
			q.Set(member[0], member[1])
		}
	}
	return q
}

func (s *server) rejected(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	filter := rejectedFilter(query)
	page, err := s.Rejections.Rejected(r.Context(), filter, query.Get("cursor"))
	if err != nil {
		s.fail(w, r, err, "page")
		return
	}
	switch wants(r) {
	case "json":
		s.writeJSON(w, r, page)
		return
	case "csv":
		s.rejectedCSV(w, r, page)
		return
	}
	l, now := localeOf(r.Header.Get("Accept-Language")), s.Now().UTC()
	v := &rejectedView{
		Filter: filter, Filtered: filter != RejectedFilter{}, CSRF: s.token(w, r), All: filter.query().Encode(),
		CSV: with(r.URL.Path, filter.query(), "format", "csv"),
	}
	if n, err := strconv.ParseInt(query.Get("retried"), 10, 64); err == nil {
		v.Retried = l.count(n) + " events are on their way again."
		switch n {
		case 0:
			v.Retried = "There was nothing to retry."
		case 1:
			v.Retried = "1 event is on its way again."
		}
		query.Del("retried")
	}
	v.Reasons = append(v.Reasons, option{Text: "Any reason"})
	seen := filter.Reason == ""
	for _, reason := range knownReasons {
		what, _ := reasonWords(reason)
		v.Reasons = append(v.Reasons, option{reason, what, reason == filter.Reason})
		seen = seen || reason == filter.Reason
	}
	if !seen {
		what, _ := reasonWords(filter.Reason)
		v.Reasons = append(v.Reasons, option{filter.Reason, what, true})
	}
	for i := range page.Rows {
		v.Rows = append(v.Rows, l.viewRejected(&page.Rows[i], now))
	}
	if page.Next != "" {
		v.Next = with(r.URL.Path, query, "cursor", page.Next) + "#list"
	}
	if query.Get("cursor") != "" {
		v.First = with(r.URL.Path, query, "cursor", "") + "#list"
	}
	s.render(w, r, http.StatusOK, "rejected", "layout", frame{Title: "Rejected usage", Area: "ops", Body: v})
}

func (l locale) viewRejected(e *RejectedEvent, now time.Time) rejectedRow {
	row := rejectedRow{
		Source: e.Source, ID: e.ID, Account: e.Account, Product: e.Product, Quantity: l.number(e.Quantity),
		Time: clockTime(e.Time.UTC(), now), Arrived: clockTime(e.Arrived.UTC(), now), Detail: e.Detail,
		Href: with("/ops/events", url.Values{}, "source", e.Source, "id", e.ID),
		One:  RejectedFilter{Reason: e.Reason, Account: e.Account, Source: e.Source, ID: e.ID}.query().Encode(),
	}
	row.What, row.Help = reasonWords(e.Reason)
	return row
}

// retry puts rejected usage back into the log: what the pressed button's filter matches.
func (s *server) retry(w http.ResponseWriter, r *http.Request) {
	words := formWords{Back: "/ops/rejected", BackWord: "Back to rejected usage", Nothing: "Nothing was retried.", Verb: "retry"}
	if !s.mayPost(w, r, words, func(v Viewer) bool { return v.MayRetry }) {
		return
	}
	fields, err := url.ParseQuery(r.PostForm.Get("filter"))
	if err != nil || !r.PostForm.Has("filter") { // a missing filter must never mean everything
		s.showProblem(w, r, problem{
			Status: http.StatusBadRequest, Heading: "The form does not say what to retry",
			Text: words.Nothing, Back: words.Back, BackWord: words.BackWord,
		})
		return
	}
	filter := rejectedFilter(fields)
	n, err := s.Rejections.RetryRejected(r.Context(), filter)
	if err != nil {
		s.fail(w, r, err, "list")
		return
	}
	s.Log.InfoContext(r.Context(), "rejected usage retried", "events", n, "reason", filter.Reason, "account", filter.Account)
	back := filter
	back.ID, back.Source = "", ""
	if filter.ID != "" { // of one event: back to the list that the button stood in, which is not known; show all
		back = RejectedFilter{}
	}
	http.Redirect(w, r, with("/ops/rejected", back.query(), "retried", strconv.FormatInt(n, 10)), http.StatusSeeOther)
}

func (s *server) rejectedCSV(w http.ResponseWriter, r *http.Request, page *RejectedPage) {
	out := csvOut(w, "rejected-usage")
	_ = out.Write([]string{"source", "id", "account", "product", "quantity", "time", "arrived", "reason", "detail"})
	filter := rejectedFilter(r.URL.Query())
	s.download(r, out, func() (int, string) {
		for i := range page.Rows {
			e := &page.Rows[i]
			_ = out.Write([]string{cell(e.Source), cell(e.ID), cell(e.Account), cell(e.Product), e.Quantity.String(),
				timeCell(e.Time), timeCell(e.Arrived), e.Reason, cell(e.Detail)})
		}
		return len(page.Rows), page.Next
	}, func(cursor string) (err error) {
		page, err = s.Rejections.Rejected(r.Context(), filter, cursor)
		return err
	})
}
