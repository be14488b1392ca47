package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/rerate"
)

var (
	progressSQL    = statement("progress")
	waitsSQL       = statement("waits")
	jobAccountsSQL = statement("job_accounts")
)

// mostTold bounds what is told of one job: definitions that it follows, and accounts that say something.
const mostTold = 20

// Progress is how far a job is, for those who ask.
type Progress struct {
	Job                    rerate.Job
	Author                 string // who changed the definitions, or asked; empty: nobody that is known
	Definitions            []Definition
	DefinitionsCount       int64 // of which Definitions are the first
	Created                time.Time
	Done                   time.Time // zero: not yet
	Accounts, Ended        int64
	Failed, Lines, Changed int64
	Messages               []string // what accounts say, "account: message"
	MessagesCount          int64    // of which Messages are the first
	Behind                 int64    // an earlier job has to be looked at first; 0: none
	Waits                  []int32  // for these partitions, at most a few
}

// Definition is one that a job follows.
type Definition struct {
	catalog.Ref
	Deleted bool
}

// ErrNone says that there is no such job.
var ErrNone = errors.New("there is no such job")

// Progress reads how far a job is.
func (s *Store) Progress(ctx context.Context, seq int64) (Progress, error) {
	list, err := s.progress(ctx, seq, 0, false, 1)
	if err != nil {
		return Progress{}, fmt.Errorf("read the job of definition %d: %w", seq, err)
	}
	if len(list) == 0 {
		return Progress{}, ErrNone
	}
	return list[0], nil
}

// List reads jobs below a sequence number, 0 for all, the newest first; with open only those that are not done.
func (s *Store) List(ctx context.Context, below int64, open bool, limit int) ([]Progress, error) {
	list, err := s.progress(ctx, 0, below, open, limit)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return list, nil
}

func (s *Store) progress(ctx context.Context, seq, below int64, open bool, limit int) ([]Progress, error) {
	rows, err := s.pool.Query(ctx, progressSQL, seq, below, open, limit, mostTold)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, scanProgress)
	for i := range list {
		p := &list[i]
		if err != nil || !p.Done.IsZero() {
			continue
		}
		if err = s.pool.QueryRow(ctx, waitsSQL, p.Job.Seq, string(p.Job.Phase)).Scan(&p.Behind, &p.Waits); err != nil {
			err = fmt.Errorf("what job %d waits for: %w", p.Job.Seq, err)
		}
	}
	return list, err
}

func scanProgress(r pgx.CollectableRow) (p Progress, err error) {
	var done *time.Time
	var kinds, ids []string
	var deleted []bool
	j := &p.Job
	err = r.Scan(&j.Seq, &j.Demand, &j.Account, &j.Product, &j.From, &j.Until, &j.Phase, &j.Swept, &j.Left, &p.Created, &done,
		&p.Author, &p.DefinitionsCount, &kinds, &ids, &deleted, &p.Accounts, &p.Ended, &p.Failed, &p.Lines, &p.Changed, &p.MessagesCount, &p.Messages)
	if done != nil {
		p.Done = *done
	}
	for i := range kinds {
		p.Definitions = append(p.Definitions, Definition{catalog.Ref{Kind: catalog.Kind(kinds[i]), ID: ids[i]}, deleted[i]})
	}
	return p, err
}

// JobAccounts reads the accounts that a job rates anew, in the order of their ids behind one.
func (s *Store) JobAccounts(ctx context.Context, seq int64, after string, limit int) ([]rerate.AccountJob, error) {
	rows, err := s.pool.Query(ctx, jobAccountsSQL, seq, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list the accounts of job %d: %w", seq, err)
	}
	list, err := pgx.CollectRows(rows, scanAccount)
	if err != nil {
		return nil, fmt.Errorf("list the accounts of job %d: %w", seq, err)
	}
	return list, nil
}
