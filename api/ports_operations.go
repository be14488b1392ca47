package api

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/ledger/money"
)

// RejectedFilter narrows rejected usage; empty members match everything.
type RejectedFilter struct {
	Reason  string `json:"reason,omitempty" query:"reason" doc:"account_unknown, no_rate …"`
	Account string `json:"account,omitempty" query:"account" doc:"as it was sent"`
	Product string `json:"product,omitempty" query:"product" doc:"as it was sent"`
	Source  string `json:"source,omitempty" query:"source"`
	ID      string `json:"id,omitempty" query:"id" doc:"the event's id"`
}

// RejectedUsage is an event that was accepted and could not be rated, with its reason.
type RejectedUsage struct {
	Reason     string            `json:"reason"`
	Source     string            `json:"source"`
	ID         string            `json:"id"`
	Account    string            `json:"account" doc:"as it was sent"`
	Product    string            `json:"product"`
	Quantity   money.Decimal     `json:"quantity"`
	Time       time.Time         `json:"time"`
	Attributes map[string]string `json:"attributes"`
	ReceivedAt time.Time         `json:"received_at"`
	Partition  int32             `json:"partition"`
	Offset     int64             `json:"offset"`
	Index      int               `json:"index"`
	Raw        []byte            `json:"raw,omitempty" doc:"base64 of a record that could not be decoded"`
}

// ReasonCount counts rejected usage by reason.
type ReasonCount struct {
	Reason string    `json:"reason"`
	Count  int64     `json:"count"`
	Oldest time.Time `json:"oldest" doc:"arrival"`
	Newest time.Time `json:"newest" doc:"arrival"`
}

// RejectedPage is a page of rejected usage.
type RejectedPage struct {
	Data   []RejectedUsage `json:"data"`
	Next   *string         `json:"next"`
	Counts []ReasonCount   `json:"counts" doc:"of everything that the filter matches, not of this page"`
}

// Rejections reads rejected usage and tries it again.
type Rejections interface {
	// Rejected returns a page of what waits for a retry, newest arrival first. An unknown cursor is an ErrInvalid.
	Rejected(ctx context.Context, f RejectedFilter, cursor string, limit int) (*RejectedPage, error)
	// RetryRejected puts what matches (an empty filter: all) back into the log, under its source and id, and returns
	// how many events that were once the log has them; they leave the list. Repeatable: nothing is retried twice for one rejection.
	RetryRejected(ctx context.Context, f RejectedFilter) (int64, error)
	// SkipEvent tells the rater to reject an event unseen, on which it fails again and again. Repeatable.
	SkipEvent(ctx context.Context, at EventPlace) error
}

// EventPlace is an event's place in the usage log.
type EventPlace struct {
	Partition int32 `json:"partition" minimum:"0"`
	Offset    int64 `json:"offset" minimum:"0"`
	Index     int   `json:"index" minimum:"0" doc:"of the event in its record"`
}

// CollectorInfo is a configured collector.
type CollectorInfo struct {
	Name    string          `json:"name"`
	Config  json.RawMessage `json:"config" doc:"as it was put, without credentials"`
	State   string          `json:"state" enum:"idle,running,failed,paused"`
	NextDue *time.Time      `json:"next_due,omitempty" doc:"by its schedule"`
	Alerts  []string        `json:"alerts,omitempty" doc:"why somebody should look at it"`
	LastRun *Run            `json:"last_run,omitempty"`
	// LastPass is its last look at the place where its files lie.
	LastPass *collector.Pass `json:"last_pass,omitempty"`
}

// Run is one run of a collector.
type Run struct {
	ID        string     `json:"id"`
	Collector string     `json:"collector"`
	State     string     `json:"state" enum:"running,done,failed"`
	File      string     `json:"file,omitempty"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	Rows      int64      `json:"rows" doc:"read so far"`
	Accepted  int64      `json:"accepted" doc:"rows that were sent"`
	Filtered  int64      `json:"filtered" doc:"rows that shall make no event, by the collector's filter and conditions"`
	Bad       int64      `json:"bad" doc:"rows that could not be read or mapped, or were refused; rows = accepted + filtered + bad"`
	Events    int64      `json:"events" doc:"that the accepted rows made"`
	Error     string     `json:"error,omitempty"`
	BadRows   []BadRow   `json:"bad_rows,omitempty" doc:"the first ones"`
}

// BadRow is a row that a collector could not take.
type BadRow struct {
	File   string `json:"file,omitempty"`
	Line   int64  `json:"line" doc:"counted as an editor does, from 1"`
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason"`
}

// CollectorConfigs keeps the collectors' configurations.
type CollectorConfigs interface {
	// Collectors returns all of them ordered by name.
	Collectors(ctx context.Context) ([]CollectorInfo, error)
	// PutCollector creates or replaces one. Errors: DocumentErrors.
	PutCollector(ctx context.Context, name string, d Document) (info *CollectorInfo, created bool, err error)
}

// CollectorRuns starts runs and reads their history. An unknown collector is an ErrNotFound.
type CollectorRuns interface {
	// StartRun starts a run in the background and returns at once; ErrConflict when one is running.
	StartRun(ctx context.Context, collector string) (*Run, error)
	// Runs returns a page, newest first.
	Runs(ctx context.Context, collector, cursor string, limit int) (data []Run, next string, err error)
}

// CollectorControl pauses collectors, tries them and reads their history in detail. An unknown collector is an ErrNotFound.
type CollectorControl interface {
	// PauseCollector pauses or resumes one; it may be repeated.
	PauseCollector(ctx context.Context, collector string, paused bool) (*CollectorInfo, error)
	// Passes returns a page of looks at the collector's place, newest first.
	Passes(ctx context.Context, collector, cursor string, limit int) (data []collector.Pass, next string, err error)
	// RunErrors returns a page of the rows that a run did not send, in the file's order.
	RunErrors(ctx context.Context, collector string, run int64, cursor string, limit int) (data []collector.RowError, next string, err error)
	// TryCollector maps a file and sends nothing. Errors: ErrInvalid for a file that cannot be read.
	TryCollector(ctx context.Context, collector string, u Upload, limit int) (*collector.Trial, error)
}

// Upload is a file that is sent to a collector.
type Upload struct {
	Collector string
	FileName  string
	Body      io.Reader // read once, as it arrives
	Backfill  bool
	Strict    bool // a bad row fails the run
}

// CollectorFiles processes uploaded files like any other file of the collector, while they arrive. It
// returns when the file is done or kept durably; the run says which.
type CollectorFiles interface {
	UploadFile(ctx context.Context, u Upload) (*Run, error)
}

// ReportQuery asks for sums by account, product and day of event time.
type ReportQuery struct {
	From, To time.Time // [From, To) of event time
	Account  string    // who used; "": all
	Product  string    // "": all
	GroupBy  []string  // of Groups; currency is always one where there is money
	Zone     *time.Location
	Cursor   string
	Limit    int // rows of a page, at most MaxReportPage
}

// Groups are what reports can be split by.
var Groups = []string{"day", "account", "billed_account", "product", "package"}

// MaxReportPage bounds a page of a report.
const MaxReportPage = 10_000

// UsageRow is what was used.
type UsageRow struct {
	Day      string        `json:"day,omitempty" doc:"2026-11-03 in the time zone asked for"`
	Account  string        `json:"account,omitempty"`
	Billed   string        `json:"billed_account,omitempty" doc:"who is invoiced"`
	Product  string        `json:"product,omitempty"`
	Package  string        `json:"package,omitempty"`
	Quantity money.Decimal `json:"quantity"`
	Events   int64         `json:"events"`
}

// RevenueRow is what it cost.
type RevenueRow struct {
	Day      string      `json:"day,omitempty"`
	Account  string      `json:"account,omitempty" doc:"who used"`
	Billed   string      `json:"billed_account,omitempty" doc:"who is invoiced"`
	Product  string      `json:"product,omitempty"`
	Package  string      `json:"package,omitempty"`
	Currency string      `json:"currency"`
	Amount   money.Fixed `json:"amount" doc:"charges and adjustments, 12 decimals"`
	Events   int64       `json:"events"`
}

// Reports sums what the report store holds, each activity once. Rows come ordered by the query's groups, then currency;
// members that are not grouped by stay empty. next is "" at the end. A question that cannot be answered is an ErrInvalid.
type Reports interface {
	UsageReport(ctx context.Context, q ReportQuery) (rows []UsageRow, next string, err error)
	RevenueReport(ctx context.Context, q ReportQuery) (rows []RevenueRow, next string, err error)
}

// Reconciler proves that usage, activity and invoices agree for a UTC month of event time.
type Reconciler interface {
	// Deep also compares record by record, which reads the whole month.
	Reconcile(ctx context.Context, year int, month time.Month, deep bool) (*Reconciliation, error)
}

// Reconciliation is the answer; Agrees says whether there is no difference.
type Reconciliation struct {
	Period     string                `json:"period" example:"2026-11"`
	Agrees     bool                  `json:"agrees"`
	Deep       bool                  `json:"deep" doc:"compared record by record, not by sums alone"`
	Difference string                `json:"difference,omitempty" doc:"the first one, with its offset"`
	Pools      int                   `json:"pools" doc:"usage whose tiers several lines have together, that was held against these lines"`
	Partitions []ReconciledPartition `json:"partitions"`
	Sums       []ReconciledCurrency  `json:"sums"`
}

// ReconciledPartition is accepted + retried = rated + duplicates + rejected.
type ReconciledPartition struct {
	Partition  int32 `json:"partition"`
	Accepted   int64 `json:"accepted"`
	Retried    int64 `json:"retried"`
	Rated      int64 `json:"rated"`
	Duplicates int64 `json:"duplicates"`
	Rejected   int64 `json:"rejected"`
	Agrees     bool  `json:"agrees"`
}

// ReconciledCurrency is charges = lines = report store, on one partition.
type ReconciledCurrency struct {
	Partition int32       `json:"partition"`
	Currency  string      `json:"currency"`
	Charged   money.Fixed `json:"charged"`
	Lines     money.Fixed `json:"lines"`
	Reported  money.Fixed `json:"reported"`
	Agrees    bool        `json:"agrees"`
}

// ActivityQuery narrows activities; empty members match everything. At least Account or EventID is given.
type ActivityQuery struct {
	Account    string // who used
	Line       string // 32 hexadecimal digits
	Product    string
	From, To   time.Time // of event time; zero: open
	Attributes map[string]string
	Source     string
	EventID    string
	Cursor     string
	Limit      int
}

// Activity is one charge.
type Activity struct {
	Kind         string            `json:"kind" enum:"usage,adjustment"`
	ID           string            `json:"id,omitempty" doc:"of the usage event"`
	Source       string            `json:"source,omitempty"`
	Time         time.Time         `json:"time" doc:"of the event"`
	Account      string            `json:"account"`
	Billed       string            `json:"billed"`
	Product      string            `json:"product"`
	Package      *string           `json:"package"`
	Attributes   map[string]string `json:"attributes"`
	Quantity     money.Decimal     `json:"quantity"`
	Charge       money.Fixed       `json:"charge"`
	Currency     string            `json:"currency"`
	Rate         ActivityRate      `json:"rate"`
	Invoice      string            `json:"invoice"`
	Line         string            `json:"line"`
	LineAmount   money.Fixed       `json:"line_amount" doc:"of the line after this charge"`
	EventPackage string            `json:"event_package,omitempty" doc:"the package that the event named"`
	Amount       *ActivityAmount   `json:"amount,omitempty" doc:"the money that the event carried"`
	Corrects     *EventName        `json:"corrects,omitempty" doc:"the usage event that this one corrects"`
	ActivatedSeq int64             `json:"activated_seq" doc:"definitions that it was priced under"`
	Partition    int32             `json:"partition"`
	Offset       int64             `json:"offset"`
	Index        int               `json:"index"`
	LogTime      time.Time         `json:"log_time" doc:"when the log had it"`
	Activity     string            `json:"activity,omitempty" doc:"its own id, by which it is explained"`
}

// ActivityRate says where the price came from.
type ActivityRate struct {
	Level   string `json:"level"`
	Account string `json:"account,omitempty"`
	ID      string `json:"id"`
	Model   string `json:"model"`
	Seq     int64  `json:"seq"`

	Currency string    `json:"currency,omitempty" doc:"of the rate's prices where it is another than the line's"`
	Exchange *Exchange `json:"exchange,omitempty" doc:"what turned the rate's prices into the line's currency"`
}

// ActivityAmount is the money of a usage event, as it was sent.
type ActivityAmount struct {
	Amount   money.Decimal `json:"amount"`
	Currency string        `json:"currency"`
	Exchange *Exchange     `json:"exchange,omitempty" doc:"what turned the amount into the rate's currency"`
}

// Exchange is an exchange rate that was used.
type Exchange struct {
	Rate money.Decimal `json:"rate" doc:"what one unit costs"`
	Date string        `json:"date" doc:"of which the rate is" example:"2026-11-20"`
}

// ActivityPage is a page of activities.
type ActivityPage struct {
	Data []Activity
	Next string
}

// Activities reads rated activity from the report store, newest in the log first. An unknown cursor is an ErrInvalid.
type Activities interface {
	Activities(ctx context.Context, q ActivityQuery) (*ActivityPage, error)
}

// Status is the state of the path that usage takes.
type Status struct {
	At         time.Time        `json:"at"`
	Stages     []StageStatus    `json:"stages" doc:"in the order in which usage passes them"`
	Stores     []StoreStatus    `json:"stores"`
	Rejected   []ReasonCount    `json:"rejected" doc:"waiting for a retry"`
	Partitions []PartitionAlarm `json:"partitions" doc:"only those that somebody has to look at"`
}

// StageStatus is one stage; at rest received = forwarded + duplicates + rejected.
type StageStatus struct {
	Name            string   `json:"name" enum:"api,collector,rater,live,sink"`
	Condition       string   `json:"condition" enum:"ok,idle,degraded,failed"`
	Note            string   `json:"note,omitempty" doc:"why it is not ok, and what to do"`
	Received        int64    `json:"received"`
	Forwarded       int64    `json:"forwarded"`
	Duplicates      int64    `json:"duplicates"`
	Rejected        int64    `json:"rejected"`
	Errors          int64    `json:"errors"`
	EventsPerSecond float64  `json:"events_per_second"`
	LagRecords      *int64   `json:"lag_records,omitempty"`
	LagSeconds      *float64 `json:"lag_seconds,omitempty"`
}

// StoreStatus is a server that the program needs.
type StoreStatus struct {
	Name    string `json:"name"`
	Ready   bool   `json:"ready"`
	Message string `json:"message,omitempty"`
}

// PartitionAlarm is a partition that stands still.
type PartitionAlarm struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Note      string `json:"note"`
}

// Operations reads the path's state; it must answer even when a store does not, and say so.
type Operations interface {
	Status(ctx context.Context) (*Status, error)
}
