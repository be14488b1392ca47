// Package postgres is the report store in PostgreSQL, and the sink's positions and lease for either store.
//
// It implements sink.Store, sink.Reports, sink.Proof, sink.History, sink.Adjustments, sink.Positions and sink.Lease on the tables of
// deploy/schema; it imports pgx, rater/sink and its questions. Invariants: a block is one transaction; a key
// that is there already keeps its row.
package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/big"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/question"
)

var (
	//go:embed stage.sql
	stageSQL string
	//go:embed insert.sql
	insertSQL string
	//go:embed max_offsets.sql
	maxOffsetsSQL string
)

// Store is the report store in a database that deploy/schema has migrated.
type Store struct {
	*question.Answers
	pool *pgxpool.Pool
}

var _ sink.Store = (*Store)(nil)

// NewStore returns the report store.
func NewStore(pool *pgxpool.Pool) *Store {
	return &Store{pool: pool, Answers: question.New(querier{pool}, question.Dialect{
		Table:      "rated_activity",
		Rows:       "rated_activity",
		Attributes: "attribute_names || attribute_values",
		AttributeOf: func(name string) string {
			return "coalesce(attribute_values[array_position(attribute_names, " + name + ")], '')"
		},
		Number:      func(term string) string { return term },
		Argument:    func(n int) string { return fmt.Sprintf("$%d", n) },
		ID:          func(id activity.ID) string { return `'\x` + id.String() + `'::bytea` },
		Int:         func(n int64) string { return fmt.Sprintf("'%d'::bigint", n) },
		Divide:      func(term string, by int64) string { return fmt.Sprintf("(%s) / %d", term, by) },
		UsageEvents: "count(*) FILTER (WHERE kind = 1)",
		Count:       "count(*)",
		Latest: func(term string) string {
			return "(array_agg(" + term + " ORDER BY usage_offset DESC, activity_index DESC))[1]"
		},
		Attribute: func(name, value string) string {
			return fmt.Sprintf("EXISTS (SELECT FROM unnest(attribute_names, attribute_values) AS a (n, v) WHERE a.n = %s AND a.v = %s)", name, value)
		},
	})}
}

var columns = []string{"source_partition", "usage_offset", "activity_index", "log_ns", "month", "event_ns", "kind", "event_id", "source",
	"account", "billed_account", "seller", "product", "package", "attribute_names", "attribute_values", "group_names", "group_values",
	"quantity", "charge", "currency", "level", "rate_account", "rate_id", "rate_seq", "rate_model", "activated_seq",
	"invoice", "period_start_ns", "period_end_ns", "line", "usage_start_ns", "usage_end_ns", "line_amount",
	"event_package", "has_amount", "amount", "amount_currency", "amount_exchange_rate", "amount_exchange_date",
	"rate_currency", "rate_exchange_rate", "rate_exchange_date", "corrects_source", "corrects_id", "corrects_below"}

// Insert implements sink.Store. A block is new but after a lost answer or a lease slept through, so it is copied straight into the
// table; where a key is there already it goes through a table of the session, which costs a second writing.
func (s *Store) Insert(ctx context.Context, b sink.Block) error {
	if len(b.Rows) == 0 {
		return nil
	}
	source := func() pgx.CopyFromSource {
		return pgx.CopyFromSlice(len(b.Rows), func(i int) ([]any, error) { return values(b.Month, &b.Rows[i]), nil })
	}
	_, err := s.pool.CopyFrom(ctx, pgx.Identifier{"rated_activity"}, columns, source())
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == uniqueViolation {
		err = s.insertMissing(ctx, source())
	}
	if err != nil {
		return fmt.Errorf("insert into rated_activity: %w", err)
	}
	return nil
}

const uniqueViolation = "23505" // SQLSTATE

func (s *Store) insertMissing(ctx context.Context, rows pgx.CopyFromSource) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, stageSQL); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "rated_activity_stage"}, columns, rows); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, insertSQL)
		return err
	})
}

func values(month int32, r *sink.Row) []any {
	a := &r.Activity
	names, vals := split(a.Attributes)
	groups, groupValues := split(a.Group)
	sent, hasAmount := a.Sent(), int16(0)
	if sent.HasAmount {
		hasAmount = 1
	}
	return []any{r.Partition, r.Offset, int32(a.Index), r.LogTime, month, a.EventTime, int16(a.Kind), a.EventID, a.Source,
		a.Account, a.Billed, a.Seller, a.Product, a.Package, names, vals, groups, groupValues,
		numeric(a.Quantity), numeric(a.Charge), a.Currency, a.Level, a.RateAccount, a.RateID, a.RateSeq, a.RateModel, a.ActivatedSeq,
		a.Invoice[:], a.PeriodStart, a.PeriodEnd, a.Line[:], a.UsageStart, a.UsageEnd, numeric(a.LineAmount),
		sent.EventPackage, hasAmount, numeric(sent.Amount), sent.AmountCurrency, numeric(sent.AmountExchange.Rate), int32(sent.AmountExchange.Date),
		a.RateCurrency, numeric(a.RateExchange.Rate), int32(a.RateExchange.Date), sent.Corrects.Source, sent.Corrects.ID, sent.CorrectsBelow}
}

func split(list []activity.Attribute) (names, values []string) {
	names, values = make([]string, len(list)), make([]string, len(list))
	for i, a := range list {
		names[i], values[i] = a.Name, a.Value
	}
	return names, values
}

var twoTo128 = new(big.Int).Lsh(big.NewInt(1), 128)

var zero = pgtype.Numeric{Int: new(big.Int), Valid: true}

// numeric goes by the integer, which is exact and needs no text.
func numeric(d money.Decimal) pgtype.Numeric {
	if d.IsZero() {
		return zero
	}
	var stack [16]byte
	b := d.AppendBinary16(stack[:0])
	n := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		n.Sub(n, twoTo128)
	}
	return pgtype.Numeric{Int: n, Exp: -money.Scale, Valid: true}
}

// MaxOffsets implements sink.Store.
func (s *Store) MaxOffsets(ctx context.Context, above []sink.Position) ([]sink.Mark, error) {
	partitions, last := make([]int32, len(above)), make([]int64, len(above))
	for i, p := range above {
		partitions[i], last[i] = p.Partition, p.Last
	}
	rows, err := s.pool.Query(ctx, maxOffsetsSQL, partitions, last)
	if err != nil {
		return nil, fmt.Errorf("read rated_activity's highest offsets: %w", err)
	}
	marks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m sink.Mark, err error) {
		err = row.Scan(&m.Partition, &m.Month, &m.Offset)
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("read rated_activity's highest offsets: %w", err)
	}
	return marks, nil
}

// querier runs statements for the questions.
type querier struct{ pool *pgxpool.Pool }

// Each implements question.Querier. The statements differ with the question, so they are not prepared.
func (q querier) Each(ctx context.Context, statement string, args []any, each func(scan func(dest ...any) error) error) error {
	rows, err := q.pool.Query(ctx, statement, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var row scanner
	scan := func(dest ...any) error { return row.scan(rows.Scan, dest) }
	for rows.Next() {
		if err := each(scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// scanner reads rows of one answer: identifiers, which pgx knows as slices only, lists of texts, and decimals, which take a way through
// database/sql and boxes otherwise.
type scanner struct {
	through []any
	ids     [][]byte
	numbers []pgtype.DriverBytes
}

func (s *scanner) scan(scan func(...any) error, dest []any) error {
	if len(s.through) != len(dest) {
		s.through, s.ids, s.numbers = make([]any, len(dest)), make([][]byte, len(dest)), make([]pgtype.DriverBytes, len(dest))
	}
	for i, d := range dest {
		switch d := d.(type) {
		case *activity.ID:
			s.through[i] = &s.ids[i]
		case *sink.Texts:
			s.through[i] = (*[]string)(d)
		case *money.Decimal:
			s.through[i] = &s.numbers[i]
		default:
			s.through[i] = d
		}
	}
	if err := scan(s.through...); err != nil {
		return err
	}
	for i, d := range dest {
		switch d := d.(type) {
		case *activity.ID:
			if len(s.ids[i]) != len(d) {
				return fmt.Errorf("read identifier: it has %d bytes, not %d", len(s.ids[i]), len(d))
			}
			copy(d[:], s.ids[i])
		case *money.Decimal:
			var err error
			if *d, err = money.ParseBytes(s.numbers[i]); err != nil {
				return fmt.Errorf("read decimal %q: %w", s.numbers[i], err)
			}
		}
	}
	return nil
}
