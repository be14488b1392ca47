package front_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/shopspring/decimal"

	"github.com/tollstream/tollstream/deploy/teststores"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, change func(*clickhouse.Options)) (clickhouse.Conn, context.Context) {
	t.Helper()
	opts, err := clickhouse.ParseDSN(teststores.ClickHouseCurrent(t))
	check(t, err)
	if change != nil {
		change(opts)
	}
	conn, err := clickhouse.Open(opts)
	check(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return conn, ctx
}

// TestBatches sends rows whose values would break on a way that is not safe for
// binary data or not exact, in every compression, and replaces some of them.
func TestBatches(t *testing.T) {
	for _, method := range []clickhouse.CompressionMethod{
		clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD, clickhouse.CompressionGZIP,
	} {
		t.Run(method.String(), func(t *testing.T) {
			conn, ctx := open(t, func(o *clickhouse.Options) { o.Compression = &clickhouse.Compression{Method: method} })
			check(t, conn.Exec(ctx, `CREATE TABLE charges (id UInt64, amount Decimal(38, 12), at DateTime64(9, 'UTC'),
				note Nullable(String), version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY id`))
			const rows = 1000
			at := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)
			amount := decimal.RequireFromString("12345678901234567890.000000000001")
			note := "a\x00b\n;\t'\\\xff FORMAT Native"
			send := func(version uint32, amount decimal.Decimal, step uint64) {
				batch, err := conn.PrepareBatch(ctx, `INSERT INTO charges (id, amount, at, note, version)`)
				check(t, err)
				for id := uint64(0); id < rows; id += step {
					check(t, batch.Append(id, amount, at, &note, version))
				}
				check(t, batch.Send())
			}
			send(1, amount, 1)
			send(2, amount.Neg(), 4) // a quarter changes its sign: half of the sum is left
			var count uint64
			var sum decimal.Decimal
			check(t, conn.QueryRow(ctx, `SELECT count(), sum(amount) FROM charges FINAL`).Scan(&count, &sum))
			if want := amount.Mul(decimal.NewFromInt(rows / 2)); count != rows || !sum.Equal(want) {
				t.Errorf("%d rows, sum %s, want %d and %s", count, sum, rows, want)
			}
			var gotAt time.Time
			var gotNote string
			check(t, conn.QueryRow(ctx, `SELECT at, assumeNotNull(note) FROM charges WHERE id = ? LIMIT 1`, 7).Scan(&gotAt, &gotNote))
			if !gotAt.Equal(at) || gotNote != note {
				t.Errorf("read %v %q, want %v %q", gotAt, gotNote, at, note)
			}
		})
	}
}

func TestErrorCarriesItsCode(t *testing.T) {
	conn, ctx := open(t, nil)
	err := conn.Exec(ctx, `SELECT * FROM nowhere`)
	const unknownTable = 60
	if e, ok := errors.AsType[*clickhouse.Exception](err); !ok || e.Code != unknownTable {
		t.Errorf("error %v, want an exception with code %d", err, unknownTable)
	}
}

func TestSettingsEndWithTheirRequest(t *testing.T) {
	conn, ctx := open(t, nil)
	value := func(ctx context.Context) (n uint64) {
		t.Helper()
		check(t, conn.QueryRow(ctx, `SELECT toUInt64(getSetting('max_result_rows'))`).Scan(&n))
		return n
	}
	for range 10 { // every session of the pool
		if n := value(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_result_rows": 77}))); n != 77 {
			t.Fatalf("the setting is %d, want 77", n)
		}
		if n := value(ctx); n == 77 {
			t.Fatal("the setting is still there in the next request")
		}
	}
}

func TestParameters(t *testing.T) {
	conn, ctx := open(t, nil)
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"word": `it's "\n" {x}`, "n": "41"}))
	var word string
	var n uint64
	check(t, conn.QueryRow(ctx, `SELECT {word:String}, {n:UInt32} + toUInt32(1)`).Scan(&word, &n))
	if word != "it's \"\n\" {x}" || n != 42 {
		t.Errorf("got %q, %d", word, n)
	}
}
