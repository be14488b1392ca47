package pages

import (
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// Condition says how something that runs is doing.
type Condition string

// The conditions. Degraded works but late; failed does not work.
const (
	ConditionOK       Condition = "ok"
	ConditionIdle     Condition = "idle"
	ConditionDegraded Condition = "degraded"
	ConditionFailed   Condition = "failed"
)

// Status is what an operator looks at first.
type Status struct {
	At         time.Time     `json:"at"`
	Stages     []Stage       `json:"stages"` // in the order in which usage passes them
	Stores     []Store       `json:"stores"`
	Rejected   []ReasonCount `json:"rejected"` // waiting for a retry, most first
	Collectors []Collector   `json:"collectors"`
	Partitions []Partition   `json:"partitions"` // only those that an operator has to look at
}

// Stage is one stage of the path.
type Stage struct {
	Name       string    `json:"name"` // api, collector, rater, live, sink
	Condition  Condition `json:"condition"`
	Note       string    `json:"note,omitempty"` // why it is not ok, and what to do
	PerSecond  float64   `json:"events_per_second"`
	LagRecords int64     `json:"lag_records"` // -1: the stage has none
	LagSeconds float64   `json:"lag_seconds"` // -1: the stage has none

	Received   int64 `json:"received"` // Received = Forwarded + Duplicates + Rejected, at rest
	Forwarded  int64 `json:"forwarded"`
	Duplicates int64 `json:"duplicates"`
	Rejected   int64 `json:"rejected"`
	Errors     int64 `json:"errors"`
}

// Store is a server that the program needs.
type Store struct {
	Name    string `json:"name"` // kafka, postgres, redis, reports
	Ready   bool   `json:"ready"`
	Message string `json:"message,omitempty"` // why it is not ready
}

// Partition is a partition that needs attention.
type Partition struct {
	Number int32  `json:"partition"`
	Offset int64  `json:"offset"`
	Note   string `json:"note"`
}

// ReasonCount counts rejected usage by reason.
type ReasonCount struct {
	Reason string    `json:"reason"` // account_unknown, no_rate …
	Count  int64     `json:"count"`
	Oldest time.Time `json:"oldest"` // arrival
	Newest time.Time `json:"newest"`
}

// Collector is a configured collector with its last run.
type Collector struct {
	Name    string    `json:"name"`
	Source  string    `json:"source"` // folder, upload, webhook …
	Where   string    `json:"where"`  // path or address, without credentials
	Every   string    `json:"every"`  // 5m; "": by hand
	Next    time.Time `json:"next"`   // zero: none
	LastRun *Run      `json:"last_run,omitempty"`
}

// Run is one run of a collector.
type Run struct {
	ID        string    `json:"id"`
	Collector string    `json:"collector"`
	State     string    `json:"state"` // running done failed
	File      string    `json:"file,omitempty"`
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended"` // zero: still running
	Rows      int64     `json:"rows"`
	Accepted  int64     `json:"accepted"`
	Bad       int64     `json:"bad"` // rows that could not be read or mapped
	Error     string    `json:"error,omitempty"`
	BadRows   []BadRow  `json:"bad_rows,omitempty"` // the first ones, at most 20
}

// BadRow is a row that a collector could not take.
type BadRow struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
}

// RunPage is a page of runs.
type RunPage struct {
	Rows []Run  `json:"data"`
	Next string `json:"next,omitempty"`
}

// RejectedFilter narrows rejected usage. Empty members match everything.
type RejectedFilter struct {
	Reason  string `json:"reason,omitempty"`
	Account string `json:"account,omitempty"`
	Product string `json:"product,omitempty"`
	Source  string `json:"source,omitempty"`
	ID      string `json:"id,omitempty"`
}

// RejectedPage is a page of rejected usage.
type RejectedPage struct {
	Rows []RejectedEvent `json:"data"`
	Next string          `json:"next,omitempty"`
}

// RejectedEvent is one usage event that could not be rated.
type RejectedEvent struct {
	Source   string        `json:"source"`
	ID       string        `json:"id"`
	Account  string        `json:"account"` // as sent
	Product  string        `json:"product"`
	Quantity money.Decimal `json:"quantity"`
	Time     time.Time     `json:"time"`
	Arrived  time.Time     `json:"arrived"`
	Reason   string        `json:"reason"`
	Detail   string        `json:"detail,omitempty"` // a sentence
}

// EventWay is everything that is known of one usage event.
type EventWay struct {
	Source     string            `json:"source"`
	ID         string            `json:"id"`
	Account    string            `json:"account"`
	Product    string            `json:"product"`
	Quantity   money.Decimal     `json:"quantity"`
	Time       time.Time         `json:"time"`
	Attributes map[string]string `json:"attributes"`
	Steps      []WayStep         `json:"steps"` // received, recorded, rated or rejected, line, report, invoice
}

// WayStep is one station of an event.
type WayStep struct {
	Name      string    `json:"name"`      // received, recorded, rated, rejected, line, report, invoice
	Condition Condition `json:"condition"` // ok: passed; idle: not yet; failed: ended here
	At        time.Time `json:"at"`        // zero: not known
	Facts     []Fact    `json:"facts"`
}

// Fact is a named value of a station.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Href  string `json:"href,omitempty"` // a page of ours that shows it
}
