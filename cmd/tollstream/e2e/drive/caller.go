package drive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
)

// Caller is an outside user with a key.
type Caller struct {
	Address, Key string
}

var web = &http.Client{
	Timeout:   60 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
}

// Reply is what came back.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes one request; header holds pairs of names and values.
func (c *Caller) Do(method, path string, body io.Reader, header ...string) (*Reply, error) {
	r, err := http.NewRequest(method, "http://"+c.Address+path, body) //nolint:noctx // the client has a timeout
	if err != nil {
		return nil, err
	}
	if c.Key != "" {
		r.Header.Set("Authorization", "Bearer "+c.Key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := web.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return &Reply{res.StatusCode, res.Header, text}, nil
}

// Get reads a JSON document.
func (c *Caller) Get(path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.Call(http.MethodGet, path, nil, into)
}

// Call sends a JSON document and reads one.
func (c *Caller) Call(method, path string, send, into any) error {
	var body io.Reader
	if send != nil {
		text, err := json.Marshal(send)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	res, err := c.Do(method, path, body, "Content-Type", "application/json")
	if err != nil {
		return err
	}
	if res.Status >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, res.Status, res.Body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(res.Body, into)
}

// Run runs the program at path to its end, beside a server if the caller has one.
func (c *Caller) Run(ctx context.Context, path, dir, stdin string, args ...string) (stdout, stderr string, code int, err error) {
	cmd := exec.CommandContext(ctx, path, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.Env = Environment("TOLLSTREAM_HTTP_ADDR="+c.Address, "TOLLSTREAM_API_KEY="+c.Key)
	cmd.Dir = dir
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", "", 0, fmt.Errorf("run tollstream %s: %w", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode(), nil
}

// ErrNotNow is answered for a batch that may be sent again: the server was away, or asked for patience.
var ErrNotNow = errors.New("not acknowledged")

// Post sends a batch once. Only nil says that all of it was accepted; after ErrNotNow it may have been or not, and the same
// batch is to be sent again.
func (c *Caller) Post(b *Batch) error {
	header := []string{"Content-Type", b.ContentType}
	if b.Encoding != "" {
		header = append(header, "Content-Encoding", b.Encoding)
	}
	res, err := c.Do(http.MethodPost, "/v1/usage", bytes.NewReader(b.Body), header...)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotNow, err)
	case res.Status == http.StatusTooManyRequests || res.Status == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %d %s", ErrNotNow, res.Status, res.Body)
	case res.Status != http.StatusAccepted:
		return fmt.Errorf("answered %d: %s", res.Status, res.Body)
	}
	var answer struct {
		Accepted int
		Rejected []any
	}
	if err := json.Unmarshal(res.Body, &answer); err != nil {
		return err
	}
	if answer.Accepted != b.Events || len(answer.Rejected) > 0 {
		return fmt.Errorf("accepted %d of %d: %s", answer.Accepted, b.Events, res.Body)
	}
	return nil
}

// InvoiceAt reads the invoice of the period that contains an instant: the live one where it does.
func (c *Caller) InvoiceAt(account string, at time.Time) (*oracle.Invoice, error) {
	i := new(oracle.Invoice)
	path := "/v1/accounts/" + url.PathEscape(account) + "/invoice"
	if err := c.Get(path, nil, i); err != nil {
		return nil, err
	}
	if !at.Before(i.Period.Start) && at.Before(i.Period.End) {
		return i, nil
	}
	i = new(oracle.Invoice)
	return i, c.Get(path, url.Values{"period": {at.Format(time.RFC3339)}}, i)
}

// Revenue reads the report store's sums of a month by billed account.
func (c *Caller) Revenue(month string) (map[string]*big.Rat, error) {
	got := map[string]*big.Rat{}
	for cursor := ""; ; {
		var page struct {
			Data []struct {
				Billed string `json:"billed_account"`
				Amount string `json:"amount"`
			}
			Next *string
		}
		query := url.Values{"period": {month}, "group_by": {"billed_account"}, "limit": {"150"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if err := c.Get("/v1/reports/revenue", query, &page); err != nil {
			return nil, err
		}
		for _, row := range page.Data {
			amount, err := oracle.Decimal(row.Amount)
			if err != nil {
				return nil, err
			}
			if got[row.Billed] != nil {
				return nil, fmt.Errorf("%s stands twice in the report", row.Billed)
			}
			got[row.Billed] = amount
		}
		if page.Next == nil {
			return got, nil
		}
		cursor = *page.Next
	}
}

// SameTotals names the first billed account whose sum is not what its bill says.
func SameTotals(got map[string]*big.Rat, bills map[string]*oracle.Expectation) error {
	for account, want := range bills {
		if got[account] == nil || got[account].Cmp(want.Total) != 0 {
			return fmt.Errorf("%s: %v, want %s", account, got[account], want.Total.FloatString(12))
		}
	}
	if len(got) != len(bills) {
		return fmt.Errorf("%d accounts, want %d", len(got), len(bills))
	}
	return nil
}

// Counts are what reconcile counts.
type Counts struct{ Accepted, Retried, Rated, Duplicates, Rejected int64 }

// Reconciled reads what the command reconcile printed as JSON and sums its partitions; it fails if the month does not agree.
func Reconciled(stdout string) (sum Counts, err error) {
	var answer struct {
		Agrees     bool
		Partitions []Counts
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		return sum, err
	}
	if !answer.Agrees {
		return sum, errors.New("exit code 0, and it does not agree")
	}
	for _, p := range answer.Partitions {
		sum.Accepted += p.Accepted
		sum.Retried += p.Retried
		sum.Rated += p.Rated
		sum.Duplicates += p.Duplicates
		sum.Rejected += p.Rejected
	}
	return sum, nil
}
