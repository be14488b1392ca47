package pages

import (
	"encoding/csv"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Rows of a job's tables on a page, and of a part of a download.
const (
	jobSums      = 50
	jobLines     = 100
	jobAccounts  = 50
	jobExportRow = 1000
)

// jobPageView is a job with what it did.
type jobPageView struct {
	Job      jobView
	Account  string // whose lines are shown; "": everybody's
	Begun    bool   // the reader has just begun it
	NoReport bool   // the report store does not answer
	Sums     jobTable
	Lines    jobTable
	Accounts jobTable
	All      string // the page without a filter
}

// jobTable is a page of one of a job's tables.
type jobTable struct {
	Changes          []reratedView
	Accounts         []accountJobView
	Next, First, CSV string
}

type accountJobView struct {
	Account, Href, Word string
	Condition           Condition
	Covers, Lines       string
	Left                []string
}

func (s *server) rerating(w http.ResponseWriter, r *http.Request) { s.showRerating(w, r, "layout") }
func (s *server) reratingFragments(w http.ResponseWriter, r *http.Request) {
	s.showRerating(w, r, "fragments")
}

// jobTables are a job's, in the order of the page: the name is that of the cursor in the address, too.
var jobTables = []struct {
	table RerateTable
	limit int
	of    func(*jobPageView) *jobTable
}{
	{RerateSums, jobSums, func(v *jobPageView) *jobTable { return &v.Sums }},
	{RerateLines, jobLines, func(v *jobPageView) *jobTable { return &v.Lines }},
	{RerateAccounts, jobAccounts, func(v *jobPageView) *jobTable { return &v.Accounts }},
}

func (s *server) showRerating(w http.ResponseWriter, r *http.Request, block string) {
	id, err := strconv.ParseInt(r.PathValue("job"), 10, 64)
	if err != nil {
		s.fail(w, r, ErrNotFound, "job")
		return
	}
	job, err := s.Reratings.RerateJob(r.Context(), id)
	if err != nil {
		s.fail(w, r, err, "job")
		return
	}
	query := r.URL.Query()
	query.Del("begun")
	if wants(r) == "csv" {
		s.jobCSV(w, r, job, query)
		return
	}
	l, now := localeOf(r.Header.Get("Accept-Language")), s.Now().UTC()
	v := &jobPageView{Job: l.viewJob(job, now), Account: strings.TrimSpace(query.Get("account")), Begun: r.URL.Query().Has("begun")}
	data := map[string]any{"job": job}
	for _, t := range jobTables {
		page, err := s.Reratings.RerateChanges(r.Context(), id, RerateChangesQuery{Table: t.table, Account: v.Account, Limit: t.limit, Cursor: query.Get(string(t.table))})
		if errors.Is(err, ErrUnavailable) && t.table != RerateAccounts && wants(r) == "html" { // how far the job is does not depend on the reports
			v.NoReport = true
			continue
		}
		if err != nil {
			s.fail(w, r, err, "page")
			return
		}
		data[string(t.table)] = page
		l.fillTable(t.of(v), page, v.Job.Href, string(t.table), query)
	}
	if wants(r) == "json" {
		s.writeJSON(w, r, data)
		return
	}
	v.All = with(v.Job.Href, query, "account", "", "lines", "", "sums", "", "accounts", "")
	f := frame{Title: "Re-rating " + v.Job.ID, Area: "ops", Body: v}
	if job.State == RerateRunning || block == "fragments" {
		f.Live = &live{Stream: "/ops/stream", Fragments: with(v.Job.Href+"/fragments", query)}
	}
	s.render(w, r, http.StatusOK, "rerate_job", block, f)
}

func (l locale) fillTable(t *jobTable, page *RerateChangePage, path, name string, query url.Values) {
	for i := range page.Changes {
		c := l.viewRerated(&page.Changes[i])
		if name == string(RerateSums) { // to its lines
			c.Href = with(path, url.Values{}, "account", c.Account) + "#lines"
		}
		t.Changes = append(t.Changes, c)
	}
	for i := range page.Accounts {
		t.Accounts = append(t.Accounts, l.viewAccountJob(&page.Accounts[i]))
	}
	if page.Next != "" {
		t.Next = with(path, query, name, page.Next) + "#" + name
	}
	if query.Get(name) != "" {
		t.First = with(path, query, name, "") + "#" + name
	}
	t.CSV = with(path, query, "sums", "", "lines", "", "accounts", "", "table", name, "format", "csv")
}

func (l locale) viewAccountJob(a *RerateAccount) accountJobView {
	product := "All products"
	if a.Product != "" {
		product = "Product " + a.Product
	}
	v := accountJobView{
		Account: a.Account, Href: accountPath(a.Account), Covers: product + ", " + periodsText(a.From, a.Until), Left: sentences(a.Message),
		Lines: l.count(a.Changed) + " of " + l.count(a.Lines),
	}
	switch {
	case a.State == RerateFailed:
		v.Condition, v.Word = ConditionFailed, "Failed"
	case a.State == RerateRunning:
		v.Condition, v.Word, v.Lines = ConditionIdle, "Not yet", "–"
	case a.Message != "":
		v.Condition, v.Word = ConditionDegraded, "Done, with exceptions"
	default:
		v.Condition, v.Word = ConditionOK, "Done"
	}
	return v
}

// jobCSV writes a job's table whole.
func (s *server) jobCSV(w http.ResponseWriter, r *http.Request, job *RerateJob, query url.Values) {
	q := RerateChangesQuery{Table: RerateLines, Account: strings.TrimSpace(query.Get("account")), Limit: jobExportRow}
	for _, t := range jobTables {
		if query.Get("table") == string(t.table) {
			q.Table = t.table
		}
	}
	page, err := s.Reratings.RerateChanges(r.Context(), job.ID, q)
	if err != nil {
		s.fail(w, r, err, "page")
		return
	}
	out := csvOut(w, "re-rating-"+strconv.FormatInt(job.ID, 10)+"-"+string(q.Table))
	first := true
	s.download(r, out, func() (int, string) {
		if q.Table == RerateAccounts {
			writeAccountJobs(out, page.Accounts, first)
		} else {
			writeChanges(out, page.Changes, first)
		}
		first = false
		return max(1, len(page.Changes)+len(page.Accounts)), page.Next
	}, func(cursor string) (err error) {
		q.Cursor = cursor
		page, err = s.Reratings.RerateChanges(r.Context(), job.ID, q)
		return err
	})
}

func writeChanges(out *csv.Writer, changes []RerateChange, header bool) {
	if header {
		_ = out.Write([]string{"account", "product", "package", "attributes", "line", "billed_account", "period", "closed", "lines", "currency", "before", "after", "difference"})
	}
	for i := range changes {
		c := &changes[i]
		_ = out.Write([]string{cell(c.Account), cell(c.Product), cell(c.Package), attributesCell(c.Attributes), c.Line, cell(c.Billed), timeCell(c.Period),
			strconv.FormatBool(c.Closed), strconv.FormatInt(c.Lines, 10), c.Currency, c.Before.Fixed(), c.After.Fixed(), c.Difference.Fixed()})
	}
}

func writeAccountJobs(out *csv.Writer, accounts []RerateAccount, header bool) {
	if header {
		_ = out.Write([]string{"account", "state", "product", "from", "until", "lines", "lines_changed", "message"})
	}
	for i := range accounts {
		a := &accounts[i]
		_ = out.Write([]string{cell(a.Account), a.State, cell(a.Product), timeCell(a.From), timeCell(a.Until),
			strconv.FormatInt(a.Lines, 10), strconv.FormatInt(a.Changed, 10), cell(a.Message)})
	}
}

// jobsCSV writes the list of jobs, page by page.
func (s *server) jobsCSV(w http.ResponseWriter, r *http.Request, page *RerateJobPage) {
	out := csvOut(w, "re-rating")
	_ = out.Write([]string{"job", "state", "phase", "cause", "by", "account", "product", "created", "ended", "lines_swept", "accounts", "accounts_done", "lines", "lines_changed", "left"})
	s.download(r, out, func() (int, string) {
		for i := range page.Rows {
			j := &page.Rows[i]
			cause := "definitions"
			if j.Demand {
				cause = "demand"
			}
			_ = out.Write([]string{strconv.FormatInt(j.ID, 10), j.State, j.Phase, cause, cell(j.By), cell(j.Account), cell(j.Product), timeCell(j.Created), timeCell(j.Ended),
				strconv.FormatInt(j.Swept, 10), strconv.FormatInt(j.Accounts, 10), strconv.FormatInt(j.Finished, 10),
				strconv.FormatInt(j.Lines, 10), strconv.FormatInt(j.Changed, 10), cell(j.Left)})
		}
		return len(page.Rows), page.Next
	}, func(cursor string) (err error) {
		page, err = s.Reratings.RerateJobs(r.Context(), false, cursor)
		return err
	})
}
